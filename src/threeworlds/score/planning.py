"""Planning: given a picture of the goal, does the model choose actions that get there?

Goals are frames that a policy reached some steps after the start, in episodes drawn anew by seed, so they can be
reached. The agent replans after every step. Starts already at the goal are left out. Success is judged at the end;
``_ever`` counts a goal that was only passed.

Legend: n episodes, s state variables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import torch

from threeworlds.score.exam import EXAM_SEEDS, Answers, Entrant, Exam, Measured
from threeworlds.score.stats import wilson
from threeworlds.types import Plans
from threeworlds.worlds import collect

OFFSET, BUDGET = 25, 50  # steps between start and goal in the source episode; steps allowed
CHUNK = 25  # episodes planned at a time: more of them than fit the cache are slower, not faster
NEAR = 4.5 / 64  # of the box: at the goal
Act = Callable[[np.ndarray, np.ndarray], np.ndarray]  # frames of the last two moments, goal frames -> actions [n, a]


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Success, and milliseconds a decision."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Plans)]
    absent = {e.route: "does not plan, by design" for e in entrants if e not in able}
    if exam.world is None or exam.world.distance is None or exam.spec.action.kind != "continuous":
        why = "no goals to reach in these clips: planning is asked in the world `rooms`"
        return Answers(
            measured=(_success("success_25_50", "at the end", {}, {}, {e.route: why for e in able} | absent),)
        )
    tasks = draw_tasks(exam)
    reached = {"random": attempt(exam, tasks, _random(exam)), "stay": attempt(exam, tasks, _stay(exam))}
    times: dict[str, np.ndarray] = {}
    planned = {}
    for entrant in able:
        act, clock = _planner(entrant, exam)
        planned[entrant.route] = attempt(exam, tasks, act)
        times[entrant.route] = np.array(clock) / len(tasks[0]) * 1e3
    measured = []
    for place, (metric, text) in enumerate((("success_25_50", "at the end"), ("success_25_50_ever", "at some moment"))):
        values = {route: result[place] for route, result in planned.items()}
        floors = {f"{name} policy": result[place] for name, result in reached.items()}
        measured.append(_success(metric, text, values, floors, absent))
    measured.append(
        Measured(
            question="planning",
            metric="ms_search",
            unit="ms",
            direction="lower",
            protocol=f"wall clock of one decision, in batches of {CHUNK} episodes",
            values=times,
            absent=absent,
        )
    )
    return Answers(measured=tuple(measured))


def draw_tasks(exam: Exam) -> tuple[np.ndarray, np.ndarray]:
    """Starts and goals, states [n, s] each, of episodes made for this exam alone."""
    assert exam.world is not None and exam.test.video is not None
    wanted = len(exam.test.video)
    starts, goals = [], []
    seed = EXAM_SEEDS + exam.seed + 1
    episodes = collect(exam.world.name, episodes=4 * wanted, seed=seed, workers=1, **exam.options)
    for clip in episodes:
        assert clip.state is not None
        start, goal = clip.state[0], clip.state[OFFSET]
        if np.linalg.norm(goal[:2] - start[:2]) > NEAR:
            starts.append(start)
            goals.append(goal)
        if len(starts) == wanted:
            break
    return np.stack(starts), np.stack(goals)


def attempt(exam: Exam, tasks: tuple[np.ndarray, np.ndarray], act: Act) -> tuple[np.ndarray, np.ndarray]:
    """Act BUDGET times in every episode: (near the goal at the end, near it ever), 0 or 1 each, [n]."""
    world = exam.world
    assert world is not None and world.distance is not None
    states, goals = tasks[0].copy(), tasks[1]
    simulators = [world.simulator(**exam.options) for _ in states]
    for simulator, state in zip(simulators, states, strict=True):
        simulator.load(state)
    goal_frames = world.render(goals, exam.spec.height)
    before = now = world.render(states, exam.spec.height)
    ever = np.zeros(len(states), bool)
    for _ in range(BUDGET):
        actions = act(np.stack([before, now], axis=1), goal_frames)
        states = np.stack([simulator.step(a) for simulator, a in zip(simulators, actions, strict=True)])
        before, now = now, world.render(states, exam.spec.height)
        near = np.linalg.norm(states[:, :2] - goals[:, :2], axis=-1) < NEAR
        ever |= near
    return near.astype(float), ever.astype(float)


def _planner(entrant: Entrant, exam: Exam) -> tuple[Act, list[float]]:
    clock: list[float] = []

    def act(frames: np.ndarray, goals: np.ndarray) -> np.ndarray:
        start, seed = perf_counter(), exam.seed + len(goals) * len(clock)
        parts = [
            entrant.model.plan(_tensor(frames[i : i + CHUNK]), _tensor(goals[i : i + CHUNK]), seed=seed + i).action[
                :, 0
            ]
            for i in range(0, len(goals), CHUNK)
        ]
        clock.append(perf_counter() - start)
        return torch.cat(parts).numpy()

    return act, clock


def _tensor(frames: np.ndarray) -> torch.Tensor:
    """uint8 [..., h, w, c] -> float32 [..., c, h, w] in [-1, 1]."""
    return torch.from_numpy(np.moveaxis(frames, -1, -3).copy()).float() / 127.5 - 1


def _random(exam: Exam) -> Act:
    rng = np.random.default_rng(exam.seed)
    return lambda frames, goals: rng.uniform(-1, 1, (len(goals), exam.spec.action.size)).astype(np.float32)


def _stay(exam: Exam) -> Act:
    return lambda frames, goals: np.zeros((len(goals), exam.spec.action.size), np.float32)


def _success(metric: str, text: str, values: Any, floors: Any, absent: dict[str, str]) -> Measured:
    rates = {route: wilson(int(won.sum()), len(won)) for route, won in values.items()}
    return Measured(
        question="planning",
        metric=metric,
        unit="of episodes",
        direction="higher",
        protocol=(
            f"goal picture {OFFSET} steps ahead in an unseen episode, {BUDGET} steps allowed, replanned every step, "
            f"starts at the goal left out; within {NEAR:.2f} of the box {text}"
        ),
        values=values,
        floors=floors,
        intervals=rates,
        absent=absent,
    )
