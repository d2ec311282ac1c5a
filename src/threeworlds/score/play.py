"""Play: how fast does the world answer, one frame at a time, the picture included?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from threeworlds.score.exam import GIVEN, Answers, Entrant, Exam, Measured
from threeworlds.score.films import to_uint8
from threeworlds.score.prediction import controls_of
from threeworlds.types import Dreams, Predicts

WARM, TIMED = 12, 120  # steps before the clock, and under it


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Seconds a step, in play: a world of its own where the model is one, else a prediction of one frame each time."""
    able = [e for e in entrants if isinstance(e.model, Dreams | Predicts)]
    absent = {e.route: "makes no pictures, by design" for e in entrants if e not in able}
    seconds = {e.route: clocked(stepper(e, exam)) for e in able}
    size = f"{exam.spec.width} x {exam.spec.height} pixels"
    told = f"one step at a time, picture included, {size}, {TIMED} steps after {WARM} to warm up"
    return Answers(
        measured=(
            Measured(
                question="play",
                metric="fps",
                unit="frames/s",
                direction="higher",
                protocol=f"{told}: steps a second of wall clock",
                values={route: (spent,) for route, spent in seconds.items()},
                absent=absent,
                statistic=lambda spent: float(1 / spent.mean()),
            ),
            Measured(
                question="play",
                metric="latency_p95_ms",
                unit="ms",
                direction="lower",
                protocol=f"{told}: 95th percentile of the time of a step",
                values={route: (spent,) for route, spent in seconds.items()},
                absent=absent,
                statistic=lambda spent: float(1e3 * np.quantile(spent, 0.95)),
            ),
        )
    )


def stepper(entrant: Entrant, exam: Exam) -> Callable[[int], object]:
    """A function that makes the next frame; it is called with 0, 1, 2, ..."""
    model = entrant.model
    if isinstance(model, Dreams):
        world = model.as_world()
        world.reset(seed=exam.seed, options={"video": to_uint8(exam.given[0])})
        world.action_space.seed(exam.seed)
        return lambda _: world.step(world.action_space.sample())
    context, controls = exam.given[:1], controls_of(entrant, exam)
    told = controls[:1, :GIVEN] if controls is not None else None
    return lambda step: to_uint8(model.predict(context, 1, action=told, seed=step).video)


def clocked(step: Callable[[int], object]) -> np.ndarray:
    """Seconds of each of TIMED steps."""
    spent = []
    for number in range(WARM + TIMED):
        start = perf_counter()
        step(number)
        spent.append(perf_counter() - start)
    return np.array(spent[WARM:])
