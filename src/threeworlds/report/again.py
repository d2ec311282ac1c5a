"""The command that asks one question again, derived from the command that made the result."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from threeworlds.report.words import DERIVED
from threeworlds.types import Result

ITSELF = "Ask this question again, of the same models on the same episodes:"
ANEW = "Ask this question again, of the models that the comparison has trained, on episodes drawn anew from the seed:"
WHOLE = "This comes out of the whole command, which goes on where it was stopped:"


@dataclass(frozen=True, kw_only=True)
class Again:
    note: str  # what the command does
    command: str


def again(result: Result, question: str) -> Again:
    """``threeworlds score ... --questions QUESTION`` where that can be, else the whole command."""
    whole = Again(note=WHOLE, command=result.command)
    try:
        words = shlex.split(result.command)
    except ValueError:  # a quote that is not closed: the command came from outside
        return whole
    if question in DERIVED or words[:1] != ["threeworlds"]:
        return whole
    if words[1:2] == ["score"]:
        return Again(
            note=ITSELF, command=_score(_left(words, ("--questions", "--out")), question, _told(words, "--out"))
        )
    models = _models(result, words)
    if words[1:2] != ["compare"] or not models:
        return whole
    kept = [word for name in ("--world", "--seed", "--items", "--option") for word in _pairs(words, name)]
    return Again(note=ANEW, command=_score(["threeworlds", "score", *models, *kept], question, _told(words, "--out")))


def _score(words: Sequence[str], question: str, out: str) -> str:
    return shlex.join([*words, "--questions", question, "--out", f"{out or 'runs/again'}-{question}"])


def _models(result: Result, words: Sequence[str]) -> list[str]:
    """Folders of the trained models, one a route: ``score`` takes no variants, and asks on built-in worlds only."""
    out, routes = _told(words, "--out"), _told(words, "--routes").split(",")
    if not (out and _told(words, "--world")):
        return []
    budgets = result.data.get("budgets", ())
    folder = f"{out}/budget-{budgets[-1]}" if budgets else out
    return [f"{folder}/models/{route}" for route in routes if route in result.routes]


def _left(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """All words but these options and their values."""
    return [word for i, word in enumerate(words) if word not in names and (i == 0 or words[i - 1] not in names)]


def _pairs(words: Sequence[str], name: str) -> list[str]:
    """Every ``--name value`` among the words."""
    return [part for i, word in enumerate(words[:-1]) if word == name for part in (word, words[i + 1])]


def _told(words: Sequence[str], name: str) -> str:
    return next(iter(_pairs(words, name)[1:]), "")
