"""Which route to take: advice computed from results. Nothing in it is typed by hand but the needs.

A need is answered by one metric. Of the routes that get by with what the user has (the ledger knows what each learnt
from), those stand that are separably better than its floor and keep every further condition. The best of them is named,
and who is not separable from it. What the need asks beyond that is told, whether they do it or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from threeworlds.types import Difference, Result, Row

WORDS = {  # the report calls them the same
    "colour": "colour matched",
    "full_match": "whole caption matched",
    "action_following": "action following",
    "clean_fraction": "films without an impossible event",
    "fps": "frames per second",
    "alone_mse_h1": "next-frame squared error, from frames alone",
    "mse_h8": "squared error, 8 frames ahead",
    "position_r": "probe of position, correlation",
    "success_25_50": "success, goal 25 steps away, 50 allowed",
    "success_25_50_each": "success, goal 25 steps away, 50 allowed, every route in its own way",
    "success_random_walls": "success, walls never seen",
    "ms_search": "time per decision, search",
    "seconds_per_second": "seconds per generated second",
}


@dataclass(frozen=True, kw_only=True)
class Ask:
    """To be separably better than the floor of a metric; where there is none, to have ``least`` of it."""

    question: str
    metrics: tuple[str, ...]  # the first that was measured
    least: float | None = None


@dataclass(frozen=True, kw_only=True)
class Need:
    """What somebody wants to do, and by what it is judged."""

    have: frozenset[str]  # columns that there are to learn from
    text: str
    by: Ask
    must: tuple[Ask, ...] = ()  # who fails one where it was measured is left out
    beyond: tuple[Ask, ...] = ()  # asked of those who are taken, and told


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One line of the guide."""

    have: str
    need: str
    take: str  # a route, "jepa or genie", "none" or "not tested"
    why: tuple[str, ...]  # each a metric in words with its unit and values
    learns_from: str = ""  # what who is taken learnt from
    but: tuple[str, ...] = ()  # what who is taken does not do


ANY, VIDEO = frozenset({"video", "action", "caption"}), frozenset({"video"})
CAPTIONS, ACTIONS = VIDEO | {"caption"}, VIDEO | {"action"}

COLOUR, CAPTION = Ask(question="text", metrics=("colour",)), Ask(question="text", metrics=("full_match",))
OBEYS = Ask(question="control", metrics=("action_following",))
CLEAN = Ask(question="hallucination", metrics=("clean_fraction",))
FLUENT = Ask(question="play", metrics=("fps",), least=10)
NEXT = Ask(question="prediction", metrics=("alone_mse_h1",))
GOAL = Ask(question="planning", metrics=("success_25_50_each", "success_25_50"))
NEW_WALLS, THOUGHT = (Ask(question="planning", metrics=(name,)) for name in ("success_random_walls", "ms_search"))

PRODUCTS = (
    Need(have=ANY, text="a text-to-film product", by=COLOUR, beyond=(CAPTION, CLEAN)),
    Need(have=ANY, text="a playable game", by=OBEYS, must=(CLEAN, FLUENT)),
    Need(have=ANY, text="a robot that must reach a goal", by=GOAL, beyond=(NEW_WALLS, THOUGHT)),
)
NEEDS = (
    Need(have=CAPTIONS, text="films that show the things words name", by=COLOUR),
    Need(have=CAPTIONS, text="films that do all that words say", by=CAPTION),
    Need(have=VIDEO, text="a world that can be played", by=OBEYS, must=(CLEAN, FLUENT)),
    Need(have=ACTIONS, text="a world that can be played", by=OBEYS, must=(CLEAN, FLUENT)),
    Need(have=VIDEO, text="the next frame, from frames alone", by=NEXT),
    Need(have=CAPTIONS, text="the next frame, from frames alone", by=NEXT),
    Need(have=ACTIONS, text="the next second, under known actions", by=Ask(question="prediction", metrics=("mse_h8",))),
    Need(have=VIDEO, text="films in which objects stay what they are", by=CLEAN),
    Need(
        have=ACTIONS,
        text="where things are, read from the state",
        by=Ask(question="understanding", metrics=("position_r",)),
    ),
    Need(have=VIDEO, text="a goal that is reached, with some labelled steps", by=GOAL),
    Need(have=ACTIONS, text="a goal that is reached", by=GOAL),
    Need(have=ACTIONS, text="an answer in the least time", by=Ask(question="cost", metrics=("seconds_per_second",))),
)


def guide(results: Sequence[Result], needs: Iterable[Need] = (*PRODUCTS, *NEEDS)) -> tuple[Advice, ...]:
    """Advice for every need, each from the first result that measured it."""
    return tuple(_advise(results, need) for need in needs)


def _advise(results: Sequence[Result], need: Need) -> Advice:
    for metric in need.by.metrics:
        for result in results:
            rows = _rows(result, need.by.question, metric)
            able = [row for row in rows if set(_learns_from(result, row.route)) <= need.have]
            if able:
                return _choose(result, need, able)
    return Advice(have=_columns(need.have), need=need.text, take="not tested", why=(_untested(results, need),))


