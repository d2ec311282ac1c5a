"""The straight path between noise and data, and what a network may predict on it (arXiv 2209.03003, 2210.02747).

Time runs from 0 (noise) to 1 (data). x_0 noise, x_1 data, x_t the point on the path. Times broadcast against x.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST = 0.05  # 1 - t is not let below this when dividing by it (JiT, arXiv 2511.13720)


@dataclass(frozen=True)
class PathSample:
    """A point on the path and its velocity."""

    x_t: Tensor
    velocity: Tensor  # dx_t / dt
    time: Tensor  # in [0, 1]


def sample_path(x_0: Tensor, x_1: Tensor, time: Tensor) -> PathSample:
    """x_t = (1 - t) x_0 + t x_1 (rectified flow, arXiv 2209.03003, Eq. 1)."""
    return PathSample(x_t=(1 - time) * x_0 + time * x_1, velocity=x_1 - x_0, time=time)


def data_to_velocity(x_1: Tensor, x_t: Tensor, time: Tensor) -> Tensor:
    """The velocity that leads from x_t to x_1 in the time left: (x_1 - x_t) / (1 - t)."""
    return (x_1 - x_t) / (1 - time).clamp_min(SMALLEST)


def velocity_to_data(velocity: Tensor, x_t: Tensor, time: Tensor) -> Tensor:
    """Where x_t arrives at time 1: x_t + (1 - t) v."""
    return x_t + (1 - time) * velocity


def logit_normal(shape: tuple[int, ...], mean: float, std: float, generator: torch.Generator | None = None) -> Tensor:
    """Training times, sigmoid of a Gaussian (SD3, arXiv 2403.03206, Eq. 19); a negative mean favours noise."""
    return torch.sigmoid(mean + std * torch.randn(shape, generator=generator))
