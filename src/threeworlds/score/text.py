"""Text: does the film show what the words say? Judged from pixels by an exact parser, so only in worlds that have one.

Legend: n items, t frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threeworlds.score.exam import Answers, Entrant, Exam, Measured
from threeworlds.score.films import film_of, to_uint8
from threeworlds.score.prediction import CHUNK, SHOWN, bodies
from threeworlds.types import Generates, Prompt

SPAN = 4  # frames over which a direction is read
RESTS = 0.03  # a body that moves less than this in SPAN frames rests, in box units
NO_WORDS = "takes no words, by design"


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """One film for each held-out caption: right colours, right directions."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Generates)]
    absent = {e.route: NO_WORDS for e in entrants if e not in able}
    if exam.opening is None or exam.world is None or exam.world.parse_caption is None or exam.world.locate is None:
        why = "these clips have no captions" if exam.opening is None else "no exact parser for these captions"
        return Answers(measured=tuple(_measured(m, {}, {}, {}, {e.route: why for e in able} | absent) for m in JUDGES))
    assert exam.opening.caption is not None and exam.opening.video is not None
    captions, frames = exam.opening.caption, exam.opening.video.shape[1]
    said = [exam.world.parse_caption(caption)["shapes"] for caption in captions]
    order = np.random.default_rng(exam.seed).permutation(len(said))
    made = {entrant.route: generate(entrant, captions, frames, exam.seed) for entrant in able}
    seen = {route: bodies(exam.world.locate, video) for route, video in made.items()}
    truth = bodies(exam.world.locate, exam.opening.video)
    measured = []
    for metric, judge in JUDGES.items():
        values = {route: judge(where, said) for route, where in seen.items()}
        shuffled = {
            route: ("shuffled captions", judge(where, [said[i] for i in order])) for route, where in seen.items()
        }
        measured.append(_measured(metric, values, shuffled, {"the true clips": judge(truth, said)}, absent))
    return Answers(measured=tuple(measured), films=tuple(_films(exam, captions, made)))


def generate(entrant: Entrant, captions: Sequence[str], frames: int, seed: int) -> Tensor:
    """A film for each caption, [n, t, c, h, w]."""
    parts = []
    for start in range(0, len(captions), CHUNK):
        prompt = Prompt(caption=tuple(captions[start : start + CHUNK]), frames=frames)
        parts.append(entrant.model.generate(prompt, seed=seed + start).video)
    return torch.cat(parts)


def colours_right(seen: Mapping[str, np.ndarray], said: Sequence[Any]) -> np.ndarray:
    """1 where exactly the colours that the caption names are there in most frames, [n]."""
    names = [name for name in seen if name != "avatar"]
    present = np.stack([(~np.isnan(seen[name]).any(-1)).mean(1) > 0.5 for name in names], axis=-1)
    told = np.array([[name in {shape["colour"] for shape in shapes} for name in names] for shapes in said])
    return (present == told).all(-1).astype(float)


def directions_right(seen: Mapping[str, np.ndarray], said: Sequence[Any]) -> np.ndarray:
    """Part of the captioned shapes that set off as the caption says; one that is not there is wrong. [n]"""
    return np.array(
        [
            np.mean([heading(seen[shape["colour"]][item]) == shape["direction"] for shape in shapes])
            for item, shapes in enumerate(said)
        ]
    )


def heading(where: np.ndarray) -> str | None:
    """The main direction of a path [t, 2] (y up) over its first frames; None where the body is not seen."""
    dx, dy = where[min(SPAN, len(where) - 1)] - where[0]
    if np.isnan(dx + dy):
        return None
    if max(abs(dx), abs(dy)) < RESTS:
        return "rest"
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "up" if dy > 0 else "down"


JUDGES = {"colour": colours_right, "direction": directions_right}


def _measured(metric: str, values: Any, shuffled: Any, ceilings: Any, absent: Mapping[str, str]) -> Measured:
    texts = {
        "colour": "exactly the colours named are there, and no other",
        "direction": "the shapes set off in the directions named",
    }
    return Measured(
        question="text",
        metric=metric,
        unit="of captions",
        direction="higher",
        protocol=f"one film for each held-out caption: {texts[metric]}",
        values=values,
        own_floors=shuffled,
        ceilings=ceilings,
        absent=absent,
    )


def _films(exam: Exam, captions: Sequence[str], made: Mapping[str, Tensor]) -> list[Any]:
    assert exam.opening is not None and exam.opening.video is not None
    films = []
    for item in range(min(SHOWN, len(captions))):
        for route, video in {"truth": exam.opening.video, **made}.items():
            films.append(film_of(captions[item], route, "text", to_uint8(video[item]), fps=exam.spec.fps))
    return films
