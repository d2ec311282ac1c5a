"""Reward tasks on the state: what a state earns, what it is worth, and an actor that learns both by heart.

On frozen states a reward head learns what the task pays. Value and actor learn in imagination: from states of the data
the actor acts in the frozen world model for a few steps, and climbs what these earn and what the last is worth, by the
gradient through the model (Dreamer, arXiv 1912.01603, Eq. 6 to 8; TD-MPC2, arXiv 2310.16828, for short roll-outs with a
value at their end). Legend: b batch, t frames, n imagined roll-outs, h steps, d state, a action size.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.adversary import frozen
from threeworlds.nn.mlp import ResidualMLP
from threeworlds.routes.jepa.anticollapse import follow
from threeworlds.routes.jepa.parts import Predictor
from threeworlds.routes.jepa.recipes import RewardConfig
from threeworlds.types import ActionSpec, Batch, ClipSpec
from threeworlds.worlds import WORLDS

Payment = Callable[[np.ndarray], np.ndarray]  # true states [..., s] -> reward [...] in [0, 1]


class RewardAgent(nn.Module):
    """Three heads on a state [..., d]: its reward, its value (discounted mean reward to come), and what to do."""

    def __init__(self, config: RewardConfig, state: int, action: ActionSpec) -> None:
        super().__init__()
        if action.kind == "none":
            raise ValueError("a reward is earned by actions; these clips have none")
        self.discrete = action.kind == "discrete"
        self.reward, self.value = (ResidualMLP(state, config.hidden, 1, config.layers) for _ in range(2))
        self.actor = ResidualMLP(state, config.hidden, action.size, config.layers)
        for head in (self.reward, self.value, self.actor):  # no opinion to begin with: a wrong one saturates the actor
            nn.init.zeros_(head.read_out.weight)
            nn.init.zeros_(head.read_out.bias)

    def act(self, z: Tensor) -> Tensor:
        """The best action: int64 [...], or [..., a] in [-1, 1]."""
        scores = self.actor(z)
        return scores.argmax(-1) if self.discrete else torch.tanh(scores)

    def tried(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """An action that lets gradients through [..., a], and the entropy of the choice [...].

        A discrete one is drawn, one-hot, with the gradient of its probabilities (straight through).
        """
        scores = self.actor(z)
        if not self.discrete:
            return torch.tanh(scores), scores.new_zeros(scores.shape[:-1])
        logs = scores.log_softmax(-1)
        return F.gumbel_softmax(scores, hard=True), -(logs.exp() * logs).sum(-1)


class RewardObjective(nn.Module):
    """``loss, metrics = objective(batch)`` on frozen states [b, t, d] and the true states that tell the reward."""

    def __init__(self, config: RewardConfig, agent: RewardAgent, predictor: Predictor, payment: Payment) -> None:
        super().__init__()
        self.config, self.agent, self.payment = config, agent, payment
        self.slow = deepcopy(agent.value).requires_grad_(False)
        self._predictor = (predictor,)  # in a tuple: its weights are no part of this module

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.state is not None
        z = batch.cached["z"]
        if self.training:
            follow(self.slow, self.agent.value, self.config.ema)
        paid = torch.from_numpy(self.payment(batch.state.cpu().numpy())).to(z)
        told = F.binary_cross_entropy_with_logits(self.agent.reward(z)[..., 0], paid)
        states, returns, entropy = self._imagine(z.flatten(0, 1))
        worth = (self.agent.value(states[:-1].detach())[..., 0] - returns.detach()).square().mean()
        loss = told + worth - returns[0].mean() - self.config.entropy * entropy
        return loss, {
            "reward_error": told.detach(),
            "value_error": worth.detach(),
            "imagined": returns[0].mean().detach(),
        }

    def _imagine(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From states [n, d]: states [h + 1, n, d], lambda-returns of all but the last [h, n], and the mean entropy."""
        predictor, reward = map(frozen, (self._predictor[0], self.agent.reward))
        states, entropies = [z], []
        for _ in range(self.config.horizon):
            action, entropy = self.agent.tried(states[-1])
            states.append(predictor(states[-1], action))
            entropies.append(entropy)
        path = torch.stack(states)
        earned, worth = torch.sigmoid(reward(path[1:])[..., 0]), self.slow(path[1:])[..., 0]
        returns = lambda_returns(earned, worth, self.config.discount, self.config.mix)
        return path, returns, torch.stack(entropies).mean()


def lambda_returns(earned: Tensor, worth: Tensor, discount: float, mix: float) -> Tensor:
    """Of each step [h, n], from what it earned and what the state after it is worth, as discounted means of rewards.

    G_k = (1 - discount) r_k + discount ((1 - mix) v_k + mix G_k+1), and v for the G after the last (TD(lambda)).
    """
    later, found = worth[-1], []
    for r, v in zip(earned.flip(0), worth.flip(0), strict=True):
        later = (1 - discount) * r + discount * ((1 - mix) * v + mix * later)
        found.append(later)
    return torch.stack(found[::-1])


def payment_of(spec: ClipSpec) -> Payment:
    """The reward of the task of the clips' world.

    Raises:
        ValueError: it has none.
    """
    world = WORLDS.get(spec.world)
    if world is None or world.task is None:
        known = ", ".join(name for name, one in WORLDS.items() if one.task is not None)
        raise ValueError(f"no task with a reward in {spec.world or 'video from outside'}; worlds with one: {known}")
    return world.task.reward
