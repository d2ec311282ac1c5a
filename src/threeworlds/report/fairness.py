"""In what a comparison is equal and in what not, in words: from the ledger of what each route was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from threeworlds.report.words import ROUTES, in_order, number
from threeworlds.types import Result

SPENT = (("flops", "FLOPs"), ("seconds", "seconds"), ("unique_clips", "distinct episodes"))
ALIKE = 1.05  # ratio of the largest to the smallest up to which amounts count as equal
TRIALS = "tuning trials, on top"
HEAD = ("route", *(words for _, words in SPENT), "learns from", "helper heads, on top")


@dataclass(frozen=True, kw_only=True)
class Fairness:
    """Amounts in words, "FLOPs (36.0 T for jepa to 127 T for sora)"; ``lines`` has a line a route, under ``head``."""

    equal: tuple[str, ...]
    unequal: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    head: tuple[str, ...] = HEAD

    @property
    def sentence(self) -> str:
        told = (("Equal", self.equal), ("Not equal", self.unequal))
        return " ".join(f"{word}: {', '.join(amounts)}." for word, amounts in told if amounts)

    @property
    def in_short(self) -> str:
        """ "not equal: FLOPs, seconds", or nothing."""
        names = ", ".join(amount.partition(" (")[0] for amount in self.unequal)
        return f"not equal: {names}" if names else ""


def fairness(result: Result) -> Fairness:
    """What each route was given in training, by the totals of the ledger."""
    totals = {route: result.ledger[route].get("total", {}) for route in in_order(result.ledger, ROUTES)}
    equal: list[str] = []
    unequal: list[str] = []
    for key, words in SPENT if len(totals) > 1 else ():
        amounts = {route: float(total.get(key) or 0) for route, total in totals.items()}
        (equal if max(amounts.values()) <= ALIKE * min(amounts.values()) else unequal).append(_range(words, amounts))
    learnt = {route: _learns_from(total) for route, total in totals.items()}
    if len(set(learnt.values())) > 1:
        unequal.append("what they learn from (" + "; ".join(f"{r}: {words}" for r, words in learnt.items()) + ")")
    lines = tuple(
        (route, *(number(total.get(key)) for key, _ in SPENT), learnt[route], _helpers(result.ledger[route]))
        for route, total in totals.items()
    )
    tried = {route: result.routes.get(route, {}).get("trials", {}) for route in totals}
    if not any(tried.values()):
        return Fairness(equal=tuple(equal), unequal=tuple(unequal), lines=lines)
    numbers = {len(trials.get("tried", ())) for trials in tried.values()}
    if len(totals) > 1:
        told = f"tuning trials ({' or '.join(map(str, sorted(numbers)))})"
        (equal if len(numbers) == 1 else unequal).append(told)
    lines = tuple((*line, _trials(trials)) for line, trials in zip(lines, tried.values(), strict=True))
    return Fairness(equal=tuple(equal), unequal=tuple(unequal), lines=lines, head=(*HEAD, TRIALS))


def _range(words: str, amounts: Mapping[str, float]) -> str:
    least, most = min(amounts, key=lambda r: amounts[r]), max(amounts, key=lambda r: amounts[r])
    if amounts[least] == amounts[most]:
        return f"{words} ({number(amounts[least])})"
    return f"{words} ({number(amounts[least])} for {least} to {number(amounts[most])} for {most})"


def _trials(trials: Mapping[str, Any]) -> str:
    """ "learning rates × 1: error 0.021; × 0.5: error 0.020, taken; 1.20 T FLOPs, 32.1 seconds in all"."""
    if not trials:
        return "none"
    taken = {trials["chosen"]: ", taken"}
    told = [f"× {t['factor']:g}: error {number(t['error'])}{taken.get(t['factor'], '')}" for t in trials["tried"]]
    spent = f"{number(trials['flops'])} FLOPs, {number(trials['seconds'])} seconds in all"
    return f"learning rates {'; '.join(told)}; {spent}"


def _learns_from(total: Mapping[str, Any]) -> str:
    return ", ".join(total.get("supervision", ())) or "–"


def _helpers(stages: Mapping[str, Any]) -> str:
    found = left_out(stages)
    return ", ".join(f"{name}: {number(stages[name].get('flops'))} FLOPs" for name in found) or "none"


def left_out(stages: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """Stages that the total does not hold: heads that were trained on top. Found by adding up, FLOPs and steps."""
    parts, total = [name for name in stages if name != "total"], stages.get("total", {})
    for size in range(len(parts)):
        for absent in combinations(parts, size):
            if all(_adds_up(stages, total, key, absent) for key in ("flops", "steps")):
                return absent
    return ()


def _adds_up(stages: Mapping[str, Any], total: Mapping[str, Any], key: str, absent: Sequence[str]) -> bool:
    held = sum(float(stages[name].get(key) or 0) for name in stages if name not in ("total", *absent))
    return abs(held - float(total.get(key) or 0)) <= 1e-6 * max(held, 1.0)
