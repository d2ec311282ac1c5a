"""Intervals against published numbers, closed forms, scipy, and their promised coverage."""

from math import isnan, nan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from threeworlds.score.control import normalised_mutual_information
from threeworlds.score.stats import (
    Interval,
    holm,
    interquartile_mean,
    interval_of,
    mean_interval,
    paired_difference,
    probability_of_improvement,
    seeds_interval,
    separable,
    wilson,
)


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


# ------------------------------------------------------------------------------------------- Wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (48, 50, 0.865, 0.989),
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), Table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(successes, n, low, high):
    interval = wilson(successes, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-4)
    assert interval.value == successes / n


@given(n=st.integers(1, 500), part=st.floats(0, 1))
def test_wilson_bounds_solve_the_score_equation(n, part):
    k, z = round(part * n), stats.norm.ppf(0.975)
    interval = wilson(k, n)
    for bound in (interval.low, interval.high):
        assert abs(interval.value - bound) == pytest.approx(z * sqrt(max(0.0, bound * (1 - bound) / n)), abs=1e-7)


def test_wilson_of_nothing_knows_nothing_and_refuses_the_impossible():
    assert isnan(wilson(0, 0).value)
    with pytest.raises(ValueError, match=r"\[0, n\], got 4 of 3"):
        wilson(4, 3)


def test_an_interval_holds_an_estimate_that_resampling_biases():
    """Mutual information of things that have little to do with each other: items drawn twice make it larger."""
    rng = np.random.default_rng(0)
    actions, others = rng.integers(0, 6, (2, 100, 30))
    codes = np.where(rng.random((100, 30)) < 0.02, actions, others)
    found = interval_of(normalised_mutual_information, codes, actions, resamples=300)
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(0.004, abs=0.001)  # BCa: 2e-5, beside the estimate


# ---------------------------------------------------------------------------------------- bootstrap


def test_mean_interval_is_scipys_bca():
    values = np.random.default_rng(0).exponential(size=40)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=2000, confidence_level=0.9, rng=np.random.default_rng(3)
    ).confidence_interval
    interval = mean_interval(values, seed=3, level=0.9)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))
    assert interval.value == pytest.approx(values.mean())


def test_joint_interval_is_scipys_paired_bca():
    rng = np.random.default_rng(1)
    a = rng.normal(size=50)
    b = a + rng.normal(size=50)
    expected = stats.bootstrap(
        (a, b), correlation, n_resamples=500, paired=True, vectorized=False, rng=np.random.default_rng(0)
    ).confidence_interval
    interval = interval_of(correlation, a, b, resamples=500)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))


def test_mean_by_index_equals_mean_by_values():
    values = np.random.default_rng(2).normal(size=60)
    fast, slow = mean_interval(values, resamples=300), interval_of(np.mean, values, resamples=300)
    assert (slow.low, slow.high) == pytest.approx((fast.low, fast.high))


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_intervals_cover_the_true_mean_as_often_as_they_say(draw):
    rng = np.random.default_rng(4)
    true = 0.0 if draw == "normal" else 1.0
    intervals = [mean_interval(getattr(rng, draw)(size=60), resamples=400) for _ in range(400)]
    covered = np.mean([i.low <= true <= i.high for i in intervals])
    assert 0.90 <= covered <= 0.98  # 0.95, less what 60 skewed items cost, and 400 draws' own scatter


def test_the_seed_decides():
    values = np.random.default_rng(5).normal(size=30)
    assert mean_interval(values, seed=7) == mean_interval(values, seed=7)
    assert mean_interval(values, seed=7) != mean_interval(values, seed=8)


def test_nan_items_are_dropped_and_counted():
    clean, holed = mean_interval([1.0, 2.0, 4.0]), mean_interval([1.0, nan, 2.0, 4.0, nan])
    assert (holed.n, holed.dropped) == (3, 2)
    assert (holed.value, holed.low, holed.high) == (clean.value, clean.low, clean.high)


def test_joint_items_are_dropped_where_one_array_is_wholly_nan():
    a = np.array([[1.0, nan], [nan, nan], [2.0, 3.0]])
    interval = interval_of(lambda a, b: np.nanmean(a) + b.sum(), a, np.array([1, 2, 3]), resamples=50)
    assert (interval.value, interval.n, interval.dropped) == (6.0, 2, 1)


def test_equal_items_have_a_point_as_interval():
    interval = mean_interval([0.5] * 9)
    assert (interval.low, interval.value, interval.high) == (0.5, 0.5, 0.5)


