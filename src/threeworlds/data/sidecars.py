"""Words and actions that lie beside a film.

Captions, by time in seconds of the film:
    clip.txt        one text for the whole film
    clip.json       "text", or {"caption": "text"}, or {"captions": [{"start": 0, "stop": 1.5, "text": "..."}, ...]}
    captions.csv    in the same folder: file,text or file,start,stop,text; used for films without a file of their own
Actions, one row a **source** frame (row i is what happens between source frames i and i + 1; a last row too many is
ignored):
    clip.actions.npy    int [n]: discrete; float [n, a] in [-1, 1]: continuous
    clip.actions.csv    a header, then one column of whole numbers (discrete) or one column a dimension (continuous)

For a folder of pictures called ``clip``, the files lie beside the folder.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from threeworlds.data.clips import DataError
from threeworlds.types import Caption

MAX_TEXT = 64 << 20  # bytes of a text sidecar
MAX_DISCRETE = 1024  # different actions; more is surely not a list of actions


@dataclass(frozen=True, kw_only=True)
class Words:
    """A text for start <= time < stop, in s."""

    text: str
    start: float = 0.0
    stop: float = math.inf


@dataclass(frozen=True, kw_only=True)
class Actions:
    """Actions by source frame."""

    values: np.ndarray  # int64 [n] or float32 [n, a]
    names: tuple[str, ...] = ()

    @property
    def discrete(self) -> bool:
        """Whether the actions are numbers of buttons."""
        return self.values.ndim == 1


def read_captions(film: Path, root: Path) -> list[Words]:
    """Captions of a film inside ``root``; a :class:`DataError` names the sidecar that cannot be used."""
    if _present(file := _beside(film, ".json"), root):
        return _words_from_json(file)
    if _present(file := _beside(film, ".txt"), root):
        text = " ".join(_text(file).split())
        return [Words(text=text)] if text else []
    if _present(file := film.parent / "captions.csv", root):
        return _words_from_csv(file, film.name)
    return []


def read_actions(film: Path, root: Path, source_frames: int) -> Actions | None:
    """Actions of a film, or None without a sidecar; a :class:`DataError` names the sidecar that cannot be used."""
    if _present(file := _beside(film, ".actions.npy"), root):
        actions = Actions(values=_load_array(file))
    elif _present(file := _beside(film, ".actions.csv"), root):
        actions = _actions_from_csv(file)
    else:
        return None
    return _checked(actions, file, source_frames)


def captions_of(words: Sequence[Words], times: np.ndarray) -> tuple[Caption, ...]:
    """Captions of an episode whose frames show times [t], in s."""
    found = []
    for word in words:
        start, stop = np.searchsorted(times, (word.start, word.stop)).tolist()
        if start < stop:
            found.append(Caption(start=start, stop=stop, text=word.text))
    return tuple(found)


def actions_of(actions: Actions, source: np.ndarray) -> np.ndarray:
    """Actions [t - 1] of an episode whose frames show source frames [t].

    Between two frames lie several source actions: a continuous one becomes their mean, a discrete one the most
    frequent of them (the earliest of equals). A frame shown twice repeats the action of its source frame.
    """
    spans = [actions.values[first : max(last, first + 1)] for first, last in pairwise(source.tolist())]
    if actions.discrete:
        return np.array([_most_frequent(span) for span in spans], np.int64)
    return np.array([span.mean(axis=0) for span in spans], np.float32).reshape(len(spans), actions.values.shape[1])


def _most_frequent(values: np.ndarray) -> int:
    options, first, counts = np.unique(values, return_index=True, return_counts=True)
    return int(options[np.lexsort((first, -counts))[0]])


def _beside(film: Path, ending: str) -> Path:
    return film.with_name((film.name if film.is_dir() else film.stem) + ending)


def _present(file: Path, root: Path) -> bool:
    """Whether a sidecar is there, and belongs to the folder."""
    inside = file.resolve().is_relative_to(root.resolve())
    if file.is_symlink() and not inside:
        raise DataError(f"{file.name}: a link that leads out of the folder")
    return inside and file.is_file()


def _text(file: Path) -> str:
    if file.stat().st_size > MAX_TEXT:
        raise DataError(f"{file.name}: {file.stat().st_size} bytes; at most {MAX_TEXT} are read")
    try:
        return file.read_text(encoding="utf-8-sig")
    except ValueError as error:
        raise DataError(f"{file.name}: not UTF-8 text") from error


def _words_from_json(file: Path) -> list[Words]:
    try:
        content = json.loads(_text(file))
        if isinstance(content, dict):
            content = content.get("captions", content.get("caption"))
        entries = content if isinstance(content, list) else [{"text": content}]
        return [_words(**entry) for entry in entries]
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{file.name}: not captions ({error})") from error


def _words_from_csv(file: Path, film: str) -> list[Words]:
    rows = csv.DictReader(_text(file).splitlines())
    if not {"file", "text"} <= set(rows.fieldnames or ()):
        raise DataError(f"{file.name}: columns {rows.fieldnames}; needed: file, text, and optionally start, stop")
    try:
        return [
            _words(text=row["text"], start=row.get("start") or 0.0, stop=row.get("stop") or math.inf)
            for row in rows
            if row["file"] == film
        ]
    except (TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{file.name}: not captions ({error})") from error


def _words(*, text: Any, start: Any = 0.0, stop: Any = math.inf) -> Words:
    words = Words(text=" ".join(text.split()) if isinstance(text, str) else "", start=float(start), stop=float(stop))
    if not words.text:
        raise ValueError(f"text is {text!r}; it must be words")
    if not words.start < words.stop:
        raise ValueError(f"from {start} s to {stop} s; the start must come before the stop")
    return words


def _load_array(file: Path) -> np.ndarray:
    try:
        return np.load(file, allow_pickle=False, mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{file.name}: not a NumPy array ({error})") from error


def _actions_from_csv(file: Path) -> Actions:
    names, *rows = csv.reader(_text(file).splitlines()) or [[]]
    try:
        table = np.array([[float(cell) for cell in row] for row in rows if row])
    except ValueError as error:
        raise DataError(f"{file.name}: not a table of numbers under one header ({error})") from error
    if table.ndim != 2 or table.shape[1] != len(names):
        raise DataError(f"{file.name}: rows do not have the {len(names)} columns of the header")
    if table.shape[1] == 1 and (np.mod(table, 1) == 0).all() and "." not in _text(file):
        return Actions(values=table[:, 0].astype(np.int64))
    return Actions(values=table, names=tuple(names))


def _checked(actions: Actions, file: Path, source_frames: int) -> Actions:
    """The first source_frames - 1 actions in the stored types, or an error that says what is wrong."""
    values = actions.values
    whole = values.dtype.kind in "iu" and values.ndim == 1
    if not whole and not (values.dtype.kind == "f" and values.ndim == 2 and values.shape[1] > 0):
        raise DataError(f"{file.name}: {values.dtype} {values.shape}; needed: int (n,) or float (n, a)")
    if len(values) not in (source_frames - 1, source_frames):
        raise DataError(
            f"{file.name}: {len(values)} actions for {source_frames} source frames; needed: one less, or as many"
        )
    values = np.array(values[: source_frames - 1], np.int64 if whole else np.float32)
    low, high = (0, MAX_DISCRETE - 1) if whole else (-1, 1)
    if not ((values >= low) & (values <= high)).all():
        raise DataError(f"{file.name}: an action is not a number in [{low}, {high}]")
    return Actions(values=values, names=actions.names)
