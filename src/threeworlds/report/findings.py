"""What the numbers say, in sentences. Every word is computed from rows and differences; nothing is typed by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from threeworlds.report.words import (
    DERIVED,
    EVIDENCE,
    HEADLINES,
    QUESTIONS,
    ROUTES,
    in_order,
    metric_label,
    number,
    question_title,
    row_value,
    with_interval,
    with_unit,
)
from threeworlds.types import Difference, Result, Row

Standing = Literal["above", "below", "not separable", "no floor"]


def questions_of(result: Result) -> list[str]:
    asked = [*(row.question for row in result.rows), *(d.question for d in result.differences)]
    return in_order(asked, QUESTIONS)


def routes_of(result: Result) -> list[str]:
    return in_order([*result.routes, *(row.route for row in result.rows)], ROUTES)


def was_asked(result: Result, question: str) -> bool:
    """Whether anybody could be asked: False where each row is "n/a by design" and nothing was compared."""
    rows = [row for row in result.rows if row.question == question]
    return any(row.status != "not_applicable" for row in rows) or any(
        d.question == question for d in result.differences
    )


def headline(result: Result, question: str) -> dict[str, Row]:
    """Route -> the row that speaks for it on ``question``: one metric for all, the first measured of HEADLINES."""
    rows = [row for row in result.rows if row.question == question]
    measured = [row.metric for row in rows if _measured(row)] or [row.metric for row in rows]
    if not measured:
        return {}
    metric = in_order(measured, HEADLINES.get(question, ()))[0]
    found: dict[str, Row] = {}
    for row in rows:
        if row.metric == metric:
            found.setdefault(row.route, row)
    return found


def standing(row: Row, differences: Iterable[Difference]) -> Standing:
    """How a row stands to its floor: by the paired difference where there is one, else by its own interval."""
    if row.floor is None or row.value is None:
        return "no floor"
    for d in differences:
        if _about(d, row) and (d.first, d.second) == (row.route, row.floor_name):
            return _STANDINGS[d.verdict]
    low, high = (row.value if bound is None else bound for bound in (row.low, row.high))
    if low <= row.floor <= high:
        return "not separable"
    return "above" if (low > row.floor) == (row.direction == "higher") else "below"


_STANDINGS: dict[str, Standing] = {
    "first better": "above",
    "second better": "below",
    "not separable": "not separable",
}


# ---------------------------------------------------------------------------------------- takeaways


def takeaways(result: Result) -> list[tuple[str, str]]:
    """One (question, sentence) a question."""
    return [
        (question, _takeaway(rows, result.differences))
        for question in questions_of(result)
        if question not in DERIVED and was_asked(result, question) and (rows := headline(result, question))
    ]


def _takeaway(rows: dict[str, Row], differences: Iterable[Difference]) -> str:
    ranked = _ranked(rows)
    missing = [rows[route] for route in in_order(rows, ROUTES) if not _measured(rows[route])]
    sentences = [_best(ranked, differences), *_against_floors(ranked, differences)] if ranked else []
    reasons = {text: [row.route for row in missing if row_value(row) == text] for text in map(row_value, missing)}
    return " ".join([*sentences, *(f"{_list(routes)}: {text}." for text, routes in reasons.items())])


def _best(ranked: list[Row], differences: Iterable[Difference]) -> str:
    """The headline metric: who leads, and over whom that is more than chance."""
    best, others = ranked[0], ranked[1:]
    label = metric_label(best.metric, best.question)
    value = with_unit(with_interval(best.value, best.low, best.high), best.unit, label)
    way = f" ({best.direction} is better)" if others else ""
    words = [f"{label[0].upper()}{label[1:]}{way}: {best.route} {value}"]
    winners = {other.route: _winner(best, other, differences) for other in others}
    for phrase, verdict in (("ahead of", best.route), ("not separable from", "")):
        named = [route for route, winner in winners.items() if winner == verdict]
        words += [f"{phrase} {_list(named)}"] if named else []
    words += [f"{o.route} {number(o.value)}" for o in others if winners[o.route] is None]
    return ", ".join(words) + "."


def _against_floors(ranked: list[Row], differences: Iterable[Difference]) -> list[str]:
    standings = {row.route: standing(row, differences) for row in ranked}
    beaten = [route for route, how in standings.items() if how == "above"]
    short = [route for route, how in standings.items() if how in ("below", "not separable")]
    floors = _list(in_order((row.floor_name or "floor" for row in ranked if row.floor is not None), ()))
    pairs = ((f"Better than the floor ({floors})", beaten), ("Not better than the floor", short))
    return [f"{phrase}: {_list(routes)}." for phrase, routes in pairs if routes]


# ----------------------------------------------------------------------------------- for and against


def pros_and_cons(result: Result, route: str) -> tuple[list[str], list[str]]:
    """The cells "for: measured" and "against: measured" of one route.

    That it has no answer is against a route only where another one has: else the clips do not let anybody be asked.
    """
    pros: list[str] = []
    cons: list[str] = []
    for question in questions_of(result):
        rows = headline(result, question) if question not in DERIVED else {}
        if route in rows and any(row.status != "not_applicable" for row in rows.values()):
            _judge(rows[route], rows, result.differences, pros, cons)
    return pros, cons


def _judge(row: Row, rows: dict[str, Row], differences: Iterable[Difference], pros: list[str], cons: list[str]) -> None:
    if not _measured(row):
        state = " failed" if row.status == "failed" else ""
        cons.append(f"{question_title(row.question)}{state}: {row.reason or 'no value'}")
        return
    others = [other for other in _ranked(rows) if other.route != row.route]
    ahead = [o.route for o in others if _winner(row, o, differences) == row.route]
    behind = [o.route for o in others if _winner(row, o, differences) == o.route]
    label = metric_label(row.metric, row.question)
    words = f"{label} {with_unit(number(row.value), row.unit, label)}"
    how = standing(row, differences)
    if how == "no floor":
        _judge_by_rank(words, row, _ranked(rows), pros, cons)
        return
    floor = number(row.floor, row.value)
    if how == "above":
        pros.append(f"{words} (floor {floor})" + (f", ahead of {_list(ahead)}" if ahead else ""))
    else:
        cons.append(f"{words}, {'worse than' if how == 'below' else 'not separable from'} its floor {floor}")
    if behind:
        cons.append(f"{metric_label(row.metric, row.question)} behind {_list(behind)}")


def _judge_by_rank(words: str, row: Row, ranked: list[Row], pros: list[str], cons: list[str]) -> None:
    """A cost has no floor: the best is for a route, the worst against it, the middle neither."""
    if row is ranked[0]:
        pros.extend([f"{words}, best of {len(ranked)}"] if len(ranked) > 1 else [])
    elif row is ranked[-1]:
        cons.append(f"{words}, worst of {len(ranked)}")


def evidence(results: Sequence[Result], route: str, story: str) -> list[str]:
    """What was measured of one part of a route's story, each from the first of the results that has it."""
    found = []
    for question, metric, part in EVIDENCE[story]:
        rows = [
            r for result in results for r in result.rows if (r.route, r.question, r.metric) == (route, question, metric)
        ]
        row = next((row for row in rows if _measured(row) and getattr(row, part) is not None), None)
        found += [_told(row, part)] if row else []
    return found


