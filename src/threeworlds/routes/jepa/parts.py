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
    """Frames up to t -> the state of frame t.

    Either the last ``stack`` frames are looked at together; or (``halves``) each alone, and the state is a place-like
    half e and a velocity-like half, gain (e - e of the frame before): what moves on evenly is then a straight line.
    """

    def __init__(self, config: WorldModelConfig, height: int, width: int) -> None:
        super().__init__()
        if config.halves and (config.stack != 2 or config.state % 2):
            raise ValueError(f"halves of a state of {config.state} from {config.stack} frames; needs an even state, 2")
        self.stack, self.halves, self.gain = config.stack, config.halves, config.gain
        look = KeypointLook if config.look == "keypoints" else GridLook
        frames, size = (1, config.state // 2) if config.halves else (config.stack, config.state)
        self.look = look(config, 3 * frames, size, height, width)

    def forward(self, video: Tensor) -> Tensor:
        """video [b, t, 3, h, w] -> z [b, t, d]. Before the first frame there is the first frame."""
        if not self.halves:
            return self._each(self._stacked(video))
        place = self._each(video)
        before = torch.cat([place[:, :1], place[:, :-1]], dim=1)
        return torch.cat([place, self.gain * (place - before)], dim=-1)

    def _each(self, video: Tensor) -> Tensor:
        frames = video.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        seen: Tensor = self.look(frames)
        return seen.unflatten(0, video.shape[:2])

    def _stacked(self, video: Tensor) -> Tensor:
        """[b, t, 3, h, w] -> [b, t, 3 stack, h, w], oldest first."""
        first = video[:, :1].expand(-1, self.stack - 1, -1, -1, -1)
        padded = torch.cat([first, video], dim=1)
        return torch.cat([padded[:, i : i + video.shape[1]] for i in range(self.stack)], dim=2)


class GridLook(nn.Module):
    """Frames [n, inputs, h, w] -> [n, out], through a grid of features laid flat.

    Batch norm, not layer norm: SIGReg must be free to shape the state.
    """

    def __init__(self, config: WorldModelConfig, inputs: int, out: int, height: int, width: int) -> None:
        super().__init__()
        rows, columns = check_size(height, width)
        self.conv = ConvEncoder(config.channels, config.channels[-1], inputs=inputs, residuals=0)
        self.head = nn.Sequential(
            nn.Linear(config.channels[-1] * rows * columns, config.hidden),
            nn.BatchNorm1d(config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, out),
        )

    def forward(self, frames: Tensor) -> Tensor:
        seen: Tensor = self.head(F.silu(self.conv(frames)).flatten(1))
        return seen


class KeypointLook(nn.Module):
    """Frames [n, inputs, h, w] -> [n, out]: where each of a few attention maps looks, and what it sees there.

    The centre of an attention map is a place to sub-pixel accuracy (deep spatial autoencoders, arXiv 1509.06113). The
    head is linear, so that the state cannot be filled with wild functions of the place of one body.
    """

    WHAT = 4  # features each map reads where it looks

    def __init__(self, config: WorldModelConfig, inputs: int, out: int, height: int, width: int) -> None:
        super().__init__()
        check_size(height, width)
        if config.cell not in (2, 4):
            raise ValueError(f"cell {config.cell}: attention maps have cells of 2 or 4 pixels")
        first, second, _ = config.channels
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, first, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(first, second, 4, 2, 1) if config.cell == 4 else nn.Conv2d(first, second, 3, 1, 1),
            nn.SiLU(),
            nn.Conv2d(second, second, 3, 1, 1),
            nn.SiLU(),
        )
        self.maps = nn.Conv2d(second, config.keypoints, 1)
        self.features = nn.Parameter(torch.randn(config.keypoints, second, self.WHAT) / second**0.5)
        self.sharpness = nn.Parameter(torch.ones(()))  # log
        seen = config.keypoints * (2 + self.WHAT)
        self.head = nn.Sequential(nn.BatchNorm1d(seen), nn.Linear(seen, out))

    def forward(self, frames: Tensor) -> Tensor:
        grid = self.conv(frames)
        attention = (self.sharpness.exp() * self.maps(grid)).flatten(2).softmax(-1)  # [n, keypoints, cells]
        where = attention @ cell_centres(*grid.shape[-2:]).to(attention)
        # Each map's features are linear, so they are read from its mean over cells: far cheaper than cell by cell.
        what = torch.einsum("nkc,kcf->nkf", attention @ grid.flatten(2).mT, self.features)
        seen: Tensor = self.head(torch.cat([where, what], dim=-1).flatten(1))
        return seen


def cell_centres(rows: int, columns: int) -> Tensor:
    """[cells, 2] in [-1, 1]: (x, y), y down."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=-1)


class ActionEmbedding(nn.Module):
    """Discrete (or its one-hot vector), continuous or no action -> a vector; None -> the learnt null action."""

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
        if isinstance(self.embed, nn.Embedding) and action.is_floating_point():
            return action @ self.embed.weight
        embedded: Tensor = self.embed(action)
        return embedded


class Predictor(nn.Module):
    """(z, action) -> the next z, as a step from z: z' = z + f(z, a).

    With second-order dynamics f moves the velocity half alone, and the velocity the place: v' = v + f(x, v, a),
    x' = x + v' / gain. What no force acts on then moves on evenly, however fast: nothing has to be learnt for it.
    """

    def __init__(self, config: WorldModelConfig, action: ActionSpec) -> None:
        super().__init__()
        if config.dynamics == "second-order" and not config.halves:
            raise ValueError("second-order dynamics need a state of halves; this one has halves=False")
        self.second_order, self.gain = config.dynamics == "second-order", config.gain
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
        self.read_out = nn.Linear(config.hidden, config.state // 2 if self.second_order else config.state)
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
        if not self.second_order:
            return z + self.read_out(x)
        place, velocity = z.chunk(2, dim=-1)
        velocity = velocity + self.read_out(x)
        return torch.cat([place + velocity / self.gain, velocity], dim=-1)

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

    def forward(self, z: Tensor, seed: int = 0) -> Tensor:
        """Deterministic: ``seed`` is not used."""
        x = self.read_in(z).flatten(0, 1).unflatten(1, (self.channels, *self.grid))
        return self.conv(x.contiguous(memory_format=torch.channels_last)).contiguous().unflatten(0, z.shape[:2])

    def error(self, z: Tensor, video: Tensor) -> Tensor:
        """[b, t, 3, h, w]: its square is the loss."""
        gap: Tensor = self(z) - video
        return gap
