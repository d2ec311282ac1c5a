"""What networks that learn from each other's answers need to be trained by one loss and one optimizer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call


def frozen(module: nn.Module) -> Callable[..., Tensor]:
    """The module as it is now, as a function: gradients reach what it is given, and not its own weights.

    So who is judged by a critic can be told how to please it in the same backward pass that teaches the critic
    otherwise, on ``given.detach()``; and an actor can descend a cost through a world model that does not learn.
    """
    weights = {name: weight.detach() for name, weight in module.named_parameters()}
    return lambda *given: functional_call(module, weights, given)


def steepness(critic: nn.Module, answer: Tensor, x: Tensor, *given: Tensor, step: float = 0.01) -> Tensor:
    """Mean squared norm of the critic's gradient at x, by a random step in place of a second derivative.

    E |D(x + s n) - D(x)|^2 / s^2 = |grad D|^2 for Gaussian n and small s: the R1 penalty without double backward
    (arXiv 2501.08316).

    Args:
        answer: ``critic(x, *given)``, one number for each item, [b].
    """
    change = critic(x + step * torch.randn_like(x), *given) - answer
    return (change / step).square().mean()
