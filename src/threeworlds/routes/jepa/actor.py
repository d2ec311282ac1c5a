"""The actor: state and goal state -> action, at once and without search (mode 1 of LeCun's architecture).

It learns in imagination: it acts in the frozen world model from states of the data towards later states of the same
episode, and descends the frozen critic's cost of where it gets. So it amortises the search that the planner does
(mode 2), by the gradient of the same cost. Legend: b batch, d state, a action size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threeworlds.nn.adversary import frozen
from threeworlds.nn.mlp import ResidualMLP
from threeworlds.routes.jepa.critic import Critic, draw_pairs
from threeworlds.routes.jepa.parts import Predictor
from threeworlds.routes.jepa.recipes import ActorConfig
from threeworlds.types import Batch


class Actor(nn.Module):
    """(state, goal state) -> a continuous action in [-1, 1], [..., d] and [..., d] -> [..., a]."""

    def __init__(self, config: ActorConfig, state: int, actions: int) -> None:
        super().__init__()
        self.head = ResidualMLP(2 * state, config.hidden, actions, config.layers)

    def forward(self, z: Tensor, goal: Tensor) -> Tensor:
        return torch.tanh(self.head(torch.cat([z, goal - z], dim=-1)))


class ActorObjective(nn.Module):
    """Mean cost along an imagined roll-out of the actor. Gradients pass through the world model; it does not learn."""

    def __init__(self, config: ActorConfig, actor: Actor, predictor: Predictor, critic: Critic) -> None:
        super().__init__()
        self.config, self.actor = config, actor
        self._frozen = (predictor, critic)  # in a tuple: their weights are no part of this module

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        predictor, critic = map(frozen, self._frozen)
        z, goal, _ = draw_pairs(batch.cached["z"], self.config.pairs)
        begin, costs = critic(z, goal), []
        for _ in range(self.config.horizon):
            z = predictor(z, self.actor(z, goal))
            costs.append(critic(z, goal))
        return torch.stack(costs).mean(), {"gained": (begin - costs[-1]).mean().detach()}


def imagined_actions(actor: Actor, predictor: Predictor, z: Tensor, goal: Tensor, steps: int) -> Tensor:
    """What the actor would do for ``steps`` steps from states [b, d] in the world model: [b, steps, a]."""
    actions = []
    for _ in range(steps):
        actions.append(actor(z, goal))
        z = predictor(z, actions[-1])
    return torch.stack(actions, dim=1)
