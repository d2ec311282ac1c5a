"""What two networks that work against each other need to be trained by one loss and one optimizer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call


def judged(critic: nn.Module, *given: Tensor) -> Tensor:
    """``critic(*given)``, through which gradients reach what is given, and not the critic's own weights.

    So the one who is judged can be told how to please the critic in the same backward pass that teaches the critic
    otherwise, on ``given.detach()``.
    """
    fixed = {name: value.detach() for name, value in critic.named_parameters()}
    answer: Tensor = functional_call(critic, fixed, given)
    return answer


def steepness(critic: nn.Module, answer: Tensor, x: Tensor, *given: Tensor, step: float = 0.01) -> Tensor:
    """Mean squared norm of the critic's gradient at x, by a random step in place of a second derivative.

    E |D(x + s n) - D(x)|^2 / s^2 = |grad D|^2 for Gaussian n and small s: the R1 penalty without double backward
    (arXiv 2501.08316).

    Args:
        answer: ``critic(x, *given)``, one number for each item, [b].
    """
    change = critic(x + step * torch.randn_like(x), *given) - answer
    return (change / step).square().mean()
