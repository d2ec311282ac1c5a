"""The squared error to expect of a prediction, so that what surprises is what exceeds it.

Where bodies meet, any predictor errs more than in free flight, and an impossible turn in free flight would not stand
out. A small network on frozen states foretells the error, as the variance of heteroscedastic regression is learnt
(Nix and Weigend 1994; arXiv 1703.04977, Eq. 5).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threeworlds.routes.jepa.parts import ActionEmbedding, Predictor
from threeworlds.routes.jepa.recipes import ExpectedConfig
from threeworlds.types import ActionSpec, Batch


class ExpectedError(nn.Module):
    """State, what is predicted to follow it, and the action between -> log of the squared error to expect of that."""

    def __init__(self, config: ExpectedConfig, state: int, action: ActionSpec) -> None:
        super().__init__()
        self.power = config.power
        self.states, self.action = nn.Linear(2 * state, config.hidden), ActionEmbedding(action, config.hidden)
        self.head = nn.Sequential(
            nn.SiLU(), nn.Linear(config.hidden, config.hidden), nn.SiLU(), nn.Linear(config.hidden, 1)
        )

    def forward(self, z: Tensor, ahead: Tensor, action: Tensor | None) -> Tensor:
        """z and ahead [..., d], action [...(, a)] or None -> [...]."""
        log_error: Tensor = self.head(self.states(torch.cat([z, ahead], dim=-1)) + self.action(action, z))[..., 0]
        return log_error

    def surprise(self, error: Tensor, z: Tensor, ahead: Tensor, action: Tensor | None) -> Tensor:
        """The squared error [...], over the expected one to the power that the recipe says.

        As it is where ``action`` is not told, though the world has some: no such errors were learnt.
        """
        if action is None and self.action.kind != "none":
            return error
        return error * (-self.power * self(z, ahead, action)).exp()


class ExpectedObjective(nn.Module):
    """Negative log-likelihood of the error of each dimension, Gaussian with one variance for all; states are frozen."""

    def __init__(self, expected: ExpectedError, predictor: Predictor) -> None:
        super().__init__()
        self.expected, self._frozen = expected, (predictor,)  # in a tuple: its weights are no part of this module

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        states = batch.cached["z"]
        z, after = states[:, :-1], states[:, 1:]
        (predictor,) = self._frozen
        with torch.no_grad():
            ahead = predictor(z, batch.action)
            error = (ahead - after).square().mean(-1)
        log_error = self.expected(z, ahead, batch.action)
        loss = (error * (-log_error).exp() + log_error).mean() / 2
        return loss, {"error": error.mean(), "expected": log_error.exp().mean().detach()}
