"""What every entrant is asked about: the same held-out windows for all, drawn by seed from a split nobody trained on.

Legend: n items (one window an episode), k given frames, t frames, s state variables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from threeworlds.score.stats import (
    Interval,
    holm,
    interval_of,
    mean_interval,
    paired_difference,
    seeds_interval,
    separable,
    wilson,
)
from threeworlds.types import Batch, ClipSpec, Difference, Film, Ledger, Reference, Row
from threeworlds.worlds import WORLDS, World

if TYPE_CHECKING:
    from torch import Tensor

    from threeworlds.data import ClipStore

GIVEN, AHEAD = 4, 16  # frames given, frames predicted
HORIZONS = (1, 4, 8, 16)
CAPTIONED = 16  # frames of a clip made from words
# Added to the seed where an exam makes episodes of its own: no model was trained on these, even if the two seeds agree.
EXAM_SEEDS = 1_000_000_000
PROBE_EPISODES = 800  # training episodes that probes and code maps may use
CHANCE = 0.05  # of one false difference or more in a whole table
RESAMPLES = 500  # of a bootstrap whose statistic is not a mean
FEW_RESAMPLES = 200  # where only a standard error is asked of it
NO_FLOOR = "none, by design"  # the floor's name where a row has none; its protocol says why


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A trained model at the exam."""

    route: str  # its name here: of a registered route, or of a variant of one
    model: Any  # what it can do is told by the Protocols of threeworlds.types
    untrained: Any = None  # the same model before training: the floor of its states
    recipe: str = ""
    ledger: Mapping[str, Ledger] = field(default_factory=dict)  # stage -> Ledger, "total" among them
    checkpoint: str = ""
    seed: int = 0  # of its training
    siblings: tuple[Entrant, ...] = ()  # the same route, trained with other seeds
    trials: Mapping[str, Any] = field(default_factory=dict)  # what ``tune`` found (score/trials.py), where it was asked
    variant_of: str = ""  # the registered route, where ``route`` is a name of its own

    @property
    def registered(self) -> str:
        """The name under which its route is known."""
        return self.variant_of or self.route


@dataclass(frozen=True, kw_only=True)
class Exam:
    """The items, and what is known about them."""

    spec: ClipSpec
    world: World | None
    test: Batch  # held-out windows of GIVEN + AHEAD frames
    train: Batch  # windows of as many frames from the training split, for probes
    seed: int
    opening: Batch | None = None  # held-out episodes from their first frame on, with the captions of just these frames
    options: Mapping[str, Any] = field(default_factory=dict)  # of the world
    groups: Sequence[
        str
    ] = ()  # what each window of ``test`` was cut from: windows of one group are no independent items

    @property
    def given(self) -> Tensor:
        assert self.test.video is not None
        return self.test.video[:, :GIVEN]

    @property
    def future(self) -> Tensor:
        assert self.test.video is not None
        return self.test.video[:, GIVEN:]

    @property
    def horizons(self) -> tuple[int, ...]:
        return tuple(h for h in HORIZONS if h <= self.future.shape[1])


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One metric of one question, item by item, for whoever could answer it.

    ``values``, ``floors`` and ``ceilings`` hold arrays of n items each; a metric that is not a mean over items (a
    correlation) has a ``statistic`` and holds tuples of arrays, which it is called with. ``own_floors`` and
    ``own_ceilings`` belong to one route: its untrained twin, its own reconstruction.
    """

    question: str
    metric: str
    unit: str
    direction: Literal["higher", "lower"]
    protocol: str
    values: Mapping[str, Any] = field(default_factory=dict)
    floors: Mapping[str, Any] = field(default_factory=dict)
    ceilings: Mapping[str, Any] = field(default_factory=dict)
    own_floors: Mapping[str, tuple[str, Any]] = field(default_factory=dict)  # route -> (name, items)
    own_ceilings: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)  # route -> why it cannot answer, by design
    floorless: str = ""  # why no trivial answer exists, where none does
    intervals: Mapping[str, Interval] = field(default_factory=dict)  # ready-made (Wilson), in place of a bootstrap
    statistic: Callable[..., float] | None = None
    seeds: str = (
        ""  # "0,1,2": arrays hold an axis of so many models first, and ``statistic`` takes them (score/seeds.py)
    )
    distance: bool = False  # the statistic is a distance of two samples: see ``_interval_of``
    windows: bool = True  # the items are the first windows of ``Exam.test``; False: items of the question's own


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a question found."""

    measured: tuple[Measured, ...] = ()
    films: tuple[tuple[Film, Any], ...] = ()  # with the frames, uint8 [t, h, w, 3], that ``film.path`` will hold
    rows: tuple[Row, ...] = ()  # rows that need no items: costs


