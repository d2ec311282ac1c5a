"""What the rules of claims are made of: comparisons looked up in a result, judged, and told so that a reader can check.

A comparison counts as the result holds it: its interval leaves zero out, and its p, after Holm's correction over the
whole result, is small (score/exam.py). One without p was never corrected, and decides nothing. A gate says whether a
model has learnt what a rule asks it about.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Literal

from threeworlds.types import Difference, Result, Row

Word = Literal["supported", "refuted", "not separable", "not tested"]
Finding = tuple[Word, tuple[str, ...]]  # and the numbers that were looked at
Gate = tuple[bool, str]  # passed or not, and what it looked at

STILL = "copy the last frame"


# ------------------------------------------------------------------------------------------ judging


def all_better(differences: Sequence[Difference], route: str, expected: int) -> Finding:
    """Supported: better in all; refuted: worse in one; else not separable. Not tested where some are missing."""
    if not differences or len(differences) < expected:
        return "not tested", ()
    evidence = tuple(tell(difference) for difference in differences)
    winners = [winner(difference) for difference in differences]
    if all(won == route for won in winners):
        return "supported", evidence
    return ("refuted" if any(won not in (route, "") for won in winners) else "not separable"), evidence


def beats(result: Result, route: str, others: Sequence[str], asked: Sequence[tuple[str, str]]) -> Finding:
    """Whether the route is better than each of the others in each question and metric."""
    found = [difference(result, *each, route, other) for each in asked for other in others]
    return all_better([d for d in found if d], route, expected=len(found))


def agreed(words: Sequence[Word]) -> Word:
    """The verdict that all share; where they differ, not separable."""
    if not words:
        return "not tested"
    return words[0] if len(set(words)) == 1 else "not separable"


def judged(finding: Finding, *gates: Gate) -> Finding:
    """Not tested where a gate is shut: the numbers stand, and what was not learnt beside them."""
    word, evidence = finding
    shut = tuple(text for passed, text in gates if not passed)
    return ("not tested", (*evidence, *shut)) if shut and evidence else (word, evidence)


def winner(d: Difference) -> str:
    """The better of the two, "" where they are not separable, or where nobody corrected for how many were compared."""
    return "" if d.p is None else {"first better": d.first, "second better": d.second}.get(d.verdict, "")


# -------------------------------------------------------------------------------------------- gates


def learnt(result: Result, routes: Sequence[str], question: str, metric: str, floor: str) -> Gate:
    """Whether one of these is separably better than the floor: what has not learnt yet decides nothing."""
    found = [difference(result, question, metric, route, floor) for route in routes]
    passed = any(d is not None and winner(d) == route for d, route in zip(found, routes, strict=True))
    told = "; ".join(tell(d) for d in found if d) or f"no {question}/{metric} of {', '.join(routes)} against {floor}"
    return passed, f"not learnt: {told}"


def foresees(result: Result, route: str) -> Gate:
    """Whether the route's next frame, under controls of its own, is separably nearer the truth than the last one."""
    return learnt(result, (route,), "prediction", "mse_h1", STILL)


def shows(result: Result, route: str) -> Gate:
    """Whether the route's films can be asked about bodies: it foresees, and can draw bodies where they are.

    A film in which there are no bodies breaks no law and keeps none. So the true frames themselves, encoded and decoded
    by the route, must have the bodies nearer than the best guess that needs no learning, where a parser knows them.
    """
    passed, told = foresees(result, route)
    drawn = row(result, route, "physics", "passive_error_h8")
    if not passed or drawn is None or drawn.ceiling is None or drawn.floor is None or drawn.ceiling < drawn.floor:
        return passed, told
    return False, f"not learnt: {route} cannot draw the bodies; {say(drawn)}"


# ------------------------------------------------------------------------------------------ reading


def difference(result: Result, question: str, metric: str, first: str, second: str) -> Difference | None:
    """The comparison of these two, in whichever order it is held."""
    for d in result.differences:
        if (d.question, d.metric) == (question, metric) and {d.first, d.second} == {first, second}:
            return d
    return None


def row(result: Result, route: str, question: str, metric: str) -> Row | None:
    """The route's row, where it has a value."""
    for found in result.rows:
        if (found.route, found.question, found.metric, found.status) == (route, question, metric, "ok"):
            return found
    return None


# ------------------------------------------------------------------------------------------ telling


def tell(d: Difference) -> str:
    """A comparison: what, of whom, how large, its corrected p, and who is better."""
    interval = f"[{d.low:.3g}, {d.high:.3g}]" if isfinite(d.low) else "no interval"
    p = "no p" if d.p is None else "p < 0.001" if d.p < 0.001 else f"p {d.p:.2g}"
    word = f"{winner(d)} better" if winner(d) else "not separable"
    return f"{d.question}/{d.metric}: {d.first} - {d.second} = {d.value:.3g} {interval}, n {d.n}, {p}: {word}"


def say(found: Row) -> str:
    """A row: whose, what, how much, and between which floor and ceiling."""
    value, low, high = ("unknown" if x is None else f"{x:.3g}" for x in (found.value, found.low, found.high))
    bounds = (("floor", found.floor, found.floor_name), ("ceiling", found.ceiling, found.ceiling_name))
    told = [f"{kind} {round(x, 9) + 0:.3g}{f' ({name})' if name else ''}" for kind, x, name in bounds if x is not None]
    return f"{found.route}, {found.question}/{found.metric}: {value} [{low}, {high}], n {found.n}" + "".join(
        f", {text}" for text in told
    )
