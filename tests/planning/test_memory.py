"""A planner's memory: what was refuted, whose it is, and what it costs."""

import pytest
import torch

from threeworlds.planning.memory import AWAY, NEAR, WRONG, Memory

ONE = torch.ones(1)


def line(*places: float) -> torch.Tensor:
    """States on a line, [1, t, 2]."""
    return torch.tensor([[[place, 0.0] for place in places]])


def disappointed(*, at: float = 0.2, kept: int = 8) -> Memory:
    """Five steps to the right were expected, and hardly any came: a wall stands in the way."""
    memory = Memory(taken=5, kept=kept, doubt=2.0)
    memory.expect(line(1, 2, 3, 4, 5, 6))
    assert memory.compare(torch.tensor([[at, 0.0]]), ONE).tolist() == [True]
    return memory


def test_where_nothing_was_expected_nothing_is_refuted():
    memory = Memory(taken=5, kept=8, doubt=2.0)
    assert memory.compare(torch.zeros(3, 2), torch.ones(3)).tolist() == [False] * 3
    assert memory.cost(torch.zeros(3, 4, 6, 2), torch.ones(3)).tolist() == [[0.0] * 4] * 3


def test_what_came_as_expected_costs_nothing():
    memory = Memory(taken=5, kept=8, doubt=2.0)
    memory.expect(line(1, 2, 3, 4, 5))
    near = 5 - WRONG * 5 + 0.01
    assert memory.compare(torch.tensor([[near, 0.0]]), ONE).tolist() == [False]
    assert memory.cost(line(1, 2, 3, 4, 5)[:, None], ONE).tolist() == [[0.0]]


def test_states_beyond_are_refuted_and_those_at_hand_are_not():
    memory = disappointed(at=0.2)
    expected = [2.0, 3, 4, 5]  # 1 lies within AWAY * 5 of what is seen; 6 was not to be reached by now
    assert AWAY * 5 == 1.0
    known = memory.refuted[memory.refuted.isfinite()].reshape(-1, 2)[:, 0]
    assert known.tolist() == expected


def test_a_state_costs_by_how_near_it_passes_to_a_refuted_one():
    """By hand: doubt (1 - distance / (NEAR stride)), summed over the steps, the nearest state counting."""
    memory = disappointed()
    tried = torch.stack([line(5, 5.75)[0], line(-1, 5 + NEAR)[0], line(0.5, 0.5)[0]])[None]
    here = 2 * (1 - torch.tensor([0.0, 0.75]) / NEAR)
    by_hand = torch.stack([here.sum(), torch.tensor(0.0), torch.tensor(0.0)])
    torch.testing.assert_close(memory.cost(tried, ONE)[0], by_hand)


def test_strides_are_the_unit():
    """States and strides ten times as large: the same is refuted, at the same cost."""
    tried, small = line(4.4, 2.2)[:, None], disappointed()
    large = Memory(taken=5, kept=8, doubt=2.0)
    large.expect(10 * line(1, 2, 3, 4, 5))
    large.compare(torch.tensor([[2.0, 0.0]]), 10 * ONE)
    torch.testing.assert_close(large.cost(10 * tried, 10 * ONE), small.cost(tried, ONE))
    torch.testing.assert_close(large.refuted, 10 * small.refuted)
    large.expect(10 * line(1, 2, 3, 4, 5))
    assert large.compare(torch.tensor([[36.0, 0.0]]), 10 * ONE).tolist() == [False]  # 1.4 strides off, 0.3 a step


def test_the_latest_are_kept():
    memory = disappointed(kept=5)
    memory.expect(line(-1, -2, -3, -4, -5))
    memory.compare(torch.zeros(1, 2), ONE)
    assert memory.refuted.shape == (1, 5, 2)
    assert memory.cost(line(5)[:, None], ONE) == 0
    assert memory.cost(line(-5)[:, None], ONE) == 2.0


def test_a_plan_that_comes_true_pushes_out_nothing():
    memory = disappointed(kept=5)
    before = memory.cost(line(4, 5)[:, None], ONE)
    for _ in range(3):
        memory.expect(line(1, 2, 3, 4, 5))
        assert memory.compare(torch.tensor([[5.0, 0.0]]), ONE).tolist() == [False]
    assert torch.equal(memory.cost(line(4, 5)[:, None], ONE), before)
    assert before > 0


def test_episodes_remember_their_own():
    """Two at once are two alone; one of them comes to where it was to come."""
    both = Memory(taken=5, kept=8, doubt=2.0)
    both.expect(line(1, 2, 3, 4, 5).expand(2, -1, -1))
    assert both.compare(torch.tensor([[0.2, 0.0], [5.0, 0.0]]), torch.ones(2)).tolist() == [True, False]
    tried = line(3, 4)[:, None].expand(2, 3, -1, -1)
    cost = both.cost(tried, torch.ones(2))
    torch.testing.assert_close(cost[:1], disappointed().cost(tried[:1], ONE))
    assert cost[1].tolist() == [0.0] * 3
    with pytest.raises(ValueError, match="3 episodes, and memory of 2"):
        both.compare(torch.zeros(3, 2), torch.ones(3))


def test_a_plan_shorter_than_what_is_taken_is_named():
    with pytest.raises(ValueError, match="a plan of 3 steps, of which 5 are to be taken"):
        Memory(taken=5, kept=8, doubt=2.0).expect(line(1, 2, 3))


@pytest.mark.parametrize("numbers", [{"taken": 0, "kept": 8}, {"taken": 5, "kept": 0}])
def test_numbers_that_cannot_be_are_named(numbers):
    with pytest.raises(ValueError, match=f"taken={numbers['taken']}, kept={numbers['kept']}: both are at least 1"):
        Memory(**numbers, doubt=1.0)
