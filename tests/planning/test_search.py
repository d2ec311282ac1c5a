"""Searches: each finds known optima, loses nothing, keeps to its bounds, and is a function of its seed."""

from itertools import pairwise

import pytest
import torch

from threeworlds.planning import SEARCHES, find_search
from threeworlds.planning.icem import coloured
from threeworlds.planning.search import cheapest, shifted

TARGET = torch.tensor([[0.5, -0.25], [-0.8, 0.1]])  # one optimum an episode, so that episodes must not mix
START = torch.zeros(2, 3, 2)


def quadratic(actions):
    return (actions - TARGET[:, None, None]).square().sum((-1, -2))


def plan(name, rounds=6, seed=0, start=START, cost=quadratic, **options):
    generator = torch.Generator().manual_seed(seed)
    return SEARCHES[name](cost, start, generator=generator, candidates=256, elites=16, rounds=rounds, **options)


@pytest.fixture(params=sorted(SEARCHES))
def name(request):
    return request.param


def test_the_optimum_of_each_episode_is_found(name):
    found = plan(name, rounds=20)
    torch.testing.assert_close(found.action, TARGET[:, None].expand(2, 3, 2), atol=0.08, rtol=0)
    torch.testing.assert_close(found.cost, quadratic(found.action[:, None])[:, 0])


def test_more_rounds_never_cost_more(name):
    costs = [plan(name, rounds=rounds).cost for rounds in (1, 2, 4, 8)]
    assert all((later <= earlier).all() for earlier, later in pairwise(costs))


def test_a_perfect_first_guess_is_kept(name):
    start = TARGET[:, None].expand(2, 3, 2)
    torch.testing.assert_close(plan(name, rounds=1, start=start).action, start)


def test_actions_stay_within_the_bounds(name):
    up = plan(name, rounds=8, cost=lambda a: -a.sum((-1, -2)))
    assert up.action.max() <= 1
    torch.testing.assert_close(up.action, torch.ones(2, 3, 2), atol=0.1, rtol=0)
    narrow = plan(name, rounds=8, cost=lambda a: -a.sum((-1, -2)), low=-0.2, high=0.3)
    assert narrow.action.max() <= 0.3 + 1e-6
    assert narrow.action.min() >= -0.2 - 1e-6


def test_the_seed_decides(name):
    assert torch.equal(plan(name, seed=1).action, plan(name, seed=1).action)
    assert not torch.equal(plan(name, seed=1).action, plan(name, seed=2).action)


def test_impossible_numbers_are_refused(name):
    generator = torch.Generator()
    with pytest.raises(ValueError, match="300 elites of 256"):
        SEARCHES[name](quadratic, START, generator=generator, candidates=256, elites=300)
    with pytest.raises(ValueError, match="0 rounds"):
        SEARCHES[name](quadratic, START, generator=generator, rounds=0)


def test_a_search_is_found_by_name_and_another_name_is_told_which_there_are():
    assert [find_search(name) for name in SEARCHES] == list(SEARCHES.values())
    with pytest.raises(ValueError, match="search 'sem': allowed are cem, icem, mppi, gradient"):
        find_search("sem")


def test_gradient_search_works_where_gradients_are_off():
    with torch.no_grad():
        found = plan("gradient", rounds=20)
    assert not found.action.requires_grad
    torch.testing.assert_close(found.action, TARGET[:, None].expand(2, 3, 2), atol=0.08, rtol=0)


def test_the_cheapest_guess_of_each_episode_is_chosen():
    guesses = torch.stack([START, TARGET[:, None].expand(2, 3, 2)], dim=1)
    guesses[1] = guesses[1].flip(0)
    found = cheapest(quadratic, guesses)
    torch.testing.assert_close(found.action, TARGET[:, None].expand(2, 3, 2))
    assert found.cost.tolist() == [0, 0]


def test_the_rest_of_a_plan_is_a_warm_start():
    action = torch.arange(4.0)[None, :, None]
    assert shifted(action)[0, :, 0].tolist() == [1, 2, 3, 3]
    assert shifted(action, 3)[0, :, 0].tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize("horizon", [7, 8])
def test_coloured_noise_has_unit_variance_and_its_spectrum(horizon):
    noise = coloured((40_000, horizon, 1), 2.0, torch.Generator().manual_seed(0))[..., 0]
    assert noise.var().item() == pytest.approx(1, abs=0.02)
    power = torch.fft.rfft(noise).abs().square().mean(0)
    assert (power[1] / power[2]).item() == pytest.approx(4, rel=0.08)  # 1 / f^2
    white = coloured((40_000, horizon, 1), 0.0, torch.Generator().manual_seed(0))[..., 0]
    assert (white[:, 1:] * white[:, :-1]).mean().abs() < 0.02
    assert (noise[:, 1:] * noise[:, :-1]).mean() > 0.5  # an action tends to be held
