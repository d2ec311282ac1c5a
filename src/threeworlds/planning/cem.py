"""The cross-entropy method (Rubinstein 1999; as in PlaNet, arXiv 1811.04551, Alg. 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from threeworlds.planning.search import Cost, check_effort, keep_best, nothing_found, sample, take
from threeworlds.types import Plan


def cem(
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
) -> Plan:
    """Sample around a mean, keep the best, refit a Gaussian, repeat.

    ``start`` [b, horizon, a] is the first guess. The mean is always among the candidates, so a round never loses what
    the last one found. The plan is the cheapest sequence ever seen.
    """
    check_effort(candidates, elites, rounds)
    mean, spread, best = start.clamp(low, high), torch.full_like(start, std), nothing_found(start)
    for _ in range(rounds):
        tried = sample(mean, spread, candidates, generator, low, high)
        costs, order = cost(tried).topk(elites, largest=False)
        elite = take(tried, order)
        best = keep_best(best, Plan(action=elite[:, 0], cost=costs[:, 0]))
        mean, spread = elite.mean(1), elite.std(1) + 0.02
    return best
