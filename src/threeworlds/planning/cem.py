"""The cross-entropy method (Rubinstein 1999; as in PlaNet, arXiv 1811.04551, Alg. 2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from threeworlds.types import Plan

Cost = Callable[[Tensor], Tensor]  # action sequences [b, candidates, horizon, a] -> cost [b, candidates]


def cem(
    cost: Cost,
    batch: int,
    horizon: int,
    actions: int,
    *,
    generator: torch.Generator,
    candidates: int = 128,
    elites: int = 16,
    rounds: int = 4,
    std: float = 0.7,
    start: Tensor | None = None,
) -> Plan:
    """Sample, keep the best, refit a Gaussian, repeat. Actions lie in [-1, 1].

    The mean is always among the candidates, so a round never loses what the last one found. ``start`` [b, horizon, a]
    is a first guess (the rest of an earlier plan, or an actor's proposal). The plan is the cheapest sequence ever seen.
    """
    if not 1 < elites <= candidates:
        raise ValueError(f"{elites} elites of {candidates} candidates; allowed: 2 to {candidates}")
    mean = torch.zeros(batch, horizon, actions) if start is None else start
    spread = torch.full_like(mean, std)
    best, best_cost = mean, torch.full((batch,), torch.inf)
    for _ in range(rounds):
        noise = torch.randn(batch, candidates - 1, horizon, actions, generator=generator)
        tried = torch.cat([mean[:, None], mean[:, None] + spread[:, None] * noise], dim=1).clamp(-1, 1)
        costs = cost(tried)
        order = costs.topk(elites, largest=False)
        elite = tried.gather(1, order.indices[:, :, None, None].expand(-1, -1, horizon, actions))
        better = order.values[:, 0] < best_cost
        best = torch.where(better[:, None, None], elite[:, 0], best)
        best_cost = torch.where(better, order.values[:, 0], best_cost)
        mean, spread = elite.mean(1), elite.std(1) + 0.02
    return Plan(action=best, cost=best_cost)
