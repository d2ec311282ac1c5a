"""Search by gradient: the cheapest of some samples, improved by descending the cost through the model."""

from __future__ import annotations

import torch
from torch import Tensor

from threeworlds.planning.search import Cost, cheapest, check_effort, keep_best, sample, take
from threeworlds.types import Plan


def gradient(
    cost: Cost,
    start: Tensor,
    *,
    generator: torch.Generator,
    candidates: int = 128,
    elites: int = 16,
    rounds: int = 4,
    std: float = 0.7,
    low: float = -1.0,
    high: float = 1.0,
    rate: float = 0.1,
) -> Plan:
    """Keep the ``elites`` cheapest of ``candidates`` around ``start``, then ``rounds`` steps of Adam on each.

    The cost must be differentiable. Bounds are kept by projection after each step.
    """
    check_effort(candidates, elites, rounds)
    spread = torch.full_like(start, std)
    with torch.no_grad():
        tried = sample(start.clamp(low, high), spread, candidates, generator, low, high)
        best = cheapest(cost, tried)
        actions = take(tried, cost(tried).topk(elites, largest=False).indices)
    with torch.enable_grad():
        actions = actions.clone().requires_grad_()
        optimizer = torch.optim.Adam([actions], lr=rate)
        for _ in range(rounds):
            optimizer.zero_grad()
            cost(actions).sum().backward()
            optimizer.step()
            with torch.no_grad():
                actions.clamp_(low, high)
                best = keep_best(best, cheapest(cost, actions.detach()))
    return best
