"""Intervals: how sure a number is. An item is what was drawn independently: an episode, never one of its frames.

Bootstrap: Efron (1987), "Better bootstrap confidence intervals" (BCa). Success rates: Wilson (1927), score interval.
Many comparisons at once: Holm (1979). Runs over tasks: Agarwal et al. (2021), "Deep reinforcement learning at the edge
of the statistical precipice", arXiv 2108.13264 (interquartile mean, stratified bootstrap, probability of improvement).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

MAX_RESAMPLED_VALUES = 1_000_000  # held in memory at once: 8 MB of indices
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number and its confidence interval. ``low`` and ``high`` are NaN where fewer than two items are left."""

    value: float
    low: float
    high: float
    n: int  # items used
    dropped: int = 0  # items left out because they were NaN
    p: float = nan  # two-sided p of "it is zero": t of the items' mean, or normal with the bootstrap's standard error


def mean_interval(
    values: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Mean of ``values`` [n], one per independent item, with its bootstrap interval. NaN items are dropped.

    ``groups`` [n] names what each value belongs to, where values are not independent (pieces of one film): whole groups
    are drawn, and ``Interval.n`` counts them.
    Raises ValueError where ``values`` is not one-dimensional.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"values: one number per item, so shape [n], got shape {list(array.shape)}")
    keep = ~np.isnan(array)
    kept = array[keep]
    members = _members(groups, keep)
    sums, counts = np.bincount(members, kept), np.bincount(members)

    def mean_of(index: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        return np.asarray(sums[index].sum(axis=axis) / counts[index].sum(axis=axis))

    value = float(kept.mean()) if len(kept) else nan
    low, high, _ = _bootstrap(mean_of, value, len(sums), seed=seed, level=level, resamples=resamples, vectorized=True)
    p = _p_of_mean(sums - value * counts, counts, value)
    return Interval(value=value, low=low, high=high, n=len(sums), dropped=len(array) - len(kept), p=p)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Mean of ``first - second`` [n], item by item. An item that is NaN in either is dropped.

    Raises ValueError where the two do not hold the same number of items.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired items must be the same items: got shapes {list(a.shape)} and {list(b.shape)}")
    return mean_interval(a - b, groups=groups, seed=seed, level=level, resamples=resamples)


def interval_of(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    groups: ArrayLike | None = None,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 2000,
    normal: bool = False,
) -> Interval:
    """``statistic(*arrays)`` (a correlation, R2, mutual information) with its bootstrap interval.

    Each array is [n, ...], one row per item; rows are resampled jointly, by whole ``groups`` where these are given. An
    item that is wholly NaN in one of the arrays is dropped; single NaN values inside an item are left to ``statistic``.
    ``normal``: bounds are so many standard errors from the value, for a statistic that repeated items bias.
    Raises ValueError where the arrays do not hold the same number of items.
    """
    data = [np.asarray(array) for array in arrays]
    lengths = [len(array) for array in data]
    if len(set(lengths)) != 1:
        raise ValueError(f"interval_of: every array must hold the same n items, got lengths {lengths}")
    keep = ~np.any([_wholly_nan(array) for array in data], axis=0)
    data = [array[keep] for array in data]
    members = _members(groups, keep)
    places = [np.flatnonzero(members == group) for group in range(members.max(initial=-1) + 1)]

    def statistic_of(index: NDArray[np.int64]) -> float:
        drawn = np.concatenate([places[group] for group in index])
        return float(statistic(*(array[drawn] for array in data)))

    n = len(places)
    value = statistic_of(np.arange(n)) if n else nan
    low, high, error = _bootstrap(
        statistic_of, value, n, seed=seed, level=level, resamples=resamples, vectorized=False, normal=normal
    )
    p = _two_sided(value, error, stats.norm.sf)
    return Interval(value=value, low=low, high=high, n=n, dropped=lengths[0] - int(keep.sum()), p=p)


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """p values adjusted for their number, in the order given (Holm 1979): k-th smallest times (m - k + 1), monotone."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1)
    result = np.empty_like(values)
    result[order] = adjusted
    return result


# ------------------------------------------------------------------------------------ several seeds


def interquartile_mean(scores: ArrayLike) -> float:
    """Mean of the middle half of all ``scores``, of whatever shape: a quarter is cut at each end. NaN are dropped.

    Less moved by a single bad run than the mean, and less wasteful than the median (arXiv 2108.13264, Section 4.3).
    """
    values = np.asarray(scores, dtype=np.float64).ravel()
    values = np.sort(values[~np.isnan(values)])
    cut = len(values) // 4
    return float(values[cut : len(values) - cut].mean()) if len(values) else nan


def probability_of_improvement(first: ArrayLike, second: ArrayLike, direction: Literal["higher", "lower"]) -> float:
    """How often a run of ``first`` [s, n] is better than one of ``second`` [m, n] on the same item, in [0, 1].

    The mean over items of the part of the s m pairs, where equal scores count half: Mann and Whitney's U over s m
    (arXiv 2108.13264, Section 4.3). Pairs with NaN are left out.
    """
    a, b = np.asarray(first, dtype=np.float64)[:, None], np.asarray(second, dtype=np.float64)[None]
    won = (a > b) + 0.5 * (a == b) if direction == "higher" else (a < b) + 0.5 * (a == b)
    known = ~(np.isnan(a) | np.isnan(b))
    pairs = known.sum((0, 1))
    parts = np.where(known, won, 0.0).sum((0, 1))[pairs > 0] / pairs[pairs > 0]
    return float(parts.mean()) if len(parts) else nan


def seeds_interval(
    statistic: Callable[..., float],
    *scores: ArrayLike,
    paired: bool = True,
    groups: ArrayLike | None = None,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 500,
    normal: bool = False,
) -> Interval:
    """``statistic(*scores)`` of scores [s, n, ...], s models that answered the same n items, with its interval.

    Models and items are both drawn: each model of a draw answers all items of that draw (Owen 2007, "The pigeonhole
    bootstrap"). arXiv 2108.13264 draws runs within each task instead, since there a run is of one task; here that would
    count what a seed did to all items at once as if it were n accidents. Of s models s - 1 are drawn, which makes the
    variance of a mean unbiased (Rao and Wu 1988): with three seeds it would else be a third too small. ``paired``: all
    arrays share the models drawn; else each has its own. Whole ``groups`` [n] are drawn where these are given.
    The bounds are percentiles, or normal as in ``interval_of``; NaN for fewer than two items. With one seed they speak
    of that one model.
    """
    data = [np.asarray(array) for array in scores]
    counts = {array.shape[1] for array in data}
    if len(counts) != 1:
        raise ValueError(f"seeds_interval: every array must hold the same n items, got {sorted(counts)}")
    members = _members(groups, np.ones(counts.pop(), dtype=bool))
    places = [np.flatnonzero(members == group) for group in range(members.max(initial=-1) + 1)]
    value, n, rng = float(statistic(*data)), len(places), np.random.default_rng(seed)
    if n < 2 or not isfinite(value):
        return Interval(value=value, low=nan, high=nan, n=n)

    def drawn_once() -> float:
        items = np.concatenate([places[group] for group in rng.integers(n, size=n)])
        models = [rng.integers(len(array), size=max(1, len(array) - 1)) for array in data]
        chosen = [models[0]] * len(data) if paired else models
        return float(statistic(*(array[np.ix_(m, items)] for array, m in zip(data, chosen, strict=True))))

    drawn = np.array([drawn_once() for _ in range(resamples)])
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 2:
        return Interval(value=value, low=nan, high=nan, n=n)
    error = float(drawn.std(ddof=1))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    low, high = _normal(value, error, level) if normal else (low, high)
    p = _two_sided(value, error, stats.norm.sf)
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value), n=n, p=p)


# ------------------------------------------------------------------------------- rates and verdicts


def wilson(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Success rate in [0, 1] with Wilson's score interval. Raises ValueError unless 0 <= successes <= n."""
    if not 0 <= successes <= n:
        raise ValueError(f"wilson: successes must lie in [0, n], got {successes} of {n}")
    if n == 0:
        return Interval(value=nan, low=nan, high=nan, n=0)
    interval = stats.binomtest(int(successes), int(n)).proportion_ci(level, method="wilson")
    return Interval(value=successes / n, low=float(interval.low), high=float(interval.high), n=int(n))


def separable(
    difference: Interval, direction: Literal["higher", "lower"]
) -> Literal["first better", "second better", "not separable"]:
    """Who wins, given first - second and which direction is good. An interval that holds zero decides nothing."""
    if direction not in ("higher", "lower"):
        raise ValueError(f"direction: 'higher' or 'lower', got {direction!r}")
    if not (difference.low > 0 or difference.high < 0):  # also where the bounds are NaN
        return "not separable"
    return "first better" if (difference.low > 0) == (direction == "higher") else "second better"


def _members(groups: ArrayLike | None, keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of the group of each kept item; each item its own group where there are none."""
    if groups is None:
        return np.arange(int(keep.sum()))
    names = np.asarray(groups)
    if names.shape != keep.shape:
        raise ValueError(f"groups: one for each of the {len(keep)} items, got {len(names)}")
    return np.asarray(np.unique(names[keep], return_inverse=True)[1], dtype=np.int64)


def _p_of_mean(residuals: NDArray[np.float64], counts: NDArray[np.int64], value: float) -> float:
    """Two-sided p of a mean, with the standard error of a ratio of sums over groups (all counts 1: Student's t)."""
    n = len(counts)
    if n < 2:
        return nan
    error = np.sqrt((residuals**2).sum() / (n - 1) / n) / counts.mean()
    return _two_sided(value, float(error), lambda t: stats.t.sf(t, n - 1))


def _two_sided(value: float, error: float, tail: Callable[[float], float]) -> float:
    if not isfinite(value) or not isfinite(error):
        return nan
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * tail(abs(value) / error))


def _normal(value: float, error: float, level: float) -> tuple[float, float]:
    half = float(stats.norm.ppf((1 + level) / 2)) * error
    return value - half, value + half


def _wholly_nan(array: NDArray[Any]) -> NDArray[np.bool_]:
    if not np.issubdtype(array.dtype, np.floating):
        return np.zeros(len(array), dtype=bool)
    return np.isnan(array).all(axis=tuple(range(1, array.ndim)))


def _bootstrap(
    statistic_of: Callable[..., Any],
    value: float,
    n: int,
    *,
    seed: int,
    level: float,
    resamples: int,
    vectorized: bool,
    normal: bool = False,
) -> tuple[float, float, float]:
    """BCa bounds of a statistic of item indices, or normal ones, and its standard error.

    Where BCa does not exist, percentiles that hold the estimate; where its bounds do not hold it, since repeated items
    bias the statistic by more than it varies, normal ones.
    """
    if n < 2 or not isfinite(value):
        return nan, nan, nan
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # degenerate resamples (all items equal) are dealt with below
        result = stats.bootstrap(
            (np.arange(n),),
            statistic_of,
            n_resamples=resamples,
            batch=max(1, MAX_RESAMPLED_VALUES // n),
            vectorized=vectorized,
            confidence_level=level,
            method="percentile" if normal else "BCa",  # BCa asks for the statistic without each item in turn
            rng=np.random.default_rng(seed),
        )
    low, high = result.confidence_interval
    error = float(result.standard_error)
    found = isfinite(low) and isfinite(high)
    if normal or (found and not low - ROUNDING <= value <= high + ROUNDING):
        return *_normal(value, error, level), error
    if found:
        return float(low), float(high), error
    tail = (1 - level) / 2
    drawn = result.bootstrap_distribution[np.isfinite(result.bootstrap_distribution)]
    low, high = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (nan, nan)
    return float(min(low, value)), float(max(high, value)), error
