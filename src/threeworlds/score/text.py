"""Text: does the film show what the words say? Judged from pixels by an exact parser, so only in worlds that have one.

Legend: n items, t frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threeworlds.score.exam import Answers, Entrant, Exam, Measured
from threeworlds.score.films import film_of, to_uint8
from threeworlds.score.prediction import CHUNK, SHOWN, bodies
from threeworlds.types import Generates, Prompt
from threeworlds.worlds import World

VERSION = "1"
SPAN = 4  # frames over which a direction is read, at most
RESTS = 0.0075  # a body that moves less than this a frame rests, in box units
KNOCK = 0.03  # a velocity farther than this from the first, in box units a frame: the body has hit something
EVERY = 2  # shapes are read off every second frame
NO_WORDS = "takes no words, by design"
NO_PARSER = (
    "what these captions say cannot be read off pixels: that takes an exact parser of the words, which built-in worlds "
    "have; a judge of any words would be a pretrained model, and none is used here"
)


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """One film for each held-out caption: right colours, right directions."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Generates)]
    absent = {e.route: NO_WORDS for e in entrants if e not in able}
    if exam.opening is None or exam.world is None or exam.world.parse_caption is None or exam.world.locate is None:
        why = "these clips have no captions" if exam.opening is None else NO_PARSER
        return Answers(measured=tuple(_measured(m, {}, {}, {}, {e.route: why for e in able} | absent) for m in JUDGES))
    assert exam.opening.caption is not None and exam.opening.video is not None
    captions, frames = exam.opening.caption, exam.opening.video.shape[1]
    said = [exam.world.parse_caption(caption)["shapes"] for caption in captions]
    order = np.random.default_rng(exam.seed).permutation(len(said))
    shuffled = [said[i] for i in order]
    made = {entrant.route: generate(entrant, captions, frames, exam.seed) for entrant in able}
    seen = {route: look(exam.world, video) for route, video in made.items()}
    truth = look(exam.world, exam.opening.video)
    measured = []
    for metric, judge in JUDGES.items():
        if truth.likeness is None and metric in NEED_SHAPES:
            continue
        values = {route: judge(films, said) for route, films in seen.items()}
        floors = {route: ("shuffled captions", judge(films, shuffled)) for route, films in seen.items()}
        measured.append(_measured(metric, values, floors, {"the true clips": judge(truth, said)}, absent))
    return Answers(measured=tuple(measured), films=tuple(_films(exam, captions, made)))


def generate(entrant: Entrant, captions: Sequence[str], frames: int, seed: int) -> Tensor:
    """A film for each caption, [n, t, c, h, w]."""
    parts = []
    for start in range(0, len(captions), CHUNK):
        prompt = Prompt(caption=tuple(captions[start : start + CHUNK]), frames=frames)
        parts.append(entrant.model.generate(prompt, seed=seed + start).video)
    return torch.cat(parts)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the parser sees in n films."""

    where: Mapping[str, np.ndarray]  # body -> centroids [n, t, 2], NaN where it is not seen
    likeness: Mapping[str, np.ndarray] | None  # body -> likeness to each shape, mean over frames [n, shapes]
    shapes: tuple[str, ...]  # names of the shapes


def look(world: World, video: Tensor) -> Seen:
    """Parse films [n, t, c, h, w]."""
    assert world.locate is not None
    where = bodies(world.locate, video)
    if world.likeness is None:
        return Seen(where=where, likeness=None, shapes=())
    frames = to_uint8(video[:, ::EVERY])
    alike = world.likeness(frames.reshape(-1, *frames.shape[2:]))
    by_film = {name: each.reshape(*frames.shape[:2], -1) for name, each in alike.items()}
    likeness = {name: np.nan_to_num(each).mean(1) for name, each in by_film.items()}
    return Seen(where=where, likeness=likeness, shapes=world.shapes)


def colours_right(seen: Seen, said: Sequence[Any]) -> np.ndarray:
    """1 where exactly the colours that the caption names are there in most frames, [n]."""
    names = [name for name in seen.where if name != "avatar"]
    present = np.stack([(~np.isnan(seen.where[name]).any(-1)).mean(1) > 0.5 for name in names], axis=-1)
    told = np.array([[name in {shape["colour"] for shape in shapes} for name in names] for shapes in said])
    return (present == told).all(-1).astype(float)


def shapes_right(seen: Seen, said: Sequence[Any]) -> np.ndarray:
    """Part of the captioned bodies that look most like the shape named; one that is not there is wrong. [n]"""
    assert seen.likeness is not None

    def looks(colour: str, item: int) -> str | None:
        assert seen.likeness is not None
        alike = seen.likeness[colour][item]
        return seen.shapes[int(alike.argmax())] if alike.any() else None

    return np.array([np.mean([looks(s["colour"], i) == s["shape"] for s in shapes]) for i, shapes in enumerate(said)])


def directions_right(seen: Seen, said: Sequence[Any]) -> np.ndarray:
    """Part of the captioned shapes that set off as the caption says; one that is not there is wrong. [n]"""
    return np.array(
        [
            np.mean([heading(seen.where[shape["colour"]][item]) == shape["direction"] for shape in shapes])
            for item, shapes in enumerate(said)
        ]
    )


def all_right(seen: Seen, said: Sequence[Any]) -> np.ndarray:
    """1 where colours, shapes and directions are all right, [n]."""
    each = [judge(seen, said) for judge in (colours_right, shapes_right, directions_right)]
    return (np.stack(each) == 1).all(0).astype(float)


def heading(where: np.ndarray) -> str | None:
    """The main direction of a path [t, 2] (y up) over its first frames, up to the first knock.

    None where the body is not seen in the first two.
    """
    velocity = np.diff(where[: SPAN + 1], axis=0)
    if np.isnan(velocity[0]).any():
        return None
    straight = np.linalg.norm(velocity - velocity[0], axis=1) < KNOCK
    steps = int(np.argmin(np.append(straight, False)))
    dx, dy = where[steps] - where[0]
    if max(abs(dx), abs(dy)) < RESTS * steps:
        return "rest"
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "up" if dy > 0 else "down"


JUDGES = {"colour": colours_right, "shape": shapes_right, "direction": directions_right, "full_match": all_right}
NEED_SHAPES = ("shape", "full_match")


def _measured(metric: str, values: Any, shuffled: Any, ceilings: Any, absent: Mapping[str, str]) -> Measured:
    texts = {
        "colour": "exactly the colours named are there, and no other",
        "shape": "the bodies look most like the shapes named",
        "direction": "the shapes set off in the directions named",
        "full_match": "all of this is right: colours, shapes, directions",
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
        windows=False,
        absent=absent,
    )


def _films(exam: Exam, captions: Sequence[str], made: Mapping[str, Tensor]) -> list[Any]:
    assert exam.opening is not None and exam.opening.video is not None
    films = []
    for item in range(min(SHOWN, len(captions))):
        for route, video in {"truth": exam.opening.video, **made}.items():
            films.append(film_of(captions[item], route, "text", to_uint8(video[item]), fps=exam.spec.fps))
    return films
