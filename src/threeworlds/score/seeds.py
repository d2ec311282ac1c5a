"""Several seeds: a model of each sits the same exam, and a row is the mean over them.

What one seed scored says little of the route (arXiv 2108.13264). Intervals here draw the models as well as the items;
differences are paired by item and by seed. The question ``seeds`` holds, of a few metrics, the interquartile mean and
how often a model of one route is better than one of another.

Legend: s seeds, n items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from threeworlds.score.exam import RESAMPLES, Answers, Entrant, Exam, Measured, groups_of
from threeworlds.score.stats import Interval, interquartile_mean, probability_of_improvement, seeds_interval
from threeworlds.types import Reference, Row

SHOWN = {  # question, metric -> what it is called where it stands for a route
    ("prediction", "mse_h1"): "next_frame_error",
    ("prediction", "position_error_h4"): "position_error",
    ("hallucination", "clean_fraction"): "clean_fraction",
    ("control", "action_following"): "action_following",
    ("text", "colour"): "colour_matched",
    ("understanding", "position_r"): "position_r",
}


def teams_of(entrants: Sequence[Entrant]) -> list[list[Entrant]]:
    """The entrants themselves, then their siblings, seed by seed. Raises ValueError where one has more than another."""
    numbers = {len(entrant.siblings) for entrant in entrants}
    if len(numbers) > 1:
        raise ValueError(f"every route needs as many seeds: got {sorted(number + 1 for number in numbers)}")
    ranks = [[entrant, *entrant.siblings] for entrant in entrants]
    return [list(team) for team in zip(*ranks, strict=True)]


def seeds_of(entrants: Sequence[Entrant]) -> str:
    """ "0,1,2", or "" where each route has one model."""
    first = entrants[0]
    return ",".join(str(e.seed) for e in (first, *first.siblings)) if first.siblings else ""


def pooled(answers: Sequence[Answers], exam: Exam, seeds: str) -> Answers:
    """The answers of all teams as one: what every seed was asked, averaged. Films are the first seed's."""
    if not seeds:
        return answers[0]
    parts: dict[tuple[str, str], list[Measured]] = {}
    rows: dict[tuple[str, str, str], list[Row]] = {}
    for answer in answers:
        for measured in answer.measured:
            parts.setdefault((measured.question, measured.metric), []).append(measured)
        for row in answer.rows:
            rows.setdefault((row.route, row.question, row.metric), []).append(row)
    whole = [same for same in parts.values() if len(same) == len(answers)]
    means = [mean_row(same, seeds) for same in rows.values()]
    told = [row for same in whole for row in spoken_rows(same, exam, seeds)]
    return Answers(measured=tuple(merged(same, seeds) for same in whole), films=answers[0].films, rows=(*means, *told))


def merged(parts: Sequence[Measured], seeds: str) -> Measured:
    """One metric of several seeds: its arrays stacked to [s, n, ...], its statistic a mean over seeds."""
    first = parts[0]
    own = first.statistic

    def over_seeds(*arrays: Any) -> float:
        assert own is not None
        return float(np.mean([own(*(array[s] for array in arrays)) for s in range(len(arrays[0]))]))

    def stacked(each: Callable[[Measured], Any]) -> dict[str, Any]:
        names = [name for name in each(first) if all(name in each(part) for part in parts)]
        return {name: stack([each(part)[name] for part in parts], first) for name in names}

    def named(each: Callable[[Measured], Any]) -> dict[str, Any]:
        items = stacked(lambda part: {route: pair[1] for route, pair in each(part).items()})
        return {route: (each(first)[route][0], array) for route, array in items.items()}

    return replace(
        first,
        values=stacked(lambda part: part.values),
        floors=stacked(lambda part: part.floors),
        ceilings=stacked(lambda part: part.ceilings),
        own_floors=named(lambda part: part.own_floors),
        own_ceilings=named(lambda part: part.own_ceilings),
        intervals=boundless(parts),
        statistic=over_seeds if own else mean_of_means,
        seeds=seeds,
        protocol=f"{first.protocol}. The mean over models of the seeds {seeds}",
    )


def boundless(parts: Sequence[Measured]) -> dict[str, Interval]:
    """What has no bounds for any seed, by its protocol, has none for all: the mean over seeds."""
    found = {}
    for route in parts[0].intervals:
        each = [part.intervals[route] for part in parts if route in part.intervals]
        if len(each) == len(parts) and all(np.isnan(one.low) for one in each):
            found[route] = replace(each[0], value=float(np.mean([one.value for one in each])))
    return found


