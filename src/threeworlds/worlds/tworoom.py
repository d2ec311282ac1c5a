"""stable-worldmodel's TwoRoom (MIT), the two rooms on which LeWorldModel (arXiv 2603.19312) is measured.

The law is the package's own, called as it is; the picture is drawn anew, since theirs costs milliseconds a frame, and a
test holds it against theirs. The box is [0, 1] x [0, 1], y up; in theirs it has 224 pixels, y down. Wall and door stand
where they do by default. Legend: t frames, n agents, s state variables.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from threeworlds.types import ActionSpec
from threeworlds.worlds import draw as pictures
from threeworlds.worlds.base import Action, Policy, checked_option
from threeworlds.worlds.foreign import MissingGame, borrowed

ACTION = ActionSpec(kind="continuous", size=2, names=("right", "up"))
POLICIES = ("expert", "noisy", "wander")
STATE_NAMES = ("x", "y")
NEEDS = "pip install --no-deps stable-worldmodel==0.1.1 && pip install 'threeworlds[borrowed]'"

PIXELS = 224
SPEED = 5 / PIXELS  # box units a step, along an axis, at action 1
DOT = 7 / PIXELS  # the agent's radius, and the standard deviation of its picture
LOW, HIGH = 14 / PIXELS + DOT, 1 - 14 / PIXELS - DOT  # where the agent's centre can be
BORDER = (10 / PIXELS, 14 / PIXELS)  # where the outer wall begins and ends
WALL = 5.5 / PIXELS  # half the thickness of the inner wall as it is drawn
REACH = 5 / PIXELS + DOT  # nearest to the middle of the wall, outside the door
DOOR_Y, DOOR = 1 - 49.5 / PIXELS, 14.5 / PIXELS  # middle of the door and half its width, as drawn
CLEAR = 15.75 / PIXELS  # farthest from the middle of the door, going through
SUCCESS = 16 / PIXELS  # the package's own threshold
RULE = "within 16 of the box's 224 pixels (the package's own rule)"
PLACES = f"x and y from {LOW:.3g} to {HIGH:.3g}, and {REACH:.3g} from the wall but in the door"
WHITE, RED = np.array([255, 255, 255]), np.array([255, 0, 0])


# ------------------------------------------------------------------------------------------ simulator


class TwoRoom:
    """The law of the package."""

    def __init__(self) -> None:
        game()

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """The agent anywhere in one of the rooms."""
        return draw_place(rng)

    def load(self, state: np.ndarray) -> None:
        self.state = state.astype(np.float32)

    def step(self, action: Action) -> np.ndarray:
        """Move by SPEED times ``action``, float [2], clipped to [-1, 1]."""
        self.state = advance(self.state[None], np.asarray(action, np.float32)[None])[0]
        return self.state.copy()

    def tags(self, state: np.ndarray) -> tuple[str, ...]:
        return ()


@cache
def game() -> Any:
    """The package's environment, made once: it keeps nothing of the agents that are moved by it."""
    try:
        made = borrowed("stable_worldmodel.envs.two_room.env").TwoRoomEnv()
    except ImportError as error:
        raise MissingGame(f"tworoom needs more packages ({error}): {NEEDS}") from error
    made._cache_params()
    return made


