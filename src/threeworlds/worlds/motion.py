"""Uniform motion, elastic collision and parabola, inside and outside a training range, after PhyWorld.

Source: Kang et al., "How far is video generation from world model: a physical law perspective", arXiv 2411.02385,
section 3 and the ranges of its released generator. World of 10 x 10 units, y up, a frame every 0.1 s, 32 frames, white
background, a red ball and (collision) a blue one on its right. Here the law is solved in closed form, so the truth is
exact. Different from the source: radii and speeds are drawn uniformly, not from a grid; a collision comes after frame
4, as the paper says (the released generator asks for 8, and gives up on the fast pairs); and the frame's edges are
where the world ends (the released reader's pixel map is off by 1/256).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from threeworlds.types import ActionSpec
from threeworlds.worlds import draw as pictures
from threeworlds.worlds.base import Action, Law, Policy, checked_option
from threeworlds.worlds.locate import body_weights, centroids, faint_weights, masses_of

Task = Literal["uniform", "collision", "parabola"]
TASKS = ("uniform", "collision", "parabola")
ACTION = ActionSpec(kind="none")
POLICIES = ("watch",)
BALLS = ("red", "blue")
FIELDS = ("x", "y", "vx", "vy", "radius")
STATE_NAMES = tuple(f"ball{i}_{field}" for i in range(2) for field in FIELDS)

WORLD = 10.0  # units a side
FRAME = 0.1  # seconds
GRAVITY = -2.5  # units / s^2, in the parabola
GIVEN = 3  # frames a model is given before it must predict
SPEEDS_IN, SPEEDS_OUT = (1.0, 4.0), ((0.0, 0.8), (4.5, 6.0))
RADII_IN = {"uniform": (0.7, 1.4), "collision": (0.5, 1.5), "parabola": (0.7, 1.4)}
RADII_OUT = {
    "uniform": ((0.3, 0.6), (1.5, 2.0)),
    "collision": ((0.3, 0.4), (1.7, 2.0)),
    "parabola": ((0.3, 0.6), (1.5, 2.0)),
}
# Which of (r, v), or of (r0, r1, v0, v1), leave the range; one row an episode.
LEVELS_ONE = ((1, 0), (0, 1), (1, 1))
LEVELS_TWO = ((1, 0, 0, 0), (0, 0, 1, 0), (1, 1, 0, 0), (0, 0, 1, 1), (1, 0, 1, 0), (1, 1, 1, 1))
FRAMES_IN_VIEW = 24  # a single ball stays in view at least so long, if its speed allows
FRAMES_BEFORE, FRAMES_AFTER = 4, 8  # a collision
EPISODE = 32  # frames
# After an impact a light ball can be as fast as v0 + 2 v1, so 18 units / s.
LAW = Law(smallest=np.pi * (0.3 / WORLD) ** 2, fastest=18 * FRAME / WORLD, closed=False)

BACKGROUND = np.array([255, 255, 255])
PALETTE = {"red": np.array([255, 0, 0]), "blue": np.array([0, 0, 255])}


# ------------------------------------------------------------------------------------------ simulator


class Motion:
    """The law of one task.

    Args:
        task: "uniform", "collision" or "parabola".
        range: "in" draws radii and speeds from the training range, "out" at least one of them from outside it.
    """

    def __init__(self, *, task: Task = "uniform", range: Literal["in", "out"] = "in") -> None:
        self.task = checked_option("task", task, TASKS)
        self.range = checked_option("range", range, ("in", "out"))
        self.acceleration = GRAVITY if task == "parabola" else 0.0

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A first state: one ball that moves to the right, or two towards each other."""
        state = np.full(len(STATE_NAMES), np.nan, np.float32)
        if self.task == "collision":
            state[:] = self._draw_pair(rng)
        else:
            state[: len(FIELDS)] = self._draw_single(rng)
        return state

    def _draw_values(self, rng: np.random.Generator, balls: int) -> list[float]:
        """Radii, then speeds."""
        levels = LEVELS_ONE if balls == 1 else LEVELS_TWO
        outside = levels[rng.integers(len(levels))] if self.range == "out" else (0,) * 2 * balls
        inner = [RADII_IN[self.task]] * balls + [SPEEDS_IN] * balls
        outer = [RADII_OUT[self.task]] * balls + [SPEEDS_OUT] * balls
        chosen = [
            out[rng.integers(2)] if leave else within for leave, within, out in zip(outside, inner, outer, strict=True)
        ]
        return [float(rng.uniform(*interval)) for interval in chosen]

    def _draw_single(self, rng: np.random.Generator) -> tuple[float, ...]:
        radius, speed = self._draw_values(rng, 1)
        latest = WORLD - FRAMES_IN_VIEW * FRAME * speed - radius
        x = rng.uniform(radius, latest if latest > radius else radius + 0.5)
        lowest = WORLD - 1.5 - radius if self.task == "parabola" else radius + 0.5
        return x, rng.uniform(lowest, WORLD - 0.5 - radius), speed, 0, radius

    def _draw_pair(self, rng: np.random.Generator) -> tuple[float, ...]:
        while True:
            r0, r1, v0, v1 = self._draw_values(rng, 2)
            nearest = r0 + r1 + FRAMES_BEFORE * FRAME * (v0 + v1)
            farthest = min(r0 + r1 + (EPISODE - FRAMES_AFTER) * FRAME * (v0 + v1), WORLD - r0 - r1)
            if nearest < farthest:
                break
        apart = rng.uniform(nearest, farthest)
        x = rng.uniform(r0, WORLD - r1 - apart)
        y = rng.uniform(max(r0, r1) + 0.5, WORLD - 0.5 - max(r0, r1))
        return x, y, v0, 0, r0, x + apart, y, -v1, 0, r1

    def load(self, state: np.ndarray) -> None:
        """Start from ``state``."""
        self.balls = state.astype(np.float64).reshape(2, len(FIELDS))

    def step(self, action: Action) -> np.ndarray:
        """0.1 s. There is one action, 0: watch."""
        impact = time_to_impact(self.balls)
        if impact < FRAME:
            self._fly(impact)
            self.balls[:, 2] = after_impact(self.balls)
            self._fly(FRAME - impact)
        else:
            self._fly(FRAME)
        return self.balls.reshape(-1).astype(np.float32)

    def _fly(self, seconds: float) -> None:
        """x += v t + a t^2 / 2; v += a t."""
        fall = np.array([0.0, self.acceleration])
        self.balls[:, 0:2] += self.balls[:, 2:4] * seconds + fall * seconds**2 / 2
        self.balls[:, 2:4] += fall * seconds

    def tags(self, state: np.ndarray) -> tuple[str, ...]:
        """The task and the range."""
        return (self.task, self.range)