def test_an_estimate_at_the_edge_of_its_resamples_lies_in_its_interval():
    # A resample repeats items, so it nearly never holds ten distinct ones: every resample lies below the estimate.
    interval = interval_of(lambda x: len(np.unique(x)), np.arange(10.0), resamples=200)
    assert interval.low < interval.value == interval.high == 10


@pytest.mark.parametrize("values", [[], [nan], [1.0]])
def test_too_few_items_have_no_bounds(values):
    interval = mean_interval(values)
    assert isnan(interval.low)
    assert isnan(interval.high)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"got shape \[2, 2\]"):
        mean_interval(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"\[3\] and \[2\]"):
        paired_difference([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match=r"lengths \[3, 2\]"):
        interval_of(correlation, [1, 2, 3], [1, 2])


# --------------------------------------------------------------------------------------- differences


def test_pairing_sees_what_two_separate_intervals_cannot():
    rng = np.random.default_rng(6)
    hard = rng.normal(0, 10, size=40)
    a, b = hard + 1 + rng.normal(0, 0.3, size=40), hard
    assert mean_interval(a).low < mean_interval(b).high
    assert separable(paired_difference(a, b), "higher") == "first better"


@pytest.mark.parametrize(
    ("low", "high", "direction", "verdict"),
    [
        (0.1, 0.3, "higher", "first better"),
        (0.1, 0.3, "lower", "second better"),
        (-0.3, -0.1, "higher", "second better"),
        (-0.3, -0.1, "lower", "first better"),
        (-0.1, 0.1, "higher", "not separable"),
        (0.0, 0.1, "higher", "not separable"),
        (nan, nan, "lower", "not separable"),
    ],
)
def test_separable(low, high, direction, verdict):
    assert separable(Interval(value=0.0, low=low, high=high, n=9), direction) == verdict


def test_direction_is_one_of_two():
    with pytest.raises(ValueError, match="'up'"):
        separable(mean_interval([1.0, 2.0]), "up")


# ------------------------------------------------------------------------------- p values and groups


def test_p_of_a_paired_difference_is_that_of_the_t_test():
    a, b = np.random.default_rng(0).normal(size=(2, 30))
    assert paired_difference(a, b + 0.3).p == pytest.approx(stats.ttest_rel(a, b + 0.3).pvalue)


def test_p_of_a_statistic_is_near_that_of_its_test():
    a, noise = np.random.default_rng(1).normal(size=(2, 300))
    b = 0.15 * a + noise
    assert interval_of(correlation, a, b).p == pytest.approx(stats.pearsonr(a, b).pvalue, abs=0.02)


@pytest.mark.parametrize(("values", "p"), [([2.0, 2, 2], 0.0), ([0.0, 0, 0], 1.0)])
def test_p_where_nothing_varies(values, p):
    assert mean_interval(values).p == p


def test_p_of_one_item_is_unknown():
    assert isnan(mean_interval([1.0]).p)


@pytest.mark.parametrize("bootstrap", [interval_of, seeds_interval])
def test_normal_bounds_lie_as_far_on_either_side_and_are_those_of_the_mean(bootstrap):
    values = np.random.default_rng(0).normal(3, 1, size=(1, 100))
    found = bootstrap(np.mean, *(values if bootstrap is interval_of else [values]), normal=True)
    expected = stats.norm.interval(0.95, values.mean(), values.std() / 10)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.03)
    assert found.high - found.value == pytest.approx(found.value - found.low)


def test_groups_of_one_are_items():
    values = np.random.default_rng(0).exponential(size=20)
    assert mean_interval(values, groups=[f"film {i:02d}" for i in range(20)]) == mean_interval(values)
    pairs = np.random.default_rng(1).normal(size=(2, 20))
    assert interval_of(correlation, *pairs, groups=range(20)) == interval_of(correlation, *pairs)


def test_copies_of_a_film_teach_nothing():
    """Every item five times over: by itself the interval shrinks; by groups it is that of the items."""
    values = np.random.default_rng(0).normal(size=40)
    copies, films = np.repeat(values, 5), np.repeat(np.arange(40), 5)
    once, fooled, honest = mean_interval(values), mean_interval(copies), mean_interval(copies, groups=films)
    assert (honest.n, honest.value) == (40, pytest.approx(once.value))
    assert (honest.low, honest.high, honest.p) == pytest.approx((once.low, once.high, once.p))
    assert fooled.high - fooled.low < 0.6 * (once.high - once.low)
    assert fooled.p < honest.p


def test_groups_of_different_sizes_weigh_by_their_items():
    interval = mean_interval([1.0, 1, 1, 5, np.nan], groups=["a", "a", "a", "b", "c"])
    assert (interval.value, interval.n, interval.dropped) == (2.0, 2, 1)


