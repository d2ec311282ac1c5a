"""CEM: finds known optima, loses nothing, is a function of its seed."""

from itertools import pairwise

import pytest
import torch

from threeworlds.planning.cem import cem

TARGET = torch.tensor([[0.5, -0.25], [-0.8, 0.1]])  # one optimum an episode, so that episodes must not mix


def quadratic(actions):
    return (actions - TARGET[:, None, None]).square().sum((-1, -2))


def plan(rounds=6, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return cem(quadratic, 2, 3, 2, generator=generator, candidates=256, elites=16, rounds=rounds, **options)


def test_the_optimum_of_each_episode_is_found():
    found = plan(rounds=12)
    torch.testing.assert_close(found.action, TARGET[:, None].expand(2, 3, 2), atol=0.06, rtol=0)
    torch.testing.assert_close(found.cost, quadratic(found.action[:, None])[:, 0])


def test_more_rounds_never_cost_more():
    costs = [plan(rounds=rounds).cost for rounds in (1, 2, 4, 8)]
    assert all((later <= earlier).all() for earlier, later in pairwise(costs))


def test_a_perfect_first_guess_is_kept():
    start = TARGET[:, None].expand(2, 3, 2)
    torch.testing.assert_close(plan(rounds=1, start=start).action, start)


def test_actions_stay_in_range_and_the_seed_decides():
    found = cem(lambda a: -a.sum((-1, -2)), 1, 2, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.action, torch.ones(1, 2, 2), atol=0.05, rtol=0)
    assert found.action.max() <= 1
    assert torch.equal(plan(seed=1).action, plan(seed=1).action)
    assert not torch.equal(plan(seed=1).action, plan(seed=2).action)


def test_impossible_elites_are_refused():
    with pytest.raises(ValueError, match="300 elites of 256"):
        cem(quadratic, 2, 3, 2, generator=torch.Generator(), candidates=256, elites=300)