def advance(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """One step of many agents: float32 [n, s] and [n, 2] -> float32 [n, s]."""
    import torch  # here: the package's own law is written in it, and nothing else of the worlds needs it

    before = torch.from_numpy(flipped(states))
    moves = np.clip(actions, -1, 1) * np.array([1, -1], np.float32)
    after = before + torch.from_numpy(moves.astype(np.float32)) * (SPEED * PIXELS)
    moved = [game()._apply_collisions(a, b) for a, b in zip(before, after, strict=True)]
    return flipped(torch.stack(moved).numpy(), back=True)


def flipped(places: np.ndarray, back: bool = False) -> np.ndarray:
    """Places [n, 2], float32: box units, y up -> their pixels, y down; or ``back``."""
    x, y = np.asarray(places, np.float64).T
    pair = (x / PIXELS, 1 - y / PIXELS) if back else (x * PIXELS, (1 - y) * PIXELS)
    return np.stack(pair, axis=-1).astype(np.float32)


def reached(states: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """The package's rule of success: [..., s] and [..., s] -> bool [...]."""
    close: np.ndarray = np.linalg.norm(states - goals, axis=-1) < SUCCESS
    return close


def is_free_place(state: np.ndarray) -> bool:
    """Whether the agent can be where ``state`` [s] puts it."""
    x, y = map(float, state)
    inside = min(x, y) >= LOW - 1e-6 and max(x, y) <= HIGH + 1e-6
    return inside and (abs(x - 0.5) >= REACH or abs(y - DOOR_Y) <= CLEAR)


def draw_place(rng: np.random.Generator) -> np.ndarray:
    """A place in a room, not in the door, float32 [2]."""
    while True:
        place = rng.uniform(LOW, HIGH, 2).astype(np.float32)
        if abs(place[0] - 0.5) > REACH:
            return place


# ------------------------------------------------------------------------------------------- policies


def policy(name: str, rng: np.random.Generator) -> Policy:
    """expert: to a random place, through the door, then to another. noisy: the same, shaken. wander: a random walk.

    noisy adds Gaussian noise (0.5) and, one step in ten, begins a stretch of wandering; a wandering action is held for
    four to twelve steps. All three equally often, unless asked otherwise.
    """
    checked_option("policy", name, POLICIES)
    goal, held = draw_place(rng), [np.zeros(2, np.float32)]

    def act(state: np.ndarray) -> np.ndarray:
        nonlocal goal
        held.pop()
        if np.linalg.norm(state - goal) < SPEED:
            goal = draw_place(rng)
        if not held and (name == "wander" or (name == "noisy" and rng.random() < 0.1)):
            held.extend([rng.uniform(-1, 1, 2).astype(np.float32)] * int(rng.integers(4, 13)))
        if not held:
            shaken = rng.normal(0, 0.5, 2) * (name == "noisy")
            held.append(np.clip(expert_action(state, goal) + shaken, -1, 1).astype(np.float32))
        return held[-1]

    return act


def expert_action(state: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """The action float32 [2] that takes the agent at ``state`` towards ``goal`` ([2], box units), through the door."""
    here, target = np.asarray(state, np.float64), np.asarray(goal, np.float64)
    side = -1 if here[0] < 0.5 else 1
    if (target[0] - 0.5) * side < 0:  # in the other room
        before_door = abs(here[1] - DOOR_Y) > CLEAR / 2
        target = np.array([0.5 + (1.2 if before_door else -1.2) * side * REACH, DOOR_Y])
    offset = target - here
    action: np.ndarray = (offset / max(np.abs(offset).max(), SPEED)).astype(np.float32)
    return action


# -------------------------------------------------------------------------------------------- picture


def render(states: np.ndarray, size: int) -> np.ndarray:
    """Draw states float32 [t, s] as frames uint8 [t, size, size, 3]: white ground, black walls, a soft red dot."""
    frames = pictures.blank(len(states), size, WHITE)
    x, y = pictures.pixel_centres(size)
    middle, thin = np.float32(sum(BORDER) / 2), np.float32((BORDER[1] - BORDER[0]) / 2)
    outer = np.minimum(*(np.abs(np.minimum(c, 1 - c) - middle) - thin for c in (x, y)))  # lines across the whole frame
    inner = np.maximum(np.abs(x - np.float32(112.5 / PIXELS)) - np.float32(WALL), np.float32(DOOR) - np.abs(y - DOOR_Y))
    pictures.paint(frames, pictures.coverage(np.minimum(outer, inner.astype(np.float32)), size), np.zeros(3))
    half = np.float32(0.5 / PIXELS)  # their pixels are at whole numbers, not around them
    dx, dy = x - (states[:, 0, None, None] + half), y - (states[:, 1, None, None] - half)
    dot = np.exp((dx * dx + dy * dy) * np.float32(-0.5 / DOT**2))
    pictures.paint(frames, dot, RED)
    return pictures.to_bytes(frames)
