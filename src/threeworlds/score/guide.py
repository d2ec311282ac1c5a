"""Which route to take: advice computed from results. Nothing in it is typed by hand but the questions.

A need is answered by one metric. Of the routes that get by with what the user has (the ledger knows what each learnt
from), that one is named which scores best and is separably above its floor; who is not separable from it is named too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from threeworlds.types import Difference, Result, Row

NEEDS: tuple[tuple[frozenset[str], str, str, str], ...] = (
    # what there is, what is needed, question, metric
    (frozenset({"video", "caption"}), "films that show the things words name", "text", "colour"),
    (frozenset({"video", "caption"}), "films that do all that words say", "text", "full_match"),
    (frozenset({"video"}), "a world that can be played", "control", "action_following"),
    (frozenset({"video", "action"}), "a world that can be played", "control", "action_following"),
    (frozenset({"video"}), "the next frame, from frames alone", "prediction", "alone_mse_h1"),
    (frozenset({"video", "caption"}), "the next frame, from frames alone", "prediction", "alone_mse_h1"),
    (frozenset({"video", "action"}), "the next second, under known actions", "prediction", "mse_h8"),
    (frozenset({"video"}), "films in which objects stay what they are", "hallucination", "clean_fraction"),
    (frozenset({"video", "action"}), "where things are, read from the state", "understanding", "position_r"),
    (frozenset({"video", "action"}), "a goal that is reached", "planning", "success_25_50"),
    (frozenset({"video", "action"}), "an answer in the least time", "cost", "seconds_per_second"),
)


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One line of the guide."""

    have: str
    need: str
    take: str  # a route, or "none" or "not tested"
    why: str


def guide(results: Sequence[Result]) -> tuple[Advice, ...]:
    """Advice for every need, each from the first result that measured it."""
    return tuple(_advise(results, *need) for need in NEEDS)


def _advise(results: Sequence[Result], have: frozenset[str], need: str, question: str, metric: str) -> Advice:
    words = ", ".join(sorted(have, key=("video", "action", "caption").index)).replace("action", "actions")
    told = {"have": words.replace("caption", "captions"), "need": need}
    for result in results:
        rows = [r for r in result.rows if (r.question, r.metric, r.status) == (question, metric, "ok")]
        able = [row for row in rows if row.value is not None and _learns_from(result, row.route) <= have]
        if able:
            return Advice(**told, **_choose(result, able))
    return Advice(**told, take="not tested", why=f"no result holds {question}/{metric} for such a route")


def _learns_from(result: Result, route: str) -> frozenset[str]:
    return frozenset(result.ledger.get(route, {}).get("total", {}).get("supervision", ()))


def _choose(result: Result, rows: Sequence[Row]) -> dict[str, str]:
    sign = 1 if rows[0].direction == "higher" else -1
    ranked = sorted(rows, key=lambda row: -sign * (row.value or 0.0))
    sound = [row for row in ranked if row.floor is None or _beats(result, row, row.floor_name)]
    if not sound:
        return {"take": "none", "why": f"none is separably above its floor: {'; '.join(map(_say, ranked))}"}
    best, others = sound[0], [row for row in sound[1:] if not _beats(result, sound[0], row.route)]
    alike = [row.route for row in others if row.floor is not None]  # costs have no paired comparison
    return {
        "take": " or ".join([best.route, *alike]),
        "why": "; ".join(map(_say, ranked)) + (". Not separable: " + ", ".join([best.route, *alike]) if alike else ""),
    }


def _beats(result: Result, row: Row, other: str) -> bool:
    return any(_winner(d) == row.route for d in result.differences if _is_about(d, row, other))


def _is_about(d: Difference, row: Row, other: str) -> bool:
    return (d.question, d.metric) == (row.question, row.metric) and {d.first, d.second} == {row.route, other}


def _winner(d: Difference) -> str:
    return {"first better": d.first, "second better": d.second}.get(d.verdict, "")


def _say(row: Row) -> str:
    interval = "" if row.low is None or row.high is None else f" [{row.low:.3g}, {row.high:.3g}]"
    floor = "" if row.floor is None else f", floor {round(row.floor, 9) + 0:.3g}"
    return f"{row.route} {row.value:.3g}{interval}{floor}"