def _choose(result: Result, need: Need, able: Sequence[Row]) -> Advice:
    sign = 1 if able[0].direction == "higher" else -1
    ranked = sorted(able, key=lambda row: -sign * (row.value or 0.0))
    standing, why = _stand(result, need, ranked)
    best = [row for row in ranked if row.route in standing]
    if not best:
        return Advice(have=_columns(need.have), need=need.text, take="none", why=tuple(why))
    taken = [best[0].route, *_alike(result, best)]
    if len(taken) > 1:
        why.append(f"Not separable: {', '.join(taken)}")
    done, undone = _beyond(result, need, taken)
    learnt = {route: _columns(_learns_from(result, route)) for route in taken}
    return Advice(
        have=_columns(need.have),
        need=need.text,
        take=" or ".join(taken),
        why=(*why, *done),
        learns_from="; ".join(
            f"{route}: {columns}" if len(taken) > 1 else columns for route, columns in learnt.items()
        ),
        but=undone,
    )


def _stand(result: Result, need: Need, ranked: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Who is left after every condition, and what each condition found."""
    standing, why = [row.route for row in ranked], []
    for ask, rows in ((need.by, ranked), *((ask, _asked(result, ask)) for ask in need.must)):
        if not standing:
            break
        judged = [row for row in rows if row.route in standing]
        failed = [row.route for row in judged if not _passes(result, row, ask)]
        standing = [route for route in standing if route not in failed]
        why.append(_tell(ask, judged) + (f". This leaves out {_list(failed)}: {_failing(ask)}" if failed else ""))
    return standing, why


def _alike(result: Result, best: Sequence[Row]) -> list[str]:
    """Who is not separable from the first. Costs, which have no floor, have no paired comparison."""
    return [row.route for row in best[1:] if row.floor is not None and not _beats(result, best[0], row.route)]


def _beyond(result: Result, need: Need, taken: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is asked beyond the need: what they all do, and what one of them does not, each with the numbers."""
    done: list[str] = []
    undone: list[str] = []
    for ask in need.beyond:
        rows = [row for row in _asked(result, ask) if row.route in taken]
        failed = [row.route for row in rows if not _passes(result, row, ask)]
        if failed:
            undone.append(f"{_tell(ask, rows)}: {_failing(ask)}")
        elif rows:
            done.append(_tell(ask, rows))
    return tuple(done), tuple(undone)


# ----------------------------------------------------------------------------------------- reading


def _rows(result: Result, question: str, metric: str) -> list[Row]:
    asked = [row for row in result.rows if (row.question, row.metric, row.status) == (question, metric, "ok")]
    return [row for row in asked if row.value is not None]


def _asked(result: Result, ask: Ask) -> list[Row]:
    """Rows of the first metric that was measured."""
    return next((rows for metric in ask.metrics if (rows := _rows(result, ask.question, metric))), [])


def _passes(result: Result, row: Row, ask: Ask) -> bool:
    if ask.least is not None:
        return (row.value or 0.0) >= ask.least
    return row.floor is None or _beats(result, row, row.floor_name)


def _beats(result: Result, row: Row, other: str) -> bool:
    return any(_winner(d) == row.route for d in result.differences if _is_about(d, row, other))


def _is_about(d: Difference, row: Row, other: str) -> bool:
    return (d.question, d.metric) == (row.question, row.metric) and {d.first, d.second} == {row.route, other}


def _winner(d: Difference) -> str:
    return {"first better": d.first, "second better": d.second}.get(d.verdict, "")


def _learns_from(result: Result, route: str) -> tuple[str, ...]:
    return tuple(result.ledger.get(route, {}).get("total", {}).get("supervision", ()))


# ----------------------------------------------------------------------------------------- telling


def _tell(ask: Ask, rows: Sequence[Row]) -> str:
    """A metric in words, with its unit and what each route has of it."""
    words = _sentence(WORDS[rows[0].metric if rows else ask.metrics[0]])
    if not rows:
        return f"{words}: not measured"
    asked = f"at least {ask.least:g} asked" if ask.least is not None else ""
    about = ", ".join(filter(None, (rows[0].world, f"n {rows[0].n}" if rows[0].n else "")))
    facts = "; ".join(filter(None, (_floors(rows), asked, about)))
    told = f"{words}: {', '.join(map(_say, rows))} {rows[0].unit}".rstrip()
    return f"{told} ({facts})" if facts else told


def _say(row: Row) -> str:
    interval = "" if row.low is None or row.high is None else f" [{row.low:.3g}, {row.high:.3g}]"
    return f"{row.route} {row.value:.3g}{interval}"


def _floors(rows: Sequence[Row]) -> str:
    """One where they all have the same, else each route's own."""
    each = {row.route: (row.floor_name, f"{round(row.floor, 9) + 0:.3g}") for row in rows if row.floor is not None}
    if len(set(each.values())) == 1:
        name, value = next(iter(each.values()))
        return f"floor, {name}: {value}"
    told = ", ".join(f"{name} {value} for {route}" for route, (name, value) in each.items())
    return f"floors: {told}" if told else ""


def _failing(ask: Ask) -> str:
    return f"less than {ask.least:g}" if ask.least is not None else "not separably better than the floor"


def _untested(results: Sequence[Result], need: Need) -> str:
    """Why no route was measured: the reasons that the results give."""
    asked = [r for result in results for r in result.rows if r.question == need.by.question and r.reason]
    reasons = dict.fromkeys(row.reason for row in asked if row.metric in need.by.metrics)
    return f"{_sentence(WORDS[need.by.metrics[-1]])}: not measured here" + "".join(f"; {reason}" for reason in reasons)


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def _list(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _columns(names: Iterable[str]) -> str:
    """ "video, actions, captions" in this order; what was trained elsewhere comes last, by its own name."""
    words = {"video": "video", "action": "actions", "caption": "captions", "state": "true states"}
    names = set(names)
    return ", ".join([word for name, word in words.items() if name in names] + sorted(names - set(words)))