def stack(items: Sequence[Any], measured: Measured) -> tuple[np.ndarray, ...]:
    """Items of each seed -> arrays [s, n, ...], as many as the statistic takes."""
    columns = [items] if measured.statistic is None else zip(*items, strict=True)
    return tuple(np.stack([np.asarray(array) for array in column]) for column in columns)


def mean_of_means(items: np.ndarray) -> float:
    """[s, n] -> mean over seeds of the mean over items; NaN items are left out."""
    known = ~np.isnan(items)
    with np.errstate(invalid="ignore"):  # a seed without any item has no mean
        return float((np.where(known, items, 0.0).sum(1) / known.sum(1)).mean())


def mean_row(rows: Sequence[Row], seeds: str) -> Row:
    """Rows without items (costs): their mean, and in place of an interval their range."""
    values = [row.value for row in rows if row.value is not None]
    if not values:
        return replace(rows[0], seeds=seeds)
    return replace(rows[0], value=float(np.mean(values)), low=min(values), high=max(values), seeds=seeds)


def spoken_rows(parts: Sequence[Measured], exam: Exam, seeds: str) -> list[Row]:
    """Rows of the question ``seeds`` for one metric of SHOWN that is a mean over items; none for another."""
    first = parts[0]
    name = SHOWN.get((first.question, first.metric))
    if name is None or first.statistic is not None:
        return []
    scores = {route: stack([part.values[route] for part in parts], first)[0] for route in first.values}
    rows = []
    for route, array in scores.items():
        row = _row(exam, first, seeds, route, f"{name}_iqm", interquartile_mean, array)
        rows.append(with_floors(row, naive_of(parts, route), exam, first))
    for route, other in permutations(scores, 2):

        def better(a: np.ndarray, b: np.ndarray) -> float:
            return probability_of_improvement(a, b, first.direction)

        row = _row(exam, first, seeds, route, f"{name}_better_than_{other}", better, scores[route], scores[other])
        row = replace(row, unit="of pairs", direction="higher", floor=0.5, floor_name="a coin")
        rows.append(replace(row, references={"a coin": Reference(kind="floor", value=0.5, low=0.5, high=0.5)}))
    return rows


def naive_of(parts: Sequence[Measured], route: str) -> dict[str, np.ndarray]:
    """What needs no learning: floor -> scores [s, n]."""
    first = parts[0]
    naive = {name: [part.floors[name] for part in parts] for name in first.floors}
    if route in first.own_floors:
        naive[first.own_floors[route][0]] = [part.own_floors[route][1] for part in parts]
    return {name: stack(items, first)[0] for name, items in naive.items()}


def with_floors(row: Row, naive: Mapping[str, np.ndarray], exam: Exam, measured: Measured) -> Row:
    """The row beside the interquartile means of what needs no learning; its floor is the best of them."""
    told = {
        name: _row(exam, measured, row.seeds, name, row.metric, interquartile_mean, array)
        for name, array in naive.items()
    }
    known = {name: each.value for name, each in told.items() if each.value is not None}
    if not known:
        return row
    best = (max if row.direction == "higher" else min)(known, key=lambda name: known[name])
    beside = {name: Reference(kind="floor", value=r.value, low=r.low, high=r.high) for name, r in told.items()}
    return replace(row, floor=known[best], floor_name=best, references=beside)


def _row(
    exam: Exam, measured: Measured, seeds: str, route: str, metric: str, statistic: Callable[..., float], *scores: Any
) -> Row:
    groups = groups_of(measured, exam, scores[0].shape[1])
    found = seeds_interval(statistic, *scores, paired=False, groups=groups, seed=exam.seed, resamples=RESAMPLES)
    value, low, high = (float(x) if np.isfinite(x) else None for x in (found.value, found.low, found.high))
    return Row(
        route=route,
        question="seeds",
        metric=metric,
        unit=measured.unit,
        direction=measured.direction,
        value=value,
        low=low,
        high=high,
        n=found.n,
        world=exam.spec.world or "video",
        seed=exam.seed,
        seeds=seeds,
        protocol=f"{measured.question}/{measured.metric} over models of the seeds {seeds} and all items "
        "(arXiv 2108.13264); models and items are drawn for the interval",
    )
