"""Episodes from a world, on one or more processes, the same bytes whatever their number."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from threeworlds.types import Clip
from threeworlds.worlds.base import World, checked_option, checked_size

CHUNK = 16  # episodes a task: long enough to hide the cost of handing them over


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that decides the bytes of an episode, but its number."""

    world: str
    seed: int
    size: int
    steps: int
    policies: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


def collect(
    world: str,
    *,
    episodes: int,
    seed: int,
    workers: int = 1,
    size: int | None = None,
    steps: int | None = None,
    policies: Sequence[str] | None = None,
    **options: Any,
) -> Iterator[Clip]:
    """Yield ``episodes`` clips of ``steps`` frames, in order; episode i depends on the seed and on i alone.

    Args:
        world: a name in WORLDS.
        workers: processes; 1 stays in this one. More are spawned, so a script needs its ``__main__`` guard.
        size: pixels a side; steps: frames an episode; policies: chosen at random for each episode. None: the world's.
        options: the world's own (``combinations="heldout"``, ``task="parabola"``, ``layout="random"``, ...).
    """
    job = make_job(world, seed=seed, size=size, steps=steps, policies=policies, options=options)
    if workers < 1:
        raise ValueError(f"workers={workers}: at least 1")
    if workers == 1:
        return (episode(job, i) for i in range(episodes))
    return collect_in_parallel(job, episodes, workers)


def make_job(
    name: str,
    *,
    seed: int,
    size: int | None,
    steps: int | None,
    policies: Sequence[str] | None,
    options: dict[str, Any],
) -> Job:
    """Fill in the world's own values and check what was asked."""
    world = find_world(name)
    world.simulator(**options)
    if steps is not None and steps < 2:
        raise ValueError(f"steps={steps}: an episode has at least 2 frames")
    return Job(
        world=name,
        seed=seed,
        size=checked_size(world.size if size is None else size),
        steps=world.steps if steps is None else steps,
        policies=tuple(checked_option("policy", p, world.policies) for p in policies or world.policies),
        options=options,
    )


def find_world(name: str) -> World:
    """The world of that name."""
    from threeworlds.worlds import COLLECTIONS, WORLDS  # here: the package imports this file

    if checked_option("world", name, (*WORLDS, *COLLECTIONS)) in COLLECTIONS:
        raise ValueError(f"{name} is a game: its clips can be made, but it has no simulator")
    return WORLDS[name]


def collect_in_parallel(job: Job, episodes: int, workers: int) -> Iterator[Clip]:
    """Chunks of episodes on a pool; a few more than there are workers under way, so memory stays bounded."""
    chunks = iter(range(0, episodes, CHUNK))
    pending: deque[Future[list[Clip]]] = deque()
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        while True:
            while len(pending) < 2 * workers and (start := next(chunks, None)) is not None:
                pending.append(pool.submit(run_chunk, job, start, min(start + CHUNK, episodes)))
            if not pending:
                return
            yield from pending.popleft().result()


def run_chunk(job: Job, start: int, stop: int) -> list[Clip]:
    """Episodes start <= i < stop."""
    return [episode(job, i) for i in range(start, stop)]


def episode(job: Job, i: int) -> Clip:
    """Episode ``i``: play it without drawing, then draw all frames at once."""
    world = find_world(job.world)
    rng = np.random.default_rng(np.random.SeedSequence([job.seed, i]))
    name = job.policies[rng.integers(len(job.policies))]
    simulator = world.simulator(**job.options)
    policy = world.policy(name, rng)
    states = [simulator.draw(rng)]
    actions = []
    simulator.load(states[0])
    for _ in range(job.steps - 1):
        actions.append(policy(states[-1]))
        states.append(simulator.step(actions[-1]))
    state = np.stack(states)
    dtype = np.float32 if world.action.kind == "continuous" else np.int64
    return Clip(
        video=world.render(state, job.size),
        action=None if world.action.kind == "none" else np.array(actions, dtype),
        state=state,
        captions=world.caption(state, rng) if world.caption else (),
        fps=world.fps,
        source=f"{world.name}/{job.seed}/{i}",
        tags=(name, *simulator.tags(states[0])),
    )
