"""Model predictive path integral control (Williams et al. 2017, arXiv 1509.01149), over elites as in TD-MPC2."""

from __future__ import annotations

import torch
from torch import Tensor

from threeworlds.planning.search import Cost, check_effort, keep_best, nothing_found, sample, take
from threeworlds.types import Plan


def mppi(
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
    temperature: float = 0.5,
) -> Plan:
    """As ``cem``, but the elites count by exp(-cost / temperature) rather than alike.

    The temperature is in standard deviations of the elites' costs, so it means the same for every cost.
    """
    check_effort(candidates, elites, rounds)
    mean, spread, best = start.clamp(low, high), torch.full_like(start, std), nothing_found(start)
    for _ in range(rounds):
        tried = sample(mean, spread, candidates, generator, low, high)
        costs, order = cost(tried).topk(elites, largest=False)
        elite = take(tried, order)
        best = keep_best(best, Plan(action=elite[:, 0], cost=costs[:, 0]))
        unit = costs.std(1, keepdim=True).clamp_min(1e-9)
        weight = torch.softmax(-(costs - costs[:, :1]) / (temperature * unit), dim=1)[:, :, None, None]
        mean = (weight * elite).sum(1)
        spread = (weight * (elite - mean[:, None]).square()).sum(1).sqrt() + 0.02
    return best
