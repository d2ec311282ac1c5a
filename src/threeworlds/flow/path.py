"""Paths between noise and data, and what a network may predict on them.

Time runs from 0 (noise) to 1 (data). x_0 noise, x_1 data, x_t the point on the path: so much of x_1 and so much of x_0.
Times broadcast against x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

SMALLEST = 0.05  # the amount of noise is not let below this when dividing by it in a loss (JiT, arXiv 2511.13720)
TINY = 1e-6  # the same in sampling, where only frames that stay as they are have no noise left


@dataclass(frozen=True, kw_only=True)
class Path:
    """x_t = data(t) x_1 + noise(t) x_0."""

    amounts: Callable[[Tensor], tuple[Tensor, Tensor]]  # time -> (data, noise)
    rates: Callable[[Tensor], tuple[Tensor, Tensor]]  # their derivatives

    def point(self, x_0: Tensor, x_1: Tensor, time: Tensor) -> Tensor:
        """x_t."""
        data, noise = self.amounts(time)
        return data * x_1 + noise * x_0

    def velocity(self, x_1: Tensor, x_t: Tensor, time: Tensor) -> Tensor:
        """dx_t / dt on the path through x_t that ends in x_1."""
        data, noise = self.amounts(time)
        more, less = self.rates(time)
        return more * x_1 + less * (x_t - data * x_1) / noise.clamp_min(TINY)

    def weighted(self, error: Tensor, time: Tensor) -> Tensor:
        """An error of the estimated x_1, as one of what the noise hides: the velocity, or v. Its square is the loss."""
        return error / self.amounts(time)[1].clamp_min(SMALLEST)


# Rectified flow, arXiv 2209.03003, Eq. 1; flow matching, arXiv 2210.02747.
STRAIGHT = Path(
    amounts=lambda time: (time, 1 - time), rates=lambda time: (torch.ones_like(time), -torch.ones_like(time))
)
# Variance-preserving diffusion, cosine schedule; no data at all at time 0 (zero terminal SNR, arXiv 2305.08891).
COSINE = Path(
    amounts=lambda time: (torch.sin(pi / 2 * time), torch.cos(pi / 2 * time)),
    rates=lambda time: (pi / 2 * torch.cos(pi / 2 * time), -pi / 2 * torch.sin(pi / 2 * time)),
)
PATHS = {"flow": STRAIGHT, "ddpm": COSINE}  # by what a generator is trained on


def v_to_data(v: Tensor, x_t: Tensor, time: Tensor) -> Tensor:
    """x_1 from v = data x_0 - noise x_1 on the cosine path (progressive distillation, arXiv 2202.00512, appendix D)."""
    data, noise = COSINE.amounts(time)
    return data * x_t - noise * v


def logit_normal(shape: tuple[int, ...], mean: float, std: float, generator: torch.Generator | None = None) -> Tensor:
    """Training times, sigmoid of a Gaussian (SD3, arXiv 2403.03206, Eq. 19); a negative mean favours noise."""
    return torch.sigmoid(mean + std * torch.randn(shape, generator=generator))