def time_to_impact(balls: np.ndarray) -> float:
    """Seconds until two balls (rows: x, y, vx, vy, radius) meet head on; infinity if they never do."""
    closing = balls[0, 2] - balls[1, 2]
    gap = balls[1, 0] - balls[0, 0] - balls[0, 4] - balls[1, 4]
    return max(gap, 0.0) / closing if closing > 0 else np.inf


def after_impact(balls: np.ndarray) -> np.ndarray:
    """vx [2] after an elastic impact along x; mass is proportional to radius squared."""
    mass = balls[:, 4] ** 2
    centre = (mass @ balls[:, 2]) / mass.sum()
    return 2 * centre - balls[:, 2]


def policy(name: str, rng: np.random.Generator) -> Policy:
    """watch: there is nothing else to do."""
    checked_option("policy", name, POLICIES)
    return lambda state: 0


# -------------------------------------------------------------------------------------------- picture


def render(states: np.ndarray, size: int) -> np.ndarray:
    """Draw states float32 [t, s] as frames uint8 [t, size, size, 3], antialiased twice over.

    Drawing at double size first halves the measurement floor (see `velocity_error`).
    """
    frames = pictures.blank(len(states), 2 * size, BACKGROUND)
    for i, name in enumerate(BALLS):
        x, y, _, _, radius = np.split(states[:, 5 * i : 5 * i + 5] / np.float32(WORLD), 5, axis=1)
        if not np.isnan(x).all():
            pictures.paint(frames, pictures.disc(np.hstack([x, y]), radius[:, 0], 2 * size), PALETTE[name])
    return pictures.to_bytes(pictures.halved(frames))