def build_exam(
    store: ClipStore,
    *,
    items: int,
    seed: int,
    options: Mapping[str, Any] | None = None,
    helpers: ClipStore | None = None,
    split: str = "test",
    probes: int = PROBE_EPISODES,
) -> Exam:
    """Draw the windows. Short clips shorten the horizon; ``items`` is cut to the held-out episodes there are.

    ``helpers``: clips whose training split probes and code maps may use; None: the store's own. ``split``: what
    ``Exam.test`` is drawn from. ``probes``: training windows, one an episode.
    """
    from threeworlds.data import Windows

    columns = ["video"]
    columns += ["action"] if store.spec.action.kind != "none" else []
    columns += ["state"] if store.spec.state_names else []
    columns += ["caption"] if store.spec.captioned else []
    frames = min(GIVEN + AHEAD, _longest(store, split))

    def windows(part: str, clips: ClipStore = store) -> Windows:
        return Windows(clips, split=part, frames=frames, batch_size=1, columns=columns)

    episodes, starts = windows(split).fixed_index(items, seed)
    return Exam(
        spec=store.spec,
        world=WORLDS.get(store.spec.world),
        test=windows(split).read(episodes, starts),
        train=windows("train", helpers or store).fixed(probes, seed),
        groups=tuple(store.clip(int(i)).group or f"episode {i}" for i in episodes),
        seed=seed,
        opening=_opening(store, items, seed, split) if store.spec.captioned else None,
        options=options or {},
    )


def _opening(store: ClipStore, items: int, seed: int, split: str) -> Batch:
    """The captions of held-out episodes that begin with the episode, and the frames they speak of."""
    from threeworlds.data import Windows

    windows = Windows(
        store, split=split, frames=min(CAPTIONED, _longest(store, split)), batch_size=1, columns=("video", "caption")
    )
    episodes, starts = windows.fixed_index(items, seed)
    return windows.read(episodes, np.zeros_like(starts))


def _longest(store: ClipStore, split: str) -> int:
    """The length that at least half of the split's episodes have."""
    return int(np.median([store.length(int(i)) for i in store.split(split)]))


def rows_of(measured: Measured, exam: Exam, entrants: Sequence[Entrant]) -> list[Row]:
    """A row for each entrant: its interval, floors and ceilings, the best of them by name; or why there is none."""
    checkpoint = {entrant.route: entrant.checkpoint for entrant in entrants}
    answered = any(_answered(measured, route) for route in checkpoint)
    shared = _references(measured, exam, measured.floors, measured.ceilings) if answered else {}
    return [_row(measured, exam, route, checkpoint[route], shared) for route in checkpoint]


def _answered(measured: Measured, route: str) -> bool:
    return route in measured.values or route in measured.intervals


def _row(measured: Measured, exam: Exam, route: str, checkpoint: str, shared: Mapping[str, Reference]) -> Row:
    common: dict[str, Any] = {
        "route": route,
        "question": measured.question,
        "metric": measured.metric,
        "unit": measured.unit,
        "direction": measured.direction,
        "world": exam.spec.world or "video",
        "checkpoint": checkpoint,
        "seed": exam.seed,
        "protocol": measured.protocol + floorless(measured.floorless),
        "seeds": measured.seeds,
    }
    if not _answered(measured, route):
        return Row(**common, status="not_applicable", reason=measured.absent.get(route, "not asked"))
    interval = _interval(measured, exam, measured.values.get(route), measured.intervals.get(route))
    own_floor, own_ceiling = _own(measured.own_floors, route), _own(measured.own_ceilings, route)
    floor_name, floor = _best(measured, {**measured.floors, **own_floor})
    ceiling_name, ceiling = _best(measured, {**measured.ceilings, **own_ceiling})
    return Row(
        **common,
        value=_finite(interval.value),
        low=_finite(interval.low),
        high=_finite(interval.high),
        n=interval.n,
        floor=floor,
        floor_name=floor_name or (NO_FLOOR if measured.floorless else ""),
        ceiling=ceiling,
        ceiling_name=ceiling_name,
        references={**shared, **_references(measured, exam, own_floor, own_ceiling)},
    )


def _references(
    measured: Measured, exam: Exam, floors: Mapping[str, Any], ceilings: Mapping[str, Any]
) -> dict[str, Reference]:
    """Floors and ceilings with their intervals, as those of the routes are made."""
    found = {}
    counted = bool(measured.intervals) and measured.statistic is None  # successes of the routes
    kinds: tuple[tuple[Literal["floor", "ceiling"], Mapping[str, Any]], ...] = (
        ("floor", floors),
        ("ceiling", ceilings),
    )
    for kind, each in kinds:
        for name, items in each.items():
            interval = _interval(measured, exam, items, _rate(items) if counted else None)
            value, low, high = map(_finite, (interval.value, interval.low, interval.high))
            found[name] = Reference(kind=kind, value=value, low=low, high=high)
    return found


