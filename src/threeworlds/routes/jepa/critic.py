"""The trainable critic: how many steps it is from one state to another, learnt from episodes without rewards.

In LeCun's architecture (2022, openreview BZ5a1r-kVsf) the cost is an intrinsic cost, hard-wired, and a critic that
learns to foresee it. Here the intrinsic cost of a step is 1 until the goal is reached, so the critic foresees the
number of steps. Legend: b batch, t frames, p pairs, d state.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from threeworlds.nn.mlp import ResidualMLP
from threeworlds.routes.jepa.recipes import CriticConfig
from threeworlds.types import Batch


def intrinsic_cost(z: Tensor, goal: Tensor) -> Tensor:
    """Squared distance between states [..., d]: the cost that needs no learning. It knows nothing of walls."""
    return (z - goal).square().sum(-1)


class Critic(nn.Module):
    """(state, goal state) -> log(1 + steps between them), [..., d] and [..., d] -> [...]."""

    def __init__(self, config: CriticConfig, state: int) -> None:
        super().__init__()
        self.head = ResidualMLP(2 * state, config.hidden, 1, config.layers)

    def forward(self, z: Tensor, goal: Tensor) -> Tensor:
        log_steps: Tensor = self.head(torch.cat([z, goal - z], dim=-1))[..., 0]
        return log_steps


class CriticObjective(nn.Module):
    """Regression on pairs of states of one episode, towards the lower end: the fewest steps any policy needed.

    The asymmetric square is expectile regression, as in IQL (Kostrikov et al., arXiv 2110.06169, Eq. 5).
    """

    def __init__(self, config: CriticConfig, critic: Critic) -> None:
        super().__init__()
        self.config, self.critic = config, critic

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        z, goal, steps = draw_pairs(batch.cached["z"], self.config.pairs)
        error = torch.log1p(steps) - self.critic(z, goal)
        loss = (torch.where(error > 0, self.config.expectile, 1 - self.config.expectile) * error.square()).mean()
        return loss, {"log_steps_error": error.detach().abs().mean()}


def draw_pairs(z: Tensor, pairs: int) -> tuple[Tensor, Tensor, Tensor]:
    """States of one episode and how far apart they are: z [b, t, d] -> [b p, d], [b p, d], steps float [b p].

    Half the distances are drawn evenly, half evenly in their logarithm: near goals are as important as far ones.
    """
    b, t = z.shape[:2]
    evenly, part = torch.rand(b, pairs, device=z.device) < 0.5, torch.rand(b, pairs, device=z.device)
    steps = torch.where(evenly, part * t, torch.exp(part * math.log(t)) - 1).long().clamp(max=t - 1)
    first = (torch.rand(b, pairs, device=z.device) * (t - steps)).long().clamp(max=t - 1)
    episode = torch.arange(b, device=z.device)[:, None]
    start, goal = z[episode, first], z[episode, (first + steps).clamp(max=t - 1)]
    return start.flatten(0, 1), goal.flatten(0, 1), steps.flatten().float()
