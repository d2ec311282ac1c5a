"""Twins for violation of expectation: a clip of the arena, and the same clip in which something impossible happens.

The two are equal frame by frame until the event, have the same actions, and go on under the law of the arena after
it, so nothing but the event tells them apart. After IntPhys (arXiv 1803.07616) and the intuitive-physics tests of
V-JEPA (arXiv 2502.11831). Legend: n pairs, t frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pymunk

from threeworlds.worlds import arena
from threeworlds.worlds.base import checked_option

KINDS = ("teleport", "vanish", "appear", "reverse", "pass_through", "colour")
EARLIEST = 4  # frames before the event, at least
LATEST = 4  # frames from the event to the end, at least
JUMP = 0.3  # box units that a teleported shape moves, at least
PRESENT, COLOUR = arena.SHAPE_FIELDS.index("present"), arena.SHAPE_FIELDS.index("colour")


@dataclass(frozen=True, kw_only=True)
class Twins:
    """Pairs of clips."""

    kind: str
    possible: np.ndarray  # uint8 [n, t, h, w, 3]
    impossible: np.ndarray  # uint8 [n, t, h, w, 3]
    action: np.ndarray  # int64 [n, t - 1], of both
    event: np.ndarray  # int64 [n]: the first frame that differs


def make_twins(kind: str, *, pairs: int, seed: int, size: int = 32, frames: int = 12) -> Twins:
    """``pairs`` pairs of one of KINDS; pair i depends on the seed and on i alone.

    teleport: a shape is elsewhere at once. vanish: of two shapes one is gone. appear: a second shape is there at once.
    reverse: a shape turns round in free flight. pass_through: two bodies that meet do not touch. colour: a shape has
    another colour.
    """
    checked_option("kind", kind, KINDS)
    if frames < EARLIEST + LATEST:
        raise ValueError(f"frames={frames}: at least {EARLIEST + LATEST}, so that the event lies within")
    made = [_pair(kind, np.random.default_rng([seed, KINDS.index(kind), i]), frames) for i in range(pairs)]
    possible, impossible, action = (np.stack(part) for part in zip(*made, strict=True))
    films = [
        arena.render(states.reshape(-1, states.shape[-1]), size).reshape(pairs, frames, size, size, 3)
        for states in (possible, impossible)
    ]
    differs = (films[0] != films[1]).any((2, 3, 4))
    return Twins(kind=kind, possible=films[0], impossible=films[1], action=action, event=differs.argmax(1))


Pair = tuple[np.ndarray, np.ndarray, np.ndarray]  # states [t, s] possible and impossible, actions [t - 1]


def _pair(kind: str, rng: np.random.Generator, frames: int) -> Pair:
    """Play episodes until the event can be put into one."""
    while True:
        states, actions = _play(kind, rng, frames)
        start = int(rng.integers(EARLIEST, frames - LATEST + 1))
        other = _passed(states, actions) if kind == "pass_through" else _edited(kind, states, actions, start, rng)
        if other is not None:
            return states, other, actions


def _play(kind: str, rng: np.random.Generator, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """An episode with as many shapes as the event needs: states [t, s], actions [t - 1]."""
    shapes = {"vanish": (2,), "appear": (1,)}.get(kind, (1, 2))
    simulator = arena.Arena(combinations="all", shapes=shapes)
    act = arena.policy(str(rng.choice(arena.POLICIES)), rng)
    states, actions = [simulator.draw(rng)], []
    simulator.load(states[0])
    for _ in range(frames - 1):
        actions.append(act(states[-1]))
        states.append(simulator.step(actions[-1]))
    return np.stack(states), np.array(actions, np.int64)


def _edited(
    kind: str, states: np.ndarray, actions: np.ndarray, start: int, rng: np.random.Generator
) -> np.ndarray | None:
    """The episode with frame ``start`` changed, and what follows from it; None where it cannot be changed so."""
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray | None] = {
        "teleport": _teleport,
        "vanish": _vanish,
        "appear": _appear,
        "reverse": _reverse,
        "colour": _recolour,
    }[kind]
    if kind == "reverse" and not _flies_free(states[start - 2 : start + 3]):
        return None
    # A shape turns round between two frames: the change is to the frame before the first that shows it.
    at = start - 1 if kind == "reverse" else start
    first = change(states[at].copy(), rng)
    if first is None:
        return None
    return np.concatenate([states[:at], _continued(first, actions[at:])])


def _continued(state: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """``state`` and what follows from it under ``actions``: [1 + len(actions), s]."""
    simulator = arena.Arena(combinations="all")
    simulator.load(state)
    return np.stack([state, *(simulator.step(action) for action in actions)])


# ------------------------------------------------------------------------------------------ events


def _teleport(state: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    shape = arena.shape_columns(_some_shape(state, rng))
    place = _free_place(state, shape, rng)
    if np.linalg.norm(place - state[shape][:2]) < JUMP:
        return None
    state[shape.start : shape.start + 2] = place
    return state


def _vanish(state: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The second shape is the one that may go: an episode with one shape has the first."""
    columns = arena.shape_columns(1)
    if rng.random() < 0.5:
        state[arena.shape_columns(0)] = state[columns]
    state[columns] = np.nan
    state[columns.start + PRESENT] = 0
    return state