def test_groups_must_be_one_for_each_item():
    with pytest.raises(ValueError, match="one for each of the 3 items, got 2"):
        mean_interval([1.0, 2, 3], groups=["a", "b"])


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),  # p.adjust(..., "holm") of R
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.9, 0.6], [1.0, 1.0]),
        ([], []),
    ],
)
def test_holm_adjusts_as_published(p, adjusted):
    assert holm(p) == pytest.approx(adjusted)


def test_holm_keeps_the_error_of_the_family():
    """Forty comparisons of nothing: at most about one table in twenty shows a difference."""
    p = np.random.default_rng(0).uniform(size=(1000, 40))
    assert (p < 0.05).any(1).mean() > 0.8
    assert 0.03 < np.mean([(holm(row) < 0.05).any() for row in p]) < 0.07


# ------------------------------------------------------------------------------------ several seeds


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=40))
def test_interquartile_mean_is_scipys_trimmed_mean(values):
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-9)


def test_interquartile_mean_takes_all_runs_and_items_together_and_drops_nan():
    scores = np.array([[0.0, 1, 2, 3], [4, 5, 6, 700]])
    assert interquartile_mean(scores) == 3.5
    assert interquartile_mean([[1, nan], [2, 3]]) == 2
    assert isnan(interquartile_mean([nan]))


@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_probability_of_improvement_is_mann_and_whitneys_u(direction):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (3, 20)).astype(float), rng.integers(0, 4, (5, 20)).astype(float)
    won = [stats.mannwhitneyu(a[:, item], b[:, item]).statistic / 15 for item in range(20)]
    part = probability_of_improvement(a, b, direction)
    assert part == pytest.approx(np.mean(won) if direction == "higher" else 1 - np.mean(won))
    assert part + probability_of_improvement(b, a, direction) == pytest.approx(1)


def test_pairs_that_are_unknown_are_left_out_of_the_improvement():
    assert probability_of_improvement([[1, nan], [3, nan]], [[2, 0]], "higher") == 0.5
    assert isnan(probability_of_improvement([[nan]], [[1.0]], "higher"))


def test_seeds_interval_has_the_spread_of_all_its_draws():
    """Every draw of one of two seeds and of two of two items, by hand: their mean and their spread."""
    scores = np.array([[0.0, 4.0], [10.0, 12.0]])
    every = [scores[s, [i, j]].mean() for s in (0, 1) for i in (0, 1) for j in (0, 1)]
    found = seeds_interval(np.mean, scores, resamples=4000)
    assert (found.value, found.n) == (6.5, 2)
    assert (found.low, found.high) == (min(every), max(every))
    spread = found.value / stats.norm.isf(found.p / 2)
    assert spread == pytest.approx(np.std(every), rel=0.05)


def test_seeds_interval_is_no_surer_than_its_seeds():
    """A thousand items, but three models that differ: the interval is that of three draws, not of three thousand."""
    rng = np.random.default_rng(0)
    errors, spreads = [], []
    for trial in range(60):
        scores = rng.normal(size=(3, 1)) + rng.normal(size=(1, 30)) * 0.1 + rng.normal(size=(3, 30)) * 0.1
        found = seeds_interval(np.mean, scores, seed=trial, resamples=100)
        errors.append(found.value)
        spreads.append(found.value / stats.norm.isf(found.p / 2))
    assert np.mean(np.square(spreads)) == pytest.approx(1 / 3, rel=0.25)  # of a mean of three
    assert np.std(errors) == pytest.approx(sqrt(1 / 3), rel=0.25)


def test_seeds_of_two_routes_are_drawn_together_where_they_are_paired():
    scores = np.random.default_rng(0).normal(size=(4, 30))

    def gap(a, b):
        return float((a - b).mean())

    together = seeds_interval(gap, scores, scores - 1, resamples=50)
    apart = seeds_interval(gap, scores, scores - 1, paired=False, resamples=50)
    assert (together.low, together.high) == pytest.approx((1, 1))
    assert apart.high - apart.low > 0.1


def test_seeds_interval_draws_whole_groups_and_wants_the_same_items():
    scores = np.repeat(np.random.default_rng(0).normal(size=(3, 4)), 5, axis=1)
    groups = np.repeat(["a", "b", "c", "d"], 5)
    assert seeds_interval(np.mean, scores, groups=groups, resamples=20).n == 4
    with pytest.raises(ValueError, match=r"the same n items, got \[4, 20\]"):
        seeds_interval(np.mean, scores, scores[:, :4])
    assert isnan(seeds_interval(np.mean, scores[:, :1]).low)
