"""Two rooms, a wall and a door: the navigation task on which latent planners are compared.

After the two-room tasks of PLDM (Sobal et al., arXiv 2502.14819), eb_jepa and LeWorldModel (arXiv 2603.19312): a soft
dot moves in a box that a wall divides; one door. The box is [0, 1] x [0, 1], y up. Drawn and simulated here anew; at 64
pixels a full action moves the dot 1.5 pixels along each axis.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import Literal

import numpy as np

from threeworlds.types import ActionSpec
from threeworlds.worlds import draw as pictures
from threeworlds.worlds.base import Action, Policy, checked_option
from threeworlds.worlds.locate import body_weights, centroids, faint_weights

ACTION = ActionSpec(kind="continuous", size=2, names=("right", "up"))
POLICIES = ("expert", "noisy", "wander")
STATE_NAMES = ("x", "y", "wall_x", "door_y")

SPEED = 1.5 / 64  # box units a step, along an axis, at action 1
AGENT = 0.03  # radius that collides
DOT = 1.6 / 64  # standard deviation of the dot's picture
BORDER = 4 / 64  # thickness of the outer wall
WALL = 1.6 / 64  # half the thickness of the inner wall
DOOR = 6 / 64  # half the width of the door
LOW, HIGH = BORDER + AGENT, 1 - BORDER - AGENT  # where the agent's centre can be
REACH = WALL + AGENT  # nearest to the middle of the wall, outside the door
CLEAR = DOOR - AGENT  # farthest from the middle of the door, inside it
TOUCH = 1e-6  # a float32 state is that near to a wall it touches
PLACES = f"x and y from {LOW:.3g} to {HIGH:.3g}, and {REACH:.3g} from the wall but in the door"
FIXED = (0.5, 0.3)  # wall_x and door_y of the fixed layout
WALL_RANGE, DOOR_RANGE = (0.3, 0.7), (0.2, 0.8)  # of the random one

BACKGROUND = np.array([10, 10, 14])
STONE = np.array([70, 85, 130])
PALETTE = {"avatar": np.array([250, 60, 50]), "wall": STONE}


# ------------------------------------------------------------------------------------------ simulator


class Rooms:
    """The law of the two rooms.

    Args:
        layout: "fixed" (wall in the middle, door low) or "random" (drawn for each episode).
    """

    def __init__(self, *, layout: Literal["fixed", "random"] = "fixed") -> None:
        self.layout = checked_option("layout", layout, ("fixed", "random"))

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A layout, and the agent anywhere in one of its rooms."""
        wall_x, door_y = FIXED
        if self.layout == "random":
            wall_x, door_y = rng.uniform(*WALL_RANGE), rng.uniform(*DOOR_RANGE)
        return np.array([*draw_place(rng, wall_x), wall_x, door_y], np.float32)

    def load(self, state: np.ndarray) -> None:
        """Put the agent and the walls where ``state`` says."""
        self.state = state.astype(np.float32)

    def step(self, action: Action) -> np.ndarray:
        """Move by SPEED times ``action`` (float [2], clipped to [-1, 1]): along x, then along y, as far as is free."""
        x, y, wall_x, door_y = map(float, self.state)
        dx, dy = SPEED * np.clip(np.asarray(action, np.float64), -1, 1)
        x = slide_x(x, y, x + dx, wall_x, door_y)
        y = slide_y(x, y + dy, wall_x, door_y)
        self.state = np.array([x, y, wall_x, door_y], np.float32)
        return self.state.copy()

    def tags(self, state: np.ndarray) -> tuple[str, ...]:
        """The layout."""
        return (self.layout,)


def draw_place(rng: np.random.Generator, wall_x: float) -> tuple[float, float]:
    """A place in a room, not in the door."""
    while True:
        x, y = rng.uniform(LOW, HIGH, 2)
        if abs(x - wall_x) > REACH:
            return x, y


def is_free_place(state: np.ndarray) -> bool:
    """Whether the agent can be where ``state`` [s] puts it: inside the box, and not in the wall."""
    x, y, wall_x, door_y = map(float, state)
    inside = min(x, y) >= LOW - TOUCH and max(x, y) <= HIGH + TOUCH
    return inside and (abs(x - wall_x) >= REACH - TOUCH or abs(y - door_y) <= CLEAR + TOUCH)


