"""stable-worldmodel's PushT (MIT; after Diffusion Policy, arXiv 2303.04137): a disc pushes a T about.

The law is the package's own, called as it is, from a state that is set before every step, so that a step is a function
of state and action; the picture is drawn anew, since theirs costs milliseconds a frame, and a test holds it against
theirs. The box is [0, 1] x [0, 1], y up; in theirs it has 512 pixels, y down. Velocities are per step, a tenth of a
second; angles in radians, counter-clockwise. Legend: t frames, n episodes, s state variables.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np

from threeworlds.types import ActionSpec
from threeworlds.worlds import draw as pictures
from threeworlds.worlds.base import Action, Policy, checked_option
from threeworlds.worlds.foreign import MissingGame, borrowed
from threeworlds.worlds.tworoom import NEEDS

ACTION = ActionSpec(kind="continuous", size=2, names=("right", "up"))
POLICIES = ("push", "near")
STATE_NAMES = (
    *("agent_x", "agent_y", "agent_vx", "agent_vy"),
    *("block_x", "block_y", "block_vx", "block_vy", "block_angle", "block_spin"),
)
UNUSED = ("cv2", "shapely", "shapely.geometry")  # imported by the package, and needed for its own picture alone

PIXELS, RATE = 512, 10  # of their box; their seconds are ten steps
FULL = 100 / PIXELS  # how far ahead of the agent an action of 1 aims, box units
AGENT = 15 / PIXELS  # radius
BAR, STEM = (60 / PIXELS, 30 / PIXELS), (15 / PIXELS, 120 / PIXELS)  # of the T: half width, and where each ends
INSIDE = (20 / PIXELS, 1 - 20 / PIXELS)  # where policies keep the agent
MIDDLE, ROUND = 0.2, 0.22  # how far from 0.5 the T may be, and how far round it the agent goes
TARGET = np.array([[0.5, 0.5, -np.pi / 4]])  # x, y, angle of the green T, which is but a part of the picture
POSITION, ANGLE = 20 / PIXELS, np.pi / 9
RULE = "agent and T within 20 of the box's 512 pixels together, and the T within 20 degrees (the package's own rule)"
COLOURS = {"wall": (211, 211, 211), "target": (144, 238, 144), "agent": (72, 116, 241), "block": (136, 155, 175)}


# ------------------------------------------------------------------------------------------ simulator


class PushT:
    """The law of the package."""

    def __init__(self) -> None:
        game()

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Agent and T at rest where the package puts them at random, but apart."""
        while True:
            agent, block = rng.uniform(50, 450, 2) / PIXELS, rng.uniform(100, 400, 2) / PIXELS
            state = np.array([*agent, 0, 0, *block, 0, 0, rng.uniform(-np.pi, np.pi), 0], np.float32)
            if tee_distance(state[0], state[1], state[None, [4, 5, 8]])[0] > 1.2 * AGENT:
                return state

    def load(self, state: np.ndarray) -> None:
        self.state = state.astype(np.float32)

    def step(self, action: Action) -> np.ndarray:
        """Ten steps of physics in which the agent is drawn to FULL times ``action`` (float [2], clipped) ahead."""
        self.state = advance(self.state[None], np.asarray(action, np.float32)[None])[0]
        return self.state.copy()

    def tags(self, state: np.ndarray) -> tuple[str, ...]:
        return ()


@cache
def game() -> Any:
    """The package's environment, made once; it is put into a state before every step."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        made = borrowed("stable_worldmodel.envs.pusht.env", UNUSED).PushT(resolution=PIXELS)
    except ImportError as error:
        raise MissingGame(f"pusht needs more packages ({error}): {NEEDS}") from error
    made._set_goal_state(np.zeros(7))
    made._goal = None
    return made


def put(state: np.ndarray) -> None:
    """Bodies where ``state`` [s] has them, in a new space: an old one remembers contacts and order."""
    env = game()
    env._setup()
    x, y, vx, vy, bx, by, bvx, bvy, angle, spin = map(float, state)
    env.agent.position, env.agent.velocity = (x * PIXELS, (1 - y) * PIXELS), _speed(vx, vy)
    env.block.angle = -angle  # first: it turns the body about its centre of gravity, not about its place
    env.block.position, env.block.velocity = (bx * PIXELS, (1 - by) * PIXELS), _speed(bvx, bvy)
    env.block.angular_velocity = -spin * RATE
    for body in (env.agent, env.block):
        env.space.reindex_shapes_for_body(body)


def _speed(vx: float, vy: float) -> tuple[float, float]:
    return vx * PIXELS * RATE, -vy * PIXELS * RATE


def read() -> np.ndarray:
    """The state of the bodies, float32 [s]."""
    agent, block = game().agent, game().block
    turned = (np.pi - block.angle) % (2 * np.pi) - np.pi
    places = [(b.position.x / PIXELS, 1 - b.position.y / PIXELS) for b in (agent, block)]
    speeds = [(b.velocity.x / PIXELS / RATE, -b.velocity.y / PIXELS / RATE) for b in (agent, block)]
    spin = -block.angular_velocity / RATE
    return np.array([*places[0], *speeds[0], *places[1], *speeds[1], turned, spin], np.float32)


def advance(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """One step of many episodes: float32 [n, s] and [n, 2] -> float32 [n, s]."""
    after = []
    for state, action in zip(states, np.clip(actions, -1, 1), strict=True):
        put(state)
        game().step(np.array([action[0], -action[1]], np.float64))
        after.append(read())
    return np.stack(after)


def reached(states: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """The package's rule of success: [..., s] and [..., s] -> bool [...]."""
    apart = (states - goals)[..., [0, 1, 4, 5]]
    turn = np.abs(states[..., 8] - goals[..., 8]) % (2 * np.pi)
    there: np.ndarray = (np.linalg.norm(apart, axis=-1) < POSITION) & (np.minimum(turn, 2 * np.pi - turn) < ANGLE)
    return there


