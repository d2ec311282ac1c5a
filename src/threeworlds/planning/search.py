"""What every search shares: a cost of action sequences, a first guess, bounds, and the best plan so far.

A search is called as ``search(cost, start, generator=..., candidates=..., elites=..., rounds=..., std=...)`` and finds
a sequence of actions in [low, high] for each of b episodes. Legend: b batch, n candidates, a action size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from threeworlds.types import Plan

Cost = Callable[[Tensor], Tensor]  # action sequences [b, n, horizon, a] -> cost [b, n]
Search = Callable[..., Plan]


def cheapest(cost: Cost, guesses: Tensor) -> Plan:
    """The best of a few first guesses [b, n, horizon, a]: the rest of an earlier plan, an actor's proposal."""
    costs, order = cost(guesses).min(1)
    return Plan(action=take(guesses, order[:, None])[:, 0], cost=costs)


def shifted(plan: Tensor, done: int = 1) -> Tensor:
    """The rest of a plan [b, horizon, a] after ``done`` steps, its last action repeated: a warm start."""
    return torch.cat([plan[:, done:], plan[:, -1:].expand(-1, min(done, plan.shape[1]), -1)], dim=1)


def sample(
    mean: Tensor, spread: Tensor, candidates: int, generator: torch.Generator, low: float, high: float
) -> Tensor:
    """Gaussian sequences around ``mean`` [b, horizon, a], the mean itself the first: [b, candidates, horizon, a]."""
    batch, horizon, actions = mean.shape
    noise = torch.randn(batch, candidates - 1, horizon, actions, generator=generator)
    return torch.cat([mean[:, None], mean[:, None] + spread[:, None] * noise], dim=1).clamp(low, high)


def take(sequences: Tensor, order: Tensor) -> Tensor:
    """Sequences [b, n, horizon, a] at the places ``order`` [b, k]: [b, k, horizon, a]."""
    return sequences.gather(1, order[:, :, None, None].expand(-1, -1, *sequences.shape[2:]))


def nothing_found(start: Tensor) -> Plan:
    """No plan yet: any is better."""
    return Plan(action=start, cost=start.new_full(start.shape[:1], torch.inf))


def keep_best(best: Plan, new: Plan) -> Plan:
    """Episode by episode, the cheaper of two plans."""
    better = new.cost < best.cost
    return Plan(
        action=torch.where(better[:, None, None], new.action, best.action),
        cost=torch.where(better, new.cost, best.cost),
    )


def check_effort(candidates: int, elites: int, rounds: int) -> None:
    """Refuse numbers that no search can use."""
    if not 1 < elites <= candidates:
        raise ValueError(f"{elites} elites of {candidates} candidates; allowed: 2 to {candidates}")
    if rounds < 1:
        raise ValueError(f"{rounds} rounds; at least 1")
