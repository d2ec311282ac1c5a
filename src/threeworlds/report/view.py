"""A result arranged as the page shows it. Both templates, HTML and Markdown, read this and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threeworlds.report import findings
from threeworlds.report.again import Again, again
from threeworlds.report.fairness import Fairness, fairness, left_out
from threeworlds.report.films import Item, items_of
from threeworlds.report.plots import Plot, curve_plot, question_plots
from threeworlds.report.words import (
    ROUTES,
    bound,
    colours,
    in_order,
    metric_label,
    metric_order,
    number,
    question_asks,
    question_title,
    row_value,
    untold,
    with_interval,
)
from threeworlds.score.guide import NEEDS, PRODUCTS, Advice, guide
from threeworlds.score.result import natural
from threeworlds.types import Difference, Result, Row, Verdict

STORY = ("use", "technique", "video_latent", "action_latent", "predicts")
LEDGER = (
    ("clips", "clips seen"),
    ("unique_clips", "distinct episodes"),
    ("steps", "steps"),
    ("flops", "FLOPs"),
    ("seconds", "seconds"),
    ("peak_memory_mb", "peak memory, MB"),
    ("parameters", "parameters"),
    ("supervision", "supervision"),
)


@dataclass(frozen=True, kw_only=True)
class RouteLine:
    """One row of the summary table."""

    route: str
    story: tuple[tuple[str, tuple[str, ...]], ...]  # cells in the order of STORY: words, and what was measured of them
    learns_from: str
    pros: tuple[str, ...]
    cons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a metric's table, as texts."""

    label: str
    route: str
    status: str
    value: str
    n: str
    floor: str
    ceiling: str


@dataclass(frozen=True, kw_only=True)
class Metric:
    label: str
    name: str
    unit: str
    better: str
    world: str
    protocols: tuple[str, ...]
    lines: tuple[Line, ...]
    references: tuple[tuple[str, str], ...]  # "floors" and "ceilings", and all of them with their intervals


@dataclass(frozen=True, kw_only=True)
class DifferenceLine:
    metric: str
    first: str
    second: str
    value: str
    n: int
    p: str
    verdict: str
    separable: bool


@dataclass(frozen=True, kw_only=True)
class Section:
    question: str
    title: str
    asks: str
    plots: tuple[Plot, ...]
    metrics: tuple[Metric, ...]
    differences: tuple[DifferenceLine, ...]
    items: tuple[Item, ...]
    again: Again


@dataclass(frozen=True, kw_only=True)
class View:
    title: str
    command: str
    version: str
    digest: str  # of the files that the page was made from
    beside: tuple[str, ...]  # folders of further results that the guide draws on
    products: tuple[Advice, ...]
    needs: tuple[Advice, ...]  # those that something was measured of
    facts: tuple[tuple[str, str], ...]  # how it was measured
    takeaways: tuple[tuple[str, str], ...]
    routes: tuple[RouteLine, ...]
    sections: tuple[Section, ...]
    unasked: tuple[tuple[str, str], ...]  # questions that these clips let nobody answer, and why
    items: tuple[Item, ...]  # films that belong to no section
    lost: int  # films that are not beside result.json, nor is any other of their item
    curves: tuple[Plot, ...]
    fairness: Fairness
    ledger: tuple[tuple[str, ...], ...]  # route, stage, then LEDGER
    on_top: str  # stages that the totals leave out
    data: tuple[tuple[str, str], ...]
    quarantine: tuple[tuple[str, str], ...]
    machine: tuple[tuple[str, str], ...]
    verdicts: tuple[Verdict, ...]
    colours: Mapping[str, str]


def view_of(result: Result, folder: Path, *, beside: Mapping[str, Result], digest: str) -> View:
    """Everything the page shows, in its order, as texts and pictures. ``folder`` holds result.json and the films."""
    routes, questions = findings.routes_of(result), findings.questions_of(result)
    asked = [question for question in questions if findings.was_asked(result, question)]
    results = (result, *beside.values())
    items = items_of(result.films, folder)
    shown = [item for item in items if any(strip.data for strip in item.strips)]
    return View(
        title=_title(routes),
        command=result.command,
        version=result.version,
        digest=digest,
        beside=tuple(beside),
        products=guide(results, PRODUCTS),
        needs=tuple(advice for advice in guide(results, NEEDS) if advice.take != "not tested"),
        facts=tuple(_headline_facts(result)),
        takeaways=tuple((question_title(q), sentence) for q, sentence in findings.takeaways(result)),
        routes=tuple(_route_line(results, route) for route in routes),
        sections=tuple(_section(result, question, shown) for question in asked),
        unasked=tuple((question_title(q), _why_unasked(result, q)) for q in questions if q not in asked),
        items=tuple(item for item in shown if item.kind not in asked),
        lost=sum(len(item.strips) for item in items if item not in shown),
        curves=tuple(curve_plot(name, result.curves[name]) for name in _curve_names(result)),
        fairness=fairness(result),
        ledger=tuple(_ledger_lines(result)),
        on_top=_on_top(result),
        data=tuple(_data_lines(result.data)),
        quarantine=tuple(_quarantined(result.data.get("quarantine", ()))),
        machine=tuple(_flatten(result.machine)),
        verdicts=result.verdicts,
        colours=colours([*routes, *(film.route for film in result.films)]),
    )


