"""The parts of the jepa route: encoder, predictor, inverse dynamics, and the decoder that is trained afterwards.

Legend: b batch, t frames, d state, a action size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.conv import FACTOR, check_size
from threeworlds.nn.conv import Decoder as ConvDecoder
from threeworlds.nn.conv import Encoder as ConvEncoder
from threeworlds.routes.jepa.recipes import DecoderConfig, WorldModelConfig
from threeworlds.types import ActionSpec


class Encoder(nn.Module):
    """The last ``stack`` frames -> a state. Batch norm, not layer norm: SIGReg must be free to shape the state."""

    def __init__(self, config: WorldModelConfig, height: int, width: int) -> None:
        super().__init__()
        rows, columns = check_size(height, width)
        self.stack = config.stack
        self.conv = ConvEncoder(config.channels, config.channels[-1], inputs=3 * config.stack, residuals=0)
        self.head = nn.Sequential(
            nn.Linear(config.channels[-1] * rows * columns, config.hidden),
            nn.BatchNorm1d(config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, config.state),
        )

    def forward(self, video: Tensor) -> Tensor:
        """video [b, t, 3, h, w] -> z [b, t, d]. Before the first frame there is the first frame."""
        frames = self._stacked(video).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.head(F.silu(self.conv(frames)).flatten(1)).unflatten(0, video.shape[:2])

    def _stacked(self, video: Tensor) -> Tensor:
        """[b, t, 3, h, w] -> [b, t, 3 stack, h, w], oldest first."""
        first = video[:, :1].expand(-1, self.stack - 1, -1, -1, -1)
        padded = torch.cat([first, video], dim=1)
        return torch.cat([padded[:, i : i + video.shape[1]] for i in range(self.stack)], dim=2)


class ActionEmbedding(nn.Module):
    """Discrete, continuous or no action -> a vector; None -> the learnt null action."""

    def __init__(self, action: ActionSpec, width: int) -> None:
        super().__init__()
        self.kind, self.size = action.kind, action.size
        self.null = nn.Parameter(0.02 * torch.randn(width))
        if action.kind == "discrete":
            self.embed: nn.Module = nn.Embedding(action.size, width)
        elif action.kind == "continuous":
            self.embed = nn.Linear(action.size, width)

    def forward(self, action: Tensor | None, like: Tensor) -> Tensor:
        """action [...] or [..., a]; ``like`` [..., d] gives the shape of the null action."""
        if action is None or self.kind == "none":
            # A copy, since torch's FLOP counter fails on a module that returns a view of its parameter under no_grad.
            return self.null.expand(*like.shape[:-1], -1).clone()
        embedded: Tensor = self.embed(action)
        return embedded


class Predictor(nn.Module):
    """(z, action) -> the next z, as a step from z: z' = z + f(z, a)."""

    def __init__(self, config: WorldModelConfig, action: ActionSpec) -> None:
        super().__init__()
        self.action = ActionEmbedding(action, config.hidden)
        self.read_in = nn.Linear(config.state, config.hidden)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(config.hidden),
                nn.Linear(config.hidden, config.hidden),
                nn.SiLU(),
                nn.Linear(config.hidden, config.hidden),
            )
            for _ in range(config.layers)
        )
        self.read_out = nn.Linear(config.hidden, config.state)
        nn.init.zeros_(self.read_out.weight)
        nn.init.zeros_(self.read_out.bias)

    def forward(self, z: Tensor, action: Tensor | None, drop: Tensor | None = None) -> Tensor:
        """z [..., d], action [...(, a)] or None; ``drop`` bool [...] hides the action where True."""
        embedded = self.action(action, z)
        if drop is not None:
            embedded = torch.where(drop[..., None], self.action.null, embedded)
        x = self.read_in(z) + embedded
        for layer in self.layers:
            x = x + layer(x)
        return z + self.read_out(x)

    def roll_out(self, z: Tensor, actions: Tensor | None, steps: int, drop: Tensor | None = None) -> Tensor:
        """Open loop: z [..., d], actions [..., steps(, a)] or None -> the next states [..., steps, d]."""
        axis, states = z.dim() - 1, []
        for step in range(steps):
            z = self(z, actions.select(axis, step) if actions is not None else None, drop)
            states.append(z)
        return torch.stack(states, dim=-2)


class InverseDynamics(nn.Module):
    """z' - z -> the action between them; the displacement alone, so that the state must carry it (Delta-JEPA)."""

    def __init__(self, config: WorldModelConfig, action: ActionSpec) -> None:
        super().__init__()
        self.kind = action.kind
        self.head = nn.Sequential(
            nn.Linear(config.state, config.hidden), nn.SiLU(), nn.Linear(config.hidden, action.size)
        )

    def loss(self, z: Tensor, action: Tensor) -> Tensor:
        """z [b, t, d], action [b, t - 1(, a)]."""
        guess = self.head(z[:, 1:] - z[:, :-1])
        if self.kind == "discrete":
            return F.cross_entropy(guess.flatten(0, 1), action.flatten())
        return F.mse_loss(guess, action)


class StateDecoder(nn.Module):
    """z [b, t, d] -> video [b, t, 3, h, w]: a window on the state, never part of the world model's loss."""

    def __init__(self, config: DecoderConfig, state: int, height: int, width: int) -> None:
        super().__init__()
        self.grid, self.channels = (height // FACTOR, width // FACTOR), config.channels[-1]
        self.read_in = nn.Linear(state, self.channels * self.grid[0] * self.grid[1])
        self.conv = ConvDecoder(config.channels, self.channels)

    def forward(self, z: Tensor) -> Tensor:
        x = self.read_in(z).flatten(0, 1).unflatten(1, (self.channels, *self.grid))
        return self.conv(x.contiguous(memory_format=torch.channels_last)).contiguous().unflatten(0, z.shape[:2])
