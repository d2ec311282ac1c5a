"""Frechet distance: normal distributions whose distance is known, and a network that is always the same."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from threeworlds.score import frechet


def white(n: int, f: int, seed: int = 0) -> np.ndarray:
    """Samples [n, f] whose mean is zero and whose covariance is the identity, exactly."""
    x = np.random.default_rng(seed).normal(size=(n, f))
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T


def test_equal_sets_are_no_distance_apart():
    x = white(50, 4) * [1, 2, 3, 4] + 5
    assert frechet.distance(x, x[::-1].copy()) == 0
    assert frechet.distance(x[:3], x[:3]) == 0  # fewer than features


def test_a_shift_counts_by_its_square_and_a_width_by_the_square_of_the_difference():
    x, shift = white(50, 4), np.array([1.0, 0, -2, 0.5])
    assert frechet.distance(x, x + shift) == pytest.approx((shift**2).sum())
    narrow, wide = np.array([1.0, 2, 3, 4]), np.array([2.0, 2, 1, 7])
    assert frechet.distance(x * narrow, white(80, 4, seed=1) * wide) == pytest.approx(((narrow - wide) ** 2).sum())


@pytest.mark.parametrize("n", [200, 9])
def test_it_is_the_formula_of_heusel_in_either_order(n):
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(n, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6) for _ in range(2))
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c + d - 2 * sqrtm(c @ d).real)
    assert frechet.distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet.distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_few_items_are_farther_apart_than_many():
    """The bias its docstring speaks of: halves of one distribution."""
    rng = np.random.default_rng(0)
    few, many = (np.mean([frechet.distance(*rng.normal(size=(2, n, 8))) for _ in range(20)]) for n in (20, 200))
    assert few > 4 * many > 0


def test_one_item_has_no_distribution_and_nor_have_pictures_of_nothing():
    assert np.isnan(frechet.distance(np.zeros((1, 4)), np.zeros((5, 4))))
    assert np.isnan(frechet.distance(np.where(np.eye(5, 4) > 0, np.nan, 0), np.zeros((5, 4))))


def test_the_network_is_always_the_same_and_draws_nothing_of_others():
    pictures = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    torch.manual_seed(7)
    first = frechet.features(pictures)
    after = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(1), after)
    np.testing.assert_array_equal(frechet.features(pictures), first)
    np.testing.assert_allclose(frechet.features(pictures[2:3]), first[2:3], atol=1e-5)
    assert first.shape == (5, 64)
    np.testing.assert_allclose(first[0, [0, 1, 40]], [0.0962, 0.0941, 0.1419], rtol=1e-3)


def test_any_size_and_number_of_channels_is_taken():
    assert np.isfinite(frechet.features(torch.zeros(2, 1, 2, 2))).all()
    assert frechet.features(torch.rand(2, 3, 40, 24)).shape == (2, 64)


def test_the_worse_the_pictures_the_farther_they_are(arena):
    true = arena.future[:, 7]
    noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    blurred = [true, *(torch.nn.functional.avg_pool2d(true, k, 1, k // 2, count_include_pad=False) for k in (3, 7))]
    noisy = [true + strength * noise for strength in (0, 0.1, 0.3)]
    emptied = [torch.cat([true[n:], true[:1, :, :1, :1].expand_as(true[:n])]) for n in (0, 5, 20)]
    for worse in (blurred, noisy, emptied):
        far = [frechet.distance(frechet.features(pictures), frechet.features(true)) for pictures in worse]
        assert far[0] == 0 < far[1] < far[2]