def slide_x(x: float, y: float, target: float, wall_x: float, door_y: float) -> float:
    """Where a move along x from (x, y) towards ``target`` ends; no step is longer than the wall is thick."""
    target = min(max(target, LOW), HIGH)
    if abs(y - door_y) <= CLEAR + TOUCH:
        return target
    return min(target, wall_x - REACH) if x < wall_x else max(target, wall_x + REACH)


def slide_y(x: float, target: float, wall_x: float, door_y: float) -> float:
    """Where a move along y towards ``target`` ends: inside the door it is as narrow as the door."""
    target = min(max(target, LOW), HIGH)
    if abs(x - wall_x) >= REACH - TOUCH:
        return target
    return min(max(target, door_y - CLEAR), door_y + CLEAR)


def advance(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """One step of many agents at once, as :class:`Rooms` makes it: float32 [n, s] and [n, 2] -> float32 [n, s]."""
    x, y, wall_x, door_y = np.asarray(states, np.float64).T
    dx, dy = SPEED * np.clip(np.asarray(actions, np.float64), -1, 1).T
    to_x = np.clip(x + dx, LOW, HIGH)
    stopped = np.where(x < wall_x, np.minimum(to_x, wall_x - REACH), np.maximum(to_x, wall_x + REACH))
    to_x = np.where(np.abs(y - door_y) <= CLEAR + TOUCH, to_x, stopped)
    to_y = np.clip(y + dy, LOW, HIGH)
    narrow = np.minimum(np.maximum(to_y, door_y - CLEAR), door_y + CLEAR)
    to_y = np.where(np.abs(to_x - wall_x) >= REACH - TOUCH, to_y, narrow)
    return np.stack([to_x, to_y, wall_x, door_y], axis=-1).astype(np.float32)


# ------------------------------------------------------------------------------------------- distance


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Length of the shortest path for the agent from state ``a`` to ``b``: [..., s] and [..., s] -> [...], box units.

    Exact: a shortest path is straight but for the four corners of the door, at most one on each side of the wall.

    Raises:
        ValueError: the two have different layouts.
    """
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    if not np.array_equal(a[..., 2:], b[..., 2:]):
        raise ValueError("distance: the two states have different walls or doors")
    wall = a[..., 2:]
    corners = {(side, end): wall + np.array([side * REACH, end * CLEAR]) for side, end in product((-1, 1), (-1, 1))}
    paths: list[tuple[np.ndarray, ...]] = [(a[..., :2], b[..., :2])]
    paths += [(a[..., :2], corner, b[..., :2]) for corner in corners.values()]
    paths += [
        (a[..., :2], corners[side, first], corners[-side, second], b[..., :2])
        for side, first, second in product((-1, 1), (-1, 1), (-1, 1))
    ]
    return np.min([path_length(path, wall) for path in paths], axis=0)


def path_length(path: tuple[np.ndarray, ...], wall: np.ndarray) -> np.ndarray:
    """Length of a chain of places [..., 2]; infinite where it goes through the wall."""
    legs = list(pairwise(path))
    length = sum(np.linalg.norm(q - p, axis=-1) for p, q in legs)
    free = np.logical_and.reduce([is_free(p, q, wall) for p, q in legs])
    return np.where(free, length, np.inf)


def is_free(p: np.ndarray, q: np.ndarray, wall: np.ndarray, slack: float = 1e-5) -> np.ndarray:
    """Whether the straight way from ``p`` to ``q`` [..., 2] keeps to the door wherever it is inside the wall."""
    reach, clear = REACH - slack, CLEAR + slack
    x0, x1 = p[..., 0] - wall[..., 0], q[..., 0] - wall[..., 0]
    y0, y1 = p[..., 1] - wall[..., 1], q[..., 1] - wall[..., 1]
    run = np.where(np.abs(x1 - x0) < 1e-12, 1e-12, x1 - x0)
    enter, leave = (-reach - x0) / run, (reach - x0) / run  # as parts of the way
    first, last = np.clip(np.minimum(enter, leave), 0, 1), np.clip(np.maximum(enter, leave), 0, 1)
    crosses = first < last
    within = (np.abs(y0 + first * (y1 - y0)) <= clear) & (np.abs(y0 + last * (y1 - y0)) <= clear)
    return ~crosses | within


# ------------------------------------------------------------------------------------------- policies


def policy(name: str, rng: np.random.Generator) -> Policy:
    """expert: to a random place, by the shortest way, then to another. noisy: the same, shaken. wander: a random walk.

    noisy adds Gaussian noise (0.5) and, one step in ten, begins a stretch of wandering; a wandering action is held for
    four to twelve steps.
    """
    return {"expert": expert, "noisy": noisy, "wander": wander}[checked_option("policy", name, POLICIES)](rng)


def expert(rng: np.random.Generator) -> Policy:
    """From place to place by the shortest way."""
    goal: list[tuple[float, float]] = []

    def act(state: np.ndarray) -> np.ndarray:
        if not goal or np.hypot(*(state[:2] - goal[0])) < SPEED:
            goal[:] = [draw_place(rng, float(state[2]))]
        return expert_action(state, np.array(goal[0]))

    return act


def noisy(rng: np.random.Generator) -> Policy:
    """An expert with a shaking hand and a wandering mind."""
    steady, stray = expert(rng), wander(rng)
    left = 0

    def act(state: np.ndarray) -> np.ndarray:
        nonlocal left
        left = int(rng.integers(2, 8)) if left == 0 and rng.random() < 0.1 else max(left - 1, 0)
        if left:
            return stray(state)  # type: ignore[return-value]
        return np.clip(steady(state) + rng.normal(0, 0.5, 2), -1, 1).astype(np.float32)

    return act


def wander(rng: np.random.Generator) -> Policy:
    """Any direction, held for a while."""
    held: list[np.ndarray] = []

    def act(state: np.ndarray) -> np.ndarray:
        if not held:
            held.extend([rng.uniform(-1, 1, 2).astype(np.float32)] * int(rng.integers(4, 13)))
        return held.pop()

    return act


def expert_action(state: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """The action float32 [2] that takes the agent at ``state`` towards ``goal`` ([2], box units), through the door."""
    here, wall = state[:2].astype(np.float64), state[2:].astype(np.float64)
    offset = next_stop(here, goal, wall) - here
    return (offset / max(np.abs(offset).max(), SPEED)).astype(np.float32)


def next_stop(here: np.ndarray, goal: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """The goal if the straight way is free; else the middle of the near, then of the far side of the door."""
    if is_free(here, goal, wall):
        return goal
    side = -1 if here[0] < wall[0] else 1
    outside = np.array([side * 1.2 * REACH, 0])
    near, far = wall + outside, wall - outside
    if abs(here[1] - wall[1]) <= CLEAR and (goal[0] - wall[0]) * side < 0:
        return far
    if abs(here[0] - wall[0]) < REACH:  # inside the door, and the goal behind a corner: straight out first
        return np.array([near[0], here[1]])
    return near


# -------------------------------------------------------------------------------------------- picture


def render(states: np.ndarray, size: int) -> np.ndarray:
    """Draw states float32 [t, s] as frames uint8 [t, size, size, 3], antialiased."""
    frames = pictures.blank(len(states), size, BACKGROUND)
    x, y = pictures.pixel_centres(size)
    middle, door = states[:, 2, None, None], states[:, 3, None, None]
    inner = np.float32(BORDER) - np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))  # negative inside
    wall = np.maximum(np.abs(x - middle) - np.float32(WALL), np.float32(DOOR) - np.abs(y - door))
    pictures.paint(frames, 1 - pictures.coverage(inner, size), STONE)
    pictures.paint(frames, pictures.coverage(wall, size), STONE)
    squares = (x - states[:, 0, None, None]) ** 2 + (y - states[:, 1, None, None]) ** 2
    pictures.paint(frames, np.exp(squares * np.float32(-0.5 / DOT**2)), PALETTE["avatar"])
    return pictures.to_bytes(frames)


def locate(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Soft centroid of the dot, "avatar", in frames uint8 [n, h, w, 3]: [n, 2], box units, y up; NaN if absent."""
    return {"avatar": centroids(body_weights(frames, BACKGROUND, PALETTE))[:, 0]}


def weights(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Covered part of each pixel, [n, h, w], for the dot, "avatar"; see `faint_weights`."""
    return {"avatar": faint_weights(frames, BACKGROUND, PALETTE)[:, 0]}
