"""Passive: most events need no action. Does the world run on by itself as the true one does?

The truth is simulated: from the last given frame on, the avatar stays. Each route is told so in its own way: genie by
its null action, jepa by "stay"; sora takes no actions and is told nothing. Where the other bodies are then is asked by
physics (`passive_error`), and by nobody else.

Legend: n items, t frames ahead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threeworlds.score.exam import GIVEN, Answers, Entrant, Exam, Measured
from threeworlds.score.films import film_of, to_uint8
from threeworlds.score.hallucination import simulated
from threeworlds.score.prediction import CHUNK, SHOWN, bodies, psnr, squared_error
from threeworlds.types import Predicts, Reconstructs

VERSION = "2"
AHEAD = 8  # frames
RESTS = 0.05  # box units: an avatar that has gone no farther has stayed
PROTOCOL = f"{GIVEN} frames given, then no action for {AHEAD} frames, against the simulator in which the avatar stays"

Judge = Any  # film [n, t, c, h, w] -> a number an item, [n]


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Roll out under no action; compare the picture and the avatar with the simulator's."""
    able = [e for e in entrants if isinstance(e.model, Predicts)]
    absent = {e.route: "makes no pictures, by design" for e in entrants if e not in able}
    if exam.world is None or exam.world.locate is None or "stay" not in exam.spec.action.names:
        why = {e.route: "no simulator in which an avatar can stay" for e in able}
        return Answers(measured=(_measured(METRICS[0][:-1], {}, {}, {}, {**why, **absent}),))
    assert exam.test.state is not None
    truth = simulated(exam, exam.test.state[:, GIVEN - 1].numpy(), AHEAD)
    made = {e.route: let_run(e, exam) for e in able}
    naive = {"frozen world": exam.given[:, -1:].expand_as(truth), "another clip": truth.roll(1, 0)}
    best = {e.route: e.model.reconstruct(truth).clamp(-1, 1) for e in able if isinstance(e.model, Reconstructs)}
    measured = []
    for (*metric, floor), judge in zip(METRICS, judges(exam, truth), strict=True):
        values = {route: judge(film) for route, film in made.items()}
        ceilings = {route: ("its own reconstruction", judge(film)) for route, film in best.items()}
        measured.append(_measured(metric, values, {floor: judge(naive[floor])}, ceilings, absent))
    return Answers(measured=tuple(measured), films=tuple(_films(exam, truth, made)))


def let_run(entrant: Entrant, exam: Exam) -> Tensor:
    """What the model makes of the given frames under no action, [n, AHEAD, c, h, w]."""
    told = None
    if entrant.model.control == "action":
        assert exam.test.action is not None
        told = exam.test.action[:, : GIVEN - 1 + AHEAD].clone()
        told[:, GIVEN - 1 :] = exam.spec.action.names.index("stay")
    parts = []
    for start in range(0, len(exam.given), CHUNK):
        chosen = slice(start, start + CHUNK)
        action = None if told is None else told[chosen]
        parts.append(entrant.model.predict(exam.given[chosen], AHEAD, action=action, seed=exam.seed + start).video)
    return torch.cat(parts).clamp(-1, 1)


METRICS = (  # and the floor: a frozen world's avatar rests without fail
    (f"psnr_h{AHEAD}", "dB", "higher", f"PSNR of frame {AHEAD}", "frozen world"),
    (
        "avatar_rests",
        "of items",
        "higher",
        f"the avatar is in frame {AHEAD} within {RESTS} of where it was",
        "another clip",
    ),
)


def judges(exam: Exam, truth: Tensor) -> tuple[Judge, ...]:
    """For each of METRICS a function from a film [n, AHEAD, c, h, w] to a number an item, [n]."""
    assert exam.world is not None and exam.world.locate is not None
    locate = exam.world.locate
    began = bodies(locate, exam.given[:, -1:])["avatar"][:, 0]

    def picture(film: Tensor) -> np.ndarray:
        return psnr(squared_error(film[:, -1:], truth[:, -1:]))[:, 0]

    def rests(film: Tensor) -> np.ndarray:
        gone = np.linalg.norm(bodies(locate, film[:, -1:])["avatar"][:, 0] - began, axis=-1)
        return np.where(np.isnan(began).any(-1), np.nan, (np.nan_to_num(gone, nan=np.inf) < RESTS).astype(float))

    return picture, rests


def _measured(metric: Any, values: Any, floors: Any, ceilings: Any, absent: Mapping[str, str]) -> Measured:
    name, unit, direction, text = metric
    return Measured(
        question="passive",
        metric=name,
        unit=unit,
        direction=direction,
        protocol=f"{PROTOCOL}: {text}",
        values=values,
        floors=floors,
        own_ceilings=ceilings,
        absent=absent,
    )


def _films(exam: Exam, truth: Tensor, made: Mapping[str, Tensor]) -> list[Any]:
    films = []
    for item in range(min(SHOWN // 2, len(truth))):
        for route, film in {"truth": truth, **made}.items():
            frames = to_uint8(torch.cat([exam.given[item], film[item]]))
            name = f"no action, clip {item + 1}"
            films.append(film_of(name, route, "passive", frames, given=GIVEN, fps=exam.spec.fps))
    return films
