"""The improved cross-entropy method (Pinneri et al. 2020, arXiv 2008.06389): coloured noise, and elites that stay."""

from __future__ import annotations

import torch
from torch import Tensor

from threeworlds.planning.search import Cost, check_effort, keep_best, nothing_found, take
from threeworlds.types import Plan


def icem(
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
    colour: float = 2.0,
    kept: float = 0.3,
    decay: float = 1.25,
) -> Plan:
    """As ``cem``, but with noise of spectrum 1 / f^colour along the horizon, so that an action tends to be held;
    ``kept`` of the elites compete again, and each round tries ``decay`` times fewer sequences than the last.
    """
    check_effort(candidates, elites, rounds)
    mean, spread, best = start.clamp(low, high), torch.full_like(start, std), nothing_found(start)
    elite = start[:, None][:, :0]
    for done in range(rounds):
        count = max(int(candidates / decay**done), elites)
        noise = coloured((len(start), count - 1, *start.shape[1:]), colour, generator)
        fresh = (mean[:, None] + spread[:, None] * noise).clamp(low, high)
        tried = torch.cat([mean[:, None], fresh, elite[:, : int(kept * elites)]], dim=1)
        costs, order = cost(tried).topk(elites, largest=False)
        elite = take(tried, order)
        best = keep_best(best, Plan(action=elite[:, 0], cost=costs[:, 0]))
        mean, spread = elite.mean(1), elite.std(1) + 0.02
    return best


def coloured(shape: tuple[int, ...], colour: float, generator: torch.Generator) -> Tensor:
    """Gaussian noise [..., horizon, a] of unit variance whose power falls as 1 / f^colour along the horizon."""
    horizon = shape[-2]
    frequency = torch.fft.rfftfreq(horizon)
    frequency[0] = 1 / horizon
    scale = frequency ** (-colour / 2)
    # White noise, filtered. Every coefficient of it has the same variance, so that of the result is known exactly.
    mirrored = torch.where((torch.arange(len(scale)) > 0) & (2 * torch.arange(len(scale)) < horizon), 2.0, 1.0)
    scale = scale / ((mirrored * scale.square()).sum() / horizon).sqrt()
    white = torch.fft.rfft(torch.randn(shape, generator=generator), dim=-2)
    return torch.fft.irfft(white * scale[:, None], n=horizon, dim=-2)