def locate(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Soft centroids of the "red" and the "blue" ball in frames uint8 [n, h, w, 3].

    Each [n, 2], world units, y up; NaN where there is none. A ball partly out of view is seen too far inside.
    """
    centre = centroids(body_weights(frames, BACKGROUND, PALETTE)) * WORLD
    return {name: centre[:, k] for k, name in enumerate(BALLS)}


def masses(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Visible area of each ball as a part of the frame: each [n]."""
    mass = masses_of(body_weights(frames, BACKGROUND, PALETTE))
    return {name: mass[:, k] for k, name in enumerate(BALLS)}


def weights(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Covered part of each pixel, [n, h, w], for both balls; see `faint_weights`."""
    return dict(zip(PALETTE, faint_weights(frames, BACKGROUND, PALETTE).swapaxes(0, 1), strict=True))


# -------------------------------------------------------------------------------------------- metrics


def velocity_error(centres: Mapping[str, np.ndarray], states: np.ndarray, given: int = GIVEN) -> float:
    """Velocity error as the paper defines it, in units / s: mean over balls and frames of |v - v_true|.

    Velocities are differences of successive positions. Left out: the ``given`` frames, frames in which the true ball is
    partly out of view and, where two balls meet, frames before the impact. A ball that is not seen counts as at rest.

    Floor, on true pictures, uniform / collision / parabola, in the training range: 0.0178 / 0.0235 / 0.0225 at 32
    pixels, 0.0055 / 0.0066 / 0.0060 at 64; outside it 0.0233 / 0.0310 / 0.0318 and 0.0064 / 0.0084 / 0.0075
    (``python benchmarks/worlds.py``, kept in results/benchmark-worlds.json).

    Args:
        centres: what `locate` found in the film to judge, [t, 2] for each ball.
        states: the truth, [t, s].

    Returns:
        The error; NaN where no frame counts (no impact, or nothing in view after it).
    """
    found = measured_and_true(centres, states, given)
    return float(np.mean([np.linalg.norm(v - true, axis=-1).mean() for v, true in found])) if found else np.nan


def velocity_error_code(centres: Mapping[str, np.ndarray], states: np.ndarray, given: int = GIVEN) -> float:
    """Velocity error as the released evaluation computes it: |mean over frames of v - the same of v_true|.

    Jitter averages out, so it is far smaller than `velocity_error`. Arguments and NaN as there. Floor in the training
    range: 0.0008 / 0.0056 / 0.0011 at 32 pixels, 0.0002 / 0.0013 / 0.0003 at 64.
    """
    found = measured_and_true(centres, states, given)
    return float(np.mean([np.linalg.norm((v - true).mean(axis=0)) for v, true in found])) if found else np.nan


def measured_and_true(
    centres: Mapping[str, np.ndarray], states: np.ndarray, given: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Velocities [n, 2] of each ball over the frames that count: (measured, true). Balls with none are left out."""
    found = []
    for i, name in enumerate(BALLS):
        use = counted(states, i, given)
        if use.any():
            measured = np.nan_to_num(np.diff(centres[name], axis=0)[use]) / FRAME
            found.append((measured, np.diff(states[:, 5 * i : 5 * i + 2], axis=0)[use] / FRAME))
    return found


def counted(states: np.ndarray, i: int, given: int) -> np.ndarray:
    """Which of the t - 1 steps count for ball ``i``: bool [t - 1]."""
    place, radius = states[:, 5 * i : 5 * i + 2], states[:, 5 * i + 4 : 5 * i + 5]
    in_view = ((place >= radius) & (place <= WORLD - radius)).all(axis=1)
    late = np.arange(len(states)) >= given
    if not np.isnan(states[0, len(FIELDS)]):
        late &= states[:, 2] != states[0, 2]  # after the impact, which changes both velocities
    use = in_view & late
    return use[:-1] & use[1:]