# --------------------------------------------------------------------------------------------- top


def _title(routes: Sequence[str]) -> str:
    count = {1: "One route", 2: "Two routes", 3: "Three routes", 4: "Four routes"}.get(len(routes), "Routes")
    return f"{count} to a world model"


def _headline_facts(result: Result) -> Iterable[tuple[str, str]]:
    exam = result.data.get("exam", {})
    items = exam.get("items")
    seeds = in_order((str(row.seed) for row in result.rows), ())
    data = result.data.get("source") or ", ".join(in_order((row.world for row in result.rows if row.world), ()))
    machine = result.machine.get("cpu") or result.machine.get("platform") or ""
    cores = result.machine.get("cores")
    of_cores = f", {cores} core{'s' if cores != 1 else ''}" if machine and cores is not None else ""
    found = {
        "Data": str(data),
        "Scored on": _scored_on(items, exam.get("films", items)) if items is not None else "",
        "Seed": ", ".join(seeds),
        "Machine": f"{machine}{of_cores}",
        "Version": result.version,
        "Budget": _budget(result),
    }
    return ((name, text) for name, text in found.items() if text)


def _budget(result: Result) -> str:
    """What each route was given; where nobody gave them the same, in what they differ."""
    return f"{result.data['budget']} a route" if "budget" in result.data else fairness(result).in_short


def _scored_on(items: int, films: int) -> str:
    if items == 1:
        return "1 held-out clip, too few for an interval"
    where = "" if films == items else f" of {films} films" if films > 1 else " of one film, so of that film alone"
    return f"{items} held-out clips{where}"


def _route_line(results: Sequence[Result], route: str) -> RouteLine:
    result = results[0]
    about = result.routes.get(route, {})
    pros, cons = findings.pros_and_cons(result, route)
    return RouteLine(
        route=route,
        story=tuple(
            (str(about.get("story", {}).get(key, "")), tuple(findings.evidence(results, route, key))) for key in STORY
        ),
        learns_from=str(about.get("learns_from", "")),
        pros=tuple(pros),
        cons=tuple(cons),
    )


# ---------------------------------------------------------------------------------------- questions


def _section(result: Result, question: str, items: Iterable[Item]) -> Section:
    rows = [row for row in result.rows if row.question == question]
    labels = labels_of(rows)
    worlds = in_order((row.world for row in rows), ())
    by_world = [[row for row in rows if row.world == world] for world in worlds]
    return Section(
        question=question,
        title=question_title(question),
        asks=question_asks(question),
        plots=tuple(plot for own in by_world for plot in question_plots(own, labels, _budget_unit(result))),
        metrics=tuple(metric for own in by_world for metric in _metrics(own, labels, several=len(worlds) > 1)),
        differences=tuple(_difference_line(d) for d in _differences(result, question)),
        items=tuple(item for item in items if item.kind == question),
        again=again(result, question),
    )


def _budget_unit(result: Result) -> str:
    """ "FLOPs" of a budget of "2e+12flops"."""
    kind = re.sub(r"^[0-9.e+]*", "", str(result.data.get("budget", "")))
    return {"s": "seconds", "flops": "FLOPs", "clips": "clips seen"}.get(kind, kind)


def _why_unasked(result: Result, question: str) -> str:
    """The reasons, each with the routes it holds for; without them where it is the same for all."""
    rows = [row for row in result.rows if row.question == question]
    reasons = {row.reason: in_order((r.route for r in rows if r.reason == row.reason), ROUTES) for row in rows}
    if len(reasons) == 1:
        return next(iter(reasons))
    return "; ".join(f"{', '.join(routes)}: {reason}" for reason, routes in reasons.items())


def _differences(result: Result, question: str) -> list[Difference]:
    """The result's own order, but for the order of metrics."""
    return sorted((d for d in result.differences if d.question == question), key=lambda d: metric_order(d.metric))