def _told(row: Row, part: str) -> str:
    label = metric_label(row.metric, row.question)
    if part == "ceiling":
        return f"{label} of {row.ceiling_name} {with_unit(number(row.ceiling), row.unit, label)}"
    floor = "" if row.floor is None else f" (floor {number(row.floor, row.value)})"
    return f"{label} {with_unit(with_interval(row.value, row.low, row.high), row.unit, label)}{floor}"


# ------------------------------------------------------------------------------------------- helpers


def _measured(row: Row) -> bool:
    return row.status == "ok" and row.value is not None


def _ranked(rows: dict[str, Row]) -> list[Row]:
    """Measured rows, best first."""
    measured = [row for row in rows.values() if _measured(row)]
    return sorted(measured, key=lambda row: (row.value or 0.0) * (-1 if row.direction == "higher" else 1))


def _winner(a: Row, b: Row, differences: Iterable[Difference]) -> str | None:
    """The better route; "" where the two are not separable; None where they were not compared."""
    for d in differences:
        if _about(d, a) and {d.first, d.second} == {a.route, b.route}:
            return {"first better": d.first, "second better": d.second, "not separable": ""}[d.verdict]
    return None


def _about(difference: Difference, row: Row) -> bool:
    return (difference.question, difference.metric) == (row.question, row.metric)


def _list(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