def _appear(state: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    columns = arena.shape_columns(1)
    colour = _other_colour(state, rng)
    look = colour, int(rng.integers(len(arena.SHAPES))), int(rng.integers(len(arena.SIZES)))
    state[columns] = 0, 0, *arena.draw_velocity(rng), rng.uniform(-np.pi, np.pi), 0, *look, 1
    state[columns.start : columns.start + 2] = _free_place(state, columns, rng)
    return state


def _reverse(state: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    velocity = arena.shape_columns(0).start + 2
    state[velocity : velocity + 2] *= -1
    return state


def _recolour(state: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    colour = _other_colour(state, rng)
    state[arena.shape_columns(_some_shape(state, rng)).start + COLOUR] = colour
    return state


def _passed(states: np.ndarray, actions: np.ndarray) -> np.ndarray | None:
    """The episode once more, its bodies but the walls made of air; None unless it parts from the true one in time."""
    simulator = arena.Arena(combinations="all")
    simulator.load(states[0])
    for body in simulator.space.bodies:  # those that move: walls belong to the space itself
        for outline in body.shapes:
            outline.filter = pymunk.ShapeFilter(group=1, categories=outline.filter.categories, mask=outline.filter.mask)
    other = np.stack([states[0], *(simulator.step(action) for action in actions)])
    places = [c for i in range(2) for c in range(arena.shape_columns(i).start, arena.shape_columns(i).start + 2)]
    apart = np.nan_to_num(np.abs(states - other)[:, places]).max(1)
    event = int((apart > 1e-4).argmax())
    parted = EARLIEST <= event <= len(states) - LATEST and apart[event + LATEST - 1] > arena.AVATAR_SPEED
    return np.concatenate([states[:event], other[event:]]) if parted else None


# ----------------------------------------------------------------------------------------- helpers


def _some_shape(state: np.ndarray, rng: np.random.Generator) -> int:
    return int(rng.integers(1 + (state[arena.shape_columns(1)][PRESENT] == 1)))


def _other_colour(state: np.ndarray, rng: np.random.Generator) -> int:
    """A colour that no shape has."""
    taken = {state[arena.shape_columns(i)][COLOUR] for i in range(2)}
    return int(rng.choice([c for c in range(len(arena.COLOURS)) if c not in taken]))


def _free_place(state: np.ndarray, shape: slice, rng: np.random.Generator) -> np.ndarray:
    """A place [2] for the shape of these columns where it touches neither a wall nor another body."""
    margin = arena.reach(int(state[shape][7]), int(state[shape][8])) + 0.02
    bodies = [(state[:2], arena.AVATAR_RADIUS)]
    for i in range(2):
        columns = arena.shape_columns(i)
        if columns != shape and state[columns][PRESENT] == 1:
            bodies.append((state[columns][:2], arena.reach(int(state[columns][7]), int(state[columns][8]))))
    while True:
        place = rng.uniform(margin, 1 - margin, 2)
        if all(np.linalg.norm(place - centre) > margin + radius for centre, radius in bodies):
            return place


def _flies_free(states: np.ndarray) -> bool:
    """Whether the first shape moves, and nothing changes its velocity, in these frames [t, s]."""
    start = arena.shape_columns(0).start
    velocity = states[:, start + 2 : start + 4]
    steady = np.abs(velocity - velocity[0]).max() < 1e-4
    return bool(steady and np.linalg.norm(velocity[0]) > arena.SLOW / 2)