# ------------------------------------------------------------------------------------------- policies


def policy(name: str, rng: np.random.Generator) -> Policy:
    """push: round the T and through it, towards a place in the middle. near: to random places about the T.

    Each way takes three to nine steps, at a third to two thirds of the full pull, shaken by Gaussian noise (0.1).
    near pushes as well where the T has left the middle. Both equally often, unless asked otherwise.
    """
    checked_option("policy", name, POLICIES)
    ways: list[tuple[np.ndarray, int, float]] = []  # places to go to, relative to the T; steps for each; pull

    def act(state: np.ndarray) -> np.ndarray:
        while not ways or ways[0][1] == 0:
            ways[:] = ways[1:] or next_ways(name, state, rng)
        offset, left, pull = ways[0]
        ways[0] = offset, left - 1, pull
        target = np.clip(_middle(state) + offset, *INSIDE) - state[:2]
        shaken = target / max(np.abs(target).max(), FULL) * pull + rng.normal(0, 0.1, 2)
        return np.clip(shaken, -1, 1).astype(np.float32)

    return act


def next_ways(name: str, state: np.ndarray, rng: np.random.Generator) -> list[tuple[np.ndarray, int, float]]:
    """Aside of the T, behind it and through it; or to a place about it."""
    middle = _middle(state)
    if name == "near" and np.abs(middle - 0.5).max() < MIDDLE:
        ends = [rng.uniform(-FULL, FULL, 2)]
    else:
        towards = rng.uniform(0.5 - MIDDLE, 0.5 + MIDDLE, 2) - middle
        towards /= np.linalg.norm(towards) + 1e-9
        across = np.array([-towards[1], towards[0]])
        side = 1 if across @ (state[:2] - middle) > 0 else -1
        ends = [ROUND * side * across, -ROUND * towards + rng.normal(0, 0.04, 2), ROUND * towards]
    return [(end, int(rng.integers(3, 10)), float(rng.uniform(1 / 3, 2 / 3))) for end in ends]


def _middle(state: np.ndarray) -> np.ndarray:
    """Of the T: its place is the middle of the bar's outer side, its stem points down at angle 0."""
    angle, down = float(state[8]), 45 / PIXELS
    return np.array([state[4] + down * np.sin(angle), state[5] - down * np.cos(angle)])


# -------------------------------------------------------------------------------------------- picture


def render(states: np.ndarray, size: int) -> np.ndarray:
    """Draw states float32 [t, s] as frames uint8 [t, size, size, 3]: walls, green T, grey T, blue agent."""
    frames = pictures.blank(len(states), size, np.array([255, 255, 255]))
    x, y = pictures.pixel_centres(size)
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    wall = np.abs(edge - np.float32(5.5 / PIXELS)) - np.float32(2 / PIXELS)
    agent = np.hypot(x - states[:, 0, None, None], y - states[:, 1, None, None]) - np.float32(AGENT)
    layers = {
        "target": tee_distance(x, y, TARGET.astype(np.float32)),
        "wall": wall,
        "agent": agent,
        "block": tee_distance(x, y, states[:, [4, 5, 8]]),
    }
    for name, distance in layers.items():
        pictures.paint(frames, pictures.coverage(distance, size), np.array(COLOURS[name]))
    return pictures.to_bytes(frames)


def tee_distance(x: Any, y: Any, poses: np.ndarray) -> np.ndarray:
    """Signed distance to T's of ``poses`` [t, 3], exact along their sides; x and y broadcast with [t, h, w]."""
    px, py, angle = (poses[:, i].reshape(-1, *(1,) * (np.ndim(x) - 1)) for i in range(3))
    dx, dy = x - px, y - py
    across = np.abs(np.cos(angle) * dx + np.sin(angle) * dy)
    down = np.sin(angle) * dx - np.cos(angle) * dy
    bar = np.maximum(across - np.float32(BAR[0]), np.maximum(-down, down - np.float32(BAR[1])))
    stem = np.maximum(across - np.float32(STEM[0]), np.maximum(-down, down - np.float32(STEM[1])))
    return np.minimum(bar, stem)
