"""A journey: an agent on its way to a goal in the true world, and the same way as the model imagined it.

Legend: t frames, s state variables, a action size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from threeworlds.planning.search import shifted
from threeworlds.score.films import to_uint8
from threeworlds.score.planning import EXECUTED, SETTINGS, as_video, new_memory, next_plan, with_goals
from threeworlds.types import Acts, ClipSpec, Plans, Predicts
from threeworlds.worlds import WORLDS, World, collect

LONGEST = 1000  # steps
TRAIL = 0.45  # brightness of where the agent was


@dataclass(frozen=True, kw_only=True)
class Journey:
    """What happened, and what had been imagined of it from the first picture and the actions alone."""

    real: np.ndarray  # uint8 [t, h, w, 3]
    imagined: np.ndarray  # uint8 [t, h, w, 3]; its first frame is the true one
    goal: np.ndarray  # uint8 [h, w, 3]
    actions: np.ndarray  # float32 [t - 1, a] in [-1, 1]
    states: np.ndarray  # float32 [t, s], the true ones
    reached: int | None  # steps until it was near the goal, if it ever was


def travel(
    model: Any,
    spec: ClipSpec,
    *,
    start: Sequence[float] | None = None,
    goal: Sequence[float] | None = None,
    seed: int = 0,
    steps: int = 60,
    mode: Literal["search", "actor"] = "search",
    search: str = "",
    options: dict[str, Any] | None = None,
) -> Journey:
    """Go from ``start`` to ``goal`` (places [2] in the box; None: drawn by seed) and stop there, or after ``steps``.

    By search, a plan is made at every step, and begins from the rest of the last one; a model that remembers where its
    plans led takes as many steps of each as in the exam, since one step shows too little. ``search``: which one, by
    name.

    Raises:
        ValueError: the model cannot plan or was made for no world with goals; a place is outside or in a wall; no such
            search.
    """
    world = checked_world(model, spec, mode)
    if search and mode == "actor":
        raise ValueError(f"search {search!r} with mode 'actor': an actor does not search")
    if not 1 <= steps <= LONGEST:
        raise ValueError(f"{steps} steps: allowed are 1 to {LONGEST}")
    now, target = draw_places(world, start, goal, seed, options or {})
    states: list[np.ndarray] = [now]
    actions: list[np.ndarray] = []
    there = as_video(world.render(target[None], spec.height))
    rest: torch.Tensor | None = None  # of the last plan [1, horizon, a]
    memory = new_memory(model, EXECUTED)
    taken = 1 if memory is None else EXECUTED
    while len(actions) < steps and not world.reached(states[-1], target):
        frames = as_video(world.render(np.stack([states[-2:][0], states[-1]]), spec.height))[None]
        if mode == "actor":
            decided = model.act(frames, there)[:, None]
        else:
            plan = next_plan(model, frames, there, seed=seed, rest=rest, search=search, memory=memory)
            decided, rest = plan[:, :taken], shifted(plan, taken)
        for action in decided[0, : steps - len(actions)].numpy():
            if world.reached(states[-1], target):
                break
            actions.append(action)
            assert world.advance is not None
            states.append(world.advance(states[-1][None], action[None])[0])
    path = np.stack(states)
    moves = np.array(actions, np.float32).reshape(-1, spec.action.size)
    real = world.render(path, spec.height)
    return Journey(
        real=real,
        imagined=imagine(model, real, moves),
        goal=world.render(target[None], spec.height)[0],
        actions=moves,
        states=path,
        reached=len(moves) if world.reached(path[-1], target) else None,
    )


def imagine(model: Any, real: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The first frame, and what the model makes of it under the actions: uint8 [t, h, w, 3]."""
    if not len(actions):
        return real[:1]
    first = as_video(real[:1])[None]
    ahead = model.predict(first, len(actions), action=torch.from_numpy(actions)[None]).video[0]
    return np.concatenate([real[:1], to_uint8(ahead)])


def film(journey: Journey) -> np.ndarray:
    """Real, imagined and goal side by side, each with its trail: uint8 [t, h, 3 w + gaps, 3]."""
    t, h, _, _ = journey.real.shape
    gap = np.full((t, h, 2, 3), 255, np.uint8)
    goal = np.broadcast_to(journey.goal, journey.real.shape)
    return np.concatenate([with_trail(journey.real), gap, with_trail(journey.imagined), gap, goal], axis=2)


def with_trail(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 [t, h, w, 3] in which a body leaves a trail: darker than it, or on a light ground lighter."""
    if frames.mean() > 127:
        return 255 - with_trail(255 - frames)
    trail = np.maximum.accumulate(frames, axis=0) * TRAIL
    return np.maximum(frames, trail.astype(np.uint8))


def checked_world(model: Any, spec: ClipSpec, mode: str) -> World:
    """The model's world, if it has goals and the model can go for them."""
    world = WORLDS.get(spec.world)
    if world is None or world.advance is None:
        raise ValueError(
            f"this model is of {spec.world or 'video from outside'}; goals are set in {', '.join(with_goals())}"
        )
    if not isinstance(model, Plans) or not isinstance(model, Predicts):
        raise ValueError("this model does not plan, by design; train the route jepa")
    if mode == "actor" and not (isinstance(model, Acts) and model.can_act):
        raise ValueError("this model has no actor; plan by search, or train with the recipe `rooms`")
    return world


def draw_episode(
    world: World, start: Sequence[float] | None, goal: Sequence[float] | None, seed: int, options: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """(start, goal), states [s], where a goal is more than a place: the ends of an episode as the exam draws them."""
    if start is not None or goal is not None:
        raise ValueError(
            f"a goal of {world.name} is more than a place: leave --start and --goal out, and give a --seed"
        )
    made = collect(world.name, episodes=100, seed=seed, steps=SETTINGS[0].offset + 1, size=8, **options)
    ends = ((clip.state[0], clip.state[-1]) for clip in made if clip.state is not None)
    return next(pair for pair in ends if not world.reached(*pair))


def draw_places(
    world: World, start: Sequence[float] | None, goal: Sequence[float] | None, seed: int, options: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """(start, goal), states [s]: places drawn by seed where they are not given; the walls are drawn with the start."""
    if not world.places:
        return draw_episode(world, start, goal, seed, options)
    rng, simulator = np.random.default_rng(seed), world.simulator(**options)
    first, second = simulator.draw(rng), simulator.draw(rng)
    second[2:] = first[2:]
    for state, place in ((first, start), (second, goal)):
        if place is not None:
            state[:2] = place
    while goal is None and (not world.is_free(second) or world.reached(first, second)):
        second[:2] = simulator.draw(rng)[:2]
    for name, state in (("start", first), ("goal", second)):
        if not world.is_free(state):
            raise ValueError(f"{name} {state[0]:.3g} {state[1]:.3g} is outside the box or in a wall: {world.places}")
    return first, second
