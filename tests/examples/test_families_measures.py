"""The measures of the experiment with generative families, on draws whose answer is known."""

import pytest
import torch


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/families.py")


def futures(count, *, of=20, spread=1.0):
    """[count, of, 1 frame, 1 channel, 4, 4]"""
    return spread * torch.randn(count, of, 1, 1, 4, 4)


def test_draws_of_the_truths_own_distribution_spread_as_it_does(script):
    torch.manual_seed(0)
    truth = futures(1, of=500)[0]
    alike, own, wide = (script.measures(futures(4, of=500, spread=s), truth) for s in (0.01, 1.0, 2.0))
    assert own["spread"] == pytest.approx(1, abs=0.03)
    assert alike["spread"] < 0.01
    assert wide["spread"] == pytest.approx(8 / 5, abs=0.05)  # (4 + 4) / (4 + 1)
    assert own["energy"] < min(alike["energy"], wide["energy"])  # proper: the true distribution scores best
    assert own["error"] == pytest.approx(2, abs=0.05)
    assert own["best_of"] < own["error"]


def test_frechet_distance_in_closed_form(script):
    torch.manual_seed(0)
    x = torch.randn(400, 3)
    shift = torch.tensor([1.0, 2.0, 2.0])
    assert script.frechet(x, x) == pytest.approx(0, abs=1e-5)
    assert script.frechet(x, x + shift) == pytest.approx(9, rel=1e-4)
    centred = x - x.mean(0)
    variance = torch.cov(x.T).trace().item()
    assert script.frechet(centred, 3 * centred) == pytest.approx(4 * variance, rel=1e-4)  # (3 - 1)^2 trace


def test_windows_are_windows_of_films(script):
    films = torch.arange(3 * 10).view(3, 10, 1, 1, 1)
    drawn = script.draw_windows(films, 4, 50, torch.Generator().manual_seed(0))[:, :, 0, 0, 0]
    assert drawn.shape == (50, 6)
    assert (drawn.diff(dim=1) == 1).all()
    assert (drawn[:, 0] // 10 == drawn[:, -1] // 10).all()
    assert drawn.min() == 0 and drawn.max() == 29
