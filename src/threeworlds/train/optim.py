"""AdamW, its schedule, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from threeworlds.types import Optim

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that learn, each once, by name."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def build_optimizer(parameters: Mapping[str, nn.Parameter], config: Optim) -> AdamW:
    """AdamW (arXiv 1711.05101); weights with fewer than two axes (biases, gains) do not decay."""
    decayed = [p for p in parameters.values() if p.ndim >= 2]
    plain = [p for p in parameters.values() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    return AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def optimizer_tensors(optimizer: AdamW, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The optimizer's state by name. A parameter that never had a gradient has none."""
    return {
        f"{name}.{moment}": optimizer.state[p][moment]
        for name, p in parameters.items()
        if p in optimizer.state
        for moment in MOMENTS
    }


def restore_optimizer(optimizer: AdamW, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]) -> None:
    """Put the state back, each moment in its parameter's memory layout: the fused kernel takes them as one."""
    for name, p in parameters.items():
        if f"{name}.step" in tensors:
            average, square = torch.zeros_like(p), torch.zeros_like(p)
            average.copy_(tensors[f"{name}.exp_avg"])
            square.copy_(tensors[f"{name}.exp_avg_sq"])
            step = tensors[f"{name}.step"].clone()
            optimizer.state[p] = {"step": step, "exp_avg": average, "exp_avg_sq": square}


def learning_rate(config: Optim, progress: float) -> float:
    """Linear warm-up, then half a cosine down to ``final`` of the peak. ``progress`` in [0, 1] of the budget."""
    if progress < config.warmup:
        # Not quite zero at the start: the first step of a very short run should move too.
        return config.learning_rate * max(progress / config.warmup, 0.01)
    done = min((progress - config.warmup) / max(1 - config.warmup, 1e-9), 1.0)
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * (config.final + (1 - config.final) * cosine)


class Average:
    """Exponential moving average of the weights, kept beside them."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.live = parameters
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimizer step number ``step`` (from 1).

        The decay warms up as (1 + n) / (10 + n), so that a short run is not stuck at its first weights.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        if self.live:
            torch._foreach_lerp_(list(self.weights.values()), list(self.live.values()), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within: the module holds the averaged weights."""
        own = {name: p.detach().clone() for name, p in self.live.items()}
        copy_into(self.live, self.weights)
        try:
            yield
        finally:
            copy_into(self.live, own)


@torch.no_grad()
def copy_into(targets: Mapping[str, Tensor], sources: Mapping[str, Tensor]) -> None:
    """Copy tensors by name, in place; the targets keep their memory layout."""
    for name, target in targets.items():
        target.copy_(sources[name])