def labels_of(rows: Sequence[Row]) -> dict[Row, str]:
    """What a row is called: its route, with checkpoint and seed only where the route has several."""
    labels = {}
    for row in rows:
        own = [other for other in rows if (other.route, other.metric) == (row.route, row.metric)]
        parts = [row.route]
        if len({other.checkpoint for other in own}) > 1:
            parts.append(row.checkpoint)
        if len({other.seed for other in own}) > 1:
            parts.append(f"seed {row.seed}")
        labels[row] = " · ".join(parts)
    return labels


def _metrics(rows: Sequence[Row], labels: Mapping[Row, str], *, several: bool) -> Iterable[Metric]:
    for name in sorted({row.metric for row in rows}, key=metric_order):
        own = [row for row in rows if row.metric == name]
        order = in_order((row.route for row in own), ROUTES)
        own.sort(key=lambda row: (order.index(row.route), natural(labels[row])))
        yield Metric(
            label=(label := metric_label(name, own[0].question)),
            name=name,
            unit=untold(own[0].unit, label),
            better=f"{own[0].direction} is better",
            world=own[0].world if several else "",
            protocols=tuple(dict.fromkeys(row.protocol for row in own if row.protocol)),
            lines=tuple(_line(row, labels[row]) for row in own),
            references=tuple(_references(own, labels)),
        )


def _references(rows: Sequence[Row], labels: Mapping[Row, str]) -> Iterable[tuple[str, str]]:
    """Every floor and every ceiling of a metric, with the rows that it is of where it is not the same for all."""
    for kind in ("floor", "ceiling"):
        of: dict[str, list[str]] = {}
        for row in rows:
            for name, found in row.references.items():
                if found.kind == kind:
                    text = f"{name} {with_interval(found.value, found.low, found.high)}"
                    of.setdefault(text, []).append(labels[row])
        scored = sum(1 for row in rows if row.references)
        texts = [text if len(own) == scored else f"{text} ({', '.join(own)})" for text, own in of.items()]
        if texts:
            yield f"{kind}s", "; ".join(texts)


def _line(row: Row, label: str) -> Line:
    return Line(
        label=label,
        route=row.route,
        status=row.status,
        value=row_value(row),
        n=str(row.n) if row.n else "",
        floor=bound(row.floor, row.floor_name, row.value),
        ceiling=bound(row.ceiling, row.ceiling_name, row.value),
    )


def _difference_line(d: Difference) -> DifferenceLine:
    winner = {"first better": f"{d.first} better", "second better": f"{d.second} better"}.get(d.verdict, d.verdict)
    return DifferenceLine(
        metric=metric_label(d.metric, d.question),
        first=d.first,
        second=d.second,
        value=with_interval(d.value, d.low, d.high, sign=True),
        n=d.n,
        p="" if d.p is None else "< 0.001" if d.p < 0.001 else f"{d.p:.3f}",
        verdict=winner,
        separable=d.verdict != "not separable",
    )


# ----------------------------------------------------------------------------------------- the rest


def _curve_names(result: Result) -> list[str]:
    routes = in_order((name.split("/")[0] for name in result.curves), ROUTES)
    return sorted(result.curves, key=lambda name: (routes.index(name.split("/")[0]), natural(name)))


def _ledger_lines(result: Result) -> Iterable[tuple[str, ...]]:
    for route in in_order(result.ledger, ROUTES):
        stages = result.ledger[route]
        for stage in sorted(stages, key=lambda stage: (stage == "total", natural(stage))):
            yield (route, stage, *(_text(stages[stage].get(key, "")) for key, _ in LEDGER))


def _on_top(result: Result) -> str:
    """ "jepa decoder, critic": helper heads, which the totals leave out."""
    found = {route: left_out(result.ledger[route]) for route in in_order(result.ledger, ROUTES)}
    return "; ".join(f"{route} {', '.join(stages)}" for route, stages in found.items() if stages)


def _data_lines(data: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """All facts but the files left out, which have a table, and the films kept, of which only notes are told."""
    told = {key: value for key, value in data.items() if key != "quarantine"}
    if "ingest" in told:
        told["ingest"] = {key: value for key, value in told["ingest"].items() if key not in ("kept", "quarantined")}
        notes = {name: film["notes"] for name, film in data["ingest"].get("kept", {}).items() if film["notes"]}
        told |= {"notes": notes} if notes else {}
    return _flatten(told)


def _quarantined(files: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    return ((str(entry.get("file", "")), str(entry.get("cause", ""))) for entry in files)


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested mappings as (name, text) lines, in sorted order."""
    for key in sorted(mapping, key=natural):
        name, value = f"{prefix}{key.replace('_', ' ')}", mapping[key]
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{name}, ")
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000):
        return number(float(value))
    return str(value)