def _rate(items: np.ndarray) -> Interval | None:
    """Wilson's interval, if every item is a success or a failure; a known number, such as chance, is neither."""
    known = items[~np.isnan(items)]
    return wilson(int(known.sum()), len(known)) if np.isin(known, (0, 1)).all() else None


def floorless(why: str) -> str:
    """The end of a protocol whose rows have no floor."""
    return f". No floor, by design: {why}" if why else ""


def differences_of(measured: Measured, exam: Exam) -> list[Difference]:
    """Every pair of routes on the same items, and every route against each floor."""
    routes = list(measured.values)
    found = [
        _difference(measured, exam, first, second, measured.values[first], measured.values[second])
        for place, first in enumerate(routes)
        for second in routes[place + 1 :]
    ]
    for route in routes:
        for name, items in {**measured.floors, **_own(measured.own_floors, route)}.items():
            found.append(_difference(measured, exam, route, name, measured.values[route], items))
    return found


def _difference(measured: Measured, exam: Exam, first: str, second: str, a: Any, b: Any) -> Difference:
    groups = groups_of(measured, exam, _count(measured, a))
    if measured.statistic is None:
        interval = paired_difference(a, b, groups=groups, seed=exam.seed)
    else:
        statistic, count = measured.statistic, len(a)
        interval = _interval_of(measured)(
            lambda *arrays: statistic(*arrays[:count]) - statistic(*arrays[count:]),
            *a,
            *b,
            groups=groups,
            seed=exam.seed,
        )
    return Difference(
        question=measured.question,
        metric=measured.metric,
        first=first,
        second=second,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        n=interval.n,
        verdict=separable(interval, measured.direction),
        p=_finite(interval.p),
    )


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """Holm's correction over a whole table: what is no longer beyond chance is not separable."""
    unknown = [d.p is None for d in differences]
    adjusted = holm([1.0 if d.p is None else d.p for d in differences])
    return [
        replace(d, p=None if none else float(p), verdict=d.verdict if p <= CHANCE else "not separable")
        for d, p, none in zip(differences, adjusted, unknown, strict=True)
    ]


def _interval(measured: Measured, exam: Exam, items: Any, ready: Interval | None) -> Interval:
    """The one that is ready (Wilson's), if every item is independent, else a bootstrap."""
    groups = groups_of(measured, exam, 0 if items is None else _count(measured, items))
    if ready is not None and groups is None:
        return ready
    assert items is not None
    if measured.statistic is None:
        return mean_interval(items, groups=groups, seed=exam.seed)
    found = _interval_of(measured)(measured.statistic, *items, groups=groups, seed=exam.seed)
    return replace(found, low=max(found.low, 0.0)) if measured.distance else found


def _interval_of(measured: Measured) -> Callable[..., Interval]:
    """The bootstrap of a statistic.

    A draw repeats items, which puts two samples farther apart than they are: percentiles of a distance may lie above
    the distance itself. So its interval is that of a normal distribution, with the standard error of the draws.
    """
    draw = seeds_interval if measured.seeds else interval_of
    resamples = min(FEW_RESAMPLES, RESAMPLES) if measured.distance else RESAMPLES
    return partial(draw, normal=measured.distance, resamples=resamples)


def _count(measured: Measured, items: Any) -> int:
    """Number of items."""
    return len(items) if measured.statistic is None else int(items[0].shape[bool(measured.seeds)])


def groups_of(measured: Measured, exam: Exam, count: int) -> Sequence[str] | None:
    """Groups of the items, where two of them share one. Pieces of a single film stay items: they speak of it alone."""
    groups = exam.groups[:count] if measured.windows else ()
    return groups if 1 < len(set(groups)) < len(groups) else None


def _best(measured: Measured, candidates: Mapping[str, Any]) -> tuple[str, float | None]:
    """The floor (or ceiling) hardest to beat, and its score."""
    if not candidates:
        return "", None
    sign = 1 if measured.direction == "higher" else -1
    scores = {name: _point(measured, items) for name, items in candidates.items()}
    name = max(scores, key=lambda key: sign * scores[key])
    return name, _finite(scores[name])


def _point(measured: Measured, items: Any) -> float:
    return float(np.nanmean(items)) if measured.statistic is None else measured.statistic(*items)


def _own(own: Mapping[str, tuple[str, Any]], route: str) -> dict[str, Any]:
    return {own[route][0]: own[route][1]} if route in own else {}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
