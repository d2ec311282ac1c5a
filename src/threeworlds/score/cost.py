"""Cost: what a model took to make, and what it takes to use."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np

from threeworlds.score.exam import NO_FLOOR, Answers, Entrant, Exam, Measured, floorless
from threeworlds.score.prediction import controls_of
from threeworlds.types import Ledger, Predicts, Row

VERSION = "2"
RUNS = 5
FLOORLESS = "what costs nothing makes nothing, so the least is no answer to beat"
COUNTED = "One training, counted and not drawn: no interval but over several seeds"


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Parameters, FLOPs, seconds and memory from the ledger; seconds per generated second by the clock."""
    rows = [row for entrant in entrants for row in _ledger_rows(entrant, exam)]
    able = [entrant for entrant in entrants if isinstance(entrant.model, Predicts)]
    speed = Measured(
        question="cost",
        metric="seconds_per_second",
        unit="s/s",
        direction="lower",
        protocol=f"wall clock to make one second of video, one clip at a time, {RUNS} runs after one to warm up",
        values={entrant.route: _seconds_per_second(entrant, exam) for entrant in able},
        windows=False,
        floorless=FLOORLESS,
        absent={e.route: "makes no pictures, by design" for e in entrants if e not in able},
    )
    return Answers(measured=(speed,), rows=tuple(rows))


def _ledger_rows(entrant: Entrant, exam: Exam) -> list[Row]:
    total = entrant.ledger.get("total")
    if total is None:
        return []
    helpers = entrant.ledger.keys() - {"total"}
    told = "main parts; helper heads are in the ledger" if helpers else "whole route"
    return [
        Row(
            route=entrant.route,
            question="cost",
            metric=metric,
            unit=unit,
            direction="lower",
            value=float(value),
            n=1,
            world=exam.spec.world or "video",
            checkpoint=entrant.checkpoint,
            seed=exam.seed,
            floor_name=NO_FLOOR,
            protocol=f"{text}, {told}. {COUNTED}{floorless(FLOORLESS)}",
        )
        for metric, unit, value, text in _ledger_figures(total)
    ]


def _ledger_figures(ledger: Ledger) -> list[tuple[str, str, Any, str]]:
    return [
        ("parameters", "", ledger.parameters, "trained parameters"),
        ("train_flops", "FLOP", ledger.flops, "forward and backward, multiply and add counted apart"),
        ("train_seconds", "s", ledger.seconds, "wall clock, caching and choosing included"),
        ("peak_memory_mb", "MB", ledger.peak_memory_mb, "largest resident set of the process"),
    ]


def _seconds_per_second(entrant: Entrant, exam: Exam) -> np.ndarray:
    ahead = exam.future.shape[1]
    controls = controls_of(entrant, exam)
    told = controls[:1] if controls is not None else None
    times = []
    for run in range(RUNS + 1):
        start = perf_counter()
        entrant.model.predict(exam.given[:1], ahead, action=told, seed=run)
        times.append((perf_counter() - start) / (ahead / exam.spec.fps))
    return np.array(times[1:])
