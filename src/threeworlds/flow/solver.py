"""Solvers of dx/dt = v(x, t) from noise (t = 0) to data (t = 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]


def time_grid(steps: int, shift: float = 1.0) -> list[float]:
    """steps + 1 times from 0 to 1; shift > 1 spends more of them near the noise (SD3, arXiv 2403.03206, Eq. 23)."""
    if steps < 1:
        raise ValueError(f"{steps} steps; at least 1")
    uniform = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return (uniform / (shift - (shift - 1) * uniform)).tolist()


def euler(velocity: Velocity, x: Tensor, times: list[float]) -> Tensor:
    """First order: x += dt v(x, t)."""
    for t, after in pairwise(times):
        x = x + (after - t) * velocity(x, t)
    return x


def heun(velocity: Velocity, x: Tensor, times: list[float]) -> Tensor:
    """Second order, two evaluations a step; the last step is Euler's, since v is not defined at t = 1."""
    for t, after in pairwise(times):
        slope = velocity(x, t)
        guess = x + (after - t) * slope
        if after < 1:
            slope = (slope + velocity(guess, after)) / 2
        x = x + (after - t) * slope
    return x


def multistep(velocity: Velocity, x: Tensor, times: list[float]) -> Tensor:
    """Second order, one evaluation a step: Adams-Bashforth with steps of any length; the first step is Euler's."""
    slope_before, before = None, 0.0
    for t, after in pairwise(times):
        slope = velocity(x, t)
        straight = slope
        if slope_before is not None:
            ratio = (after - t) / (t - before)
            straight = slope + ratio / 2 * (slope - slope_before)
        x = x + (after - t) * straight
        slope_before, before = slope, t
    return x


SOLVERS: Mapping[str, Callable[[Velocity, Tensor, list[float]], Tensor]] = {
    "euler": euler,
    "heun": heun,
    "multistep": multistep,
}


def solver_named(name: str) -> Callable[[Velocity, Tensor, list[float]], Tensor]:
    """The solver of that name."""
    if name not in SOLVERS:
        raise ValueError(f"no solver {name!r}; solvers: {', '.join(SOLVERS)}")
    return SOLVERS[name]
