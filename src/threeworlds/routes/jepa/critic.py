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

    The asymmetric square is expectile regression, as in IQL (Kostrikov et al., arXiv 2110.06169, Eq. 5). Where the
    recipe joins states, a pair's steps are those of the shortest way between them, either way, not those between them.
    """

    def __init__(self, config: CriticConfig, critic: Critic) -> None:
        super().__init__()
        self.config, self.critic = config, critic

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        z, goal, steps = self._draw(batch.cached["z"])
        error = torch.log1p(steps) - self.critic(z, goal)
        loss = (torch.where(error > 0, self.config.expectile, 1 - self.config.expectile) * error.square()).mean()
        return loss, {"log_steps_error": error.detach().abs().mean()}

    def _draw(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As :func:`draw_pairs`; of joined states half of the pairs the other way round, where there is a way back."""
        if not self.config.joined:
            return draw_pairs(z, self.config.pairs)
        first, last = draw_moments(z, self.config.pairs)
        back = torch.rand(first.shape, device=z.device) >= 0.5
        ways, episode = shortest_ways(z, self.config.joined), torch.arange(len(z), device=z.device)[:, None]
        back &= ways[episode, last, first].isfinite()
        first, last = torch.where(back, last, first), torch.where(back, first, last)
        return *states_at(z, first, last), ways[episode, first, last].flatten()


def draw_pairs(z: Tensor, pairs: int) -> tuple[Tensor, Tensor, Tensor]:
    """States of one episode and how far apart they are: z [b, t, d] -> [b p, d], [b p, d], steps float [b p]."""
    first, last = draw_moments(z, pairs)
    return *states_at(z, first, last), (last - first).flatten().float()


def states_at(z: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """States [b, t, d] at two frames [b, p] of each episode: [b p, d], [b p, d]."""
    episode = torch.arange(len(z), device=z.device)[:, None]
    return z[episode, first].flatten(0, 1), z[episode, last].flatten(0, 1)


def draw_moments(z: Tensor, pairs: int) -> tuple[Tensor, Tensor]:
    """Two frames of each episode, the second not before the first: z [b, t, d] -> [b, p], [b, p].

    Half the distances are drawn evenly, half evenly in their logarithm: near goals are as important as far ones.
    """
    b, t = z.shape[:2]
    evenly, part = torch.rand(b, pairs, device=z.device) < 0.5, torch.rand(b, pairs, device=z.device)
    steps = torch.where(evenly, part * t, torch.exp(part * math.log(t)) - 1).long().clamp(max=t - 1)
    first = (torch.rand(b, pairs, device=z.device) * (t - steps)).long().clamp(max=t - 1)
    return first, (first + steps).clamp(max=t - 1)


@torch.no_grad()
def shortest_ways(z: Tensor, joined: float) -> Tensor:
    """Steps of the shortest way from each state of an episode to each, through its own: z [b, t, d] -> [b, t, t].

    A policy that dawdles takes many steps to a place that is near, and how many tells more of its whims than of walls.
    So ways may take a short cut: from each state to the next in one step, and between any two that lie no farther apart
    than ``joined`` long steps, either way, in as many. A long step is longer than nine of ten of the batch. Search on
    states that were seen: SoRB (Eysenbach et al., arXiv 1906.05253); all pairs by Floyd and Warshall. A later state is
    always reached; an earlier one without a way back is infinitely far. Raises ValueError where ``joined`` <= 0.
    """
    if joined <= 0:
        raise ValueError(f"critic.joined={joined}: above 0 to join states, or 0 for steps as they were made")
    frames = torch.arange(z.shape[1], device=z.device)
    long_step = (z[:, 1:] - z[:, :-1]).norm(dim=-1).quantile(0.9).clamp_min(1e-9)  # 0 where most states stand still
    apart = torch.cdist(z, z) / long_step
    ways = torch.where(apart <= joined, apart, torch.inf)
    ways = torch.where(frames == frames[:, None] + 1, ways.clamp_max(1.0), ways)
    ways = torch.where((frames == frames[:, None]) & ways.isinf(), 0.0, ways)  # rounding may keep a state from itself
    for through in frames:
        ways = torch.minimum(ways, ways[:, :, through, None] + ways[:, through, None])
    return ways
