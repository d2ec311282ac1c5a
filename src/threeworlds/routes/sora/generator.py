"""The generator: a spacetime transformer that predicts clean latents, with its own noise level for every frame.

One network for every task, with the noise of each frame as the mask of the task (Diffusion Forcing, arXiv 2407.01392):
frames that are given stand at time 1, wherever they are, and frames to be made start below. Predicting data, with the
loss in velocity space, follows JiT (arXiv 2511.13720). A frame sees the nearest given one and that one's neighbour
beside its own noise, and is predicted as a change to the nearest: attention could find them, but at small budgets it
takes most of the training to do so. For the same reason tokens are told where in the frame they lie, which rotary
positions leave to be inferred, and the caption as a whole modulates every block beside its words' cross-attention.

Legend: b batch, t frames, n tokens a frame, c latent channels, y x latent grid, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.flow.path import v_to_data
from threeworlds.nn.attention import KeyValue, grid_positions, modulate, rope_table
from threeworlds.nn.minilm import MiniLMText
from threeworlds.nn.spacetime import JointBlock
from threeworlds.nn.text import TextEncoder
from threeworlds.routes.sora.recipes import GeneratorConfig

PLACES = 4  # waves a frame, each way, that tell a token where it lies


class Generator(nn.Module):
    """(noisy latents, time per frame, words) -> clean latents."""

    def __init__(self, config: GeneratorConfig, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        if grid[0] % config.patch or grid[1] % config.patch:
            raise ValueError(f"latent grid {grid} does not divide into patches of {config.patch}")
        self.config, self.patch, self.grid = config, config.patch, grid
        features = channels * config.patch**2
        self.text = MiniLMText(config.text_width) if config.text == "minilm" else TextEncoder(config.text_width)
        self.read_in = nn.Linear(3 * features, config.width)
        self.place = nn.Linear(4 * PLACES, config.width)
        self.gist = nn.Linear(config.text_width, config.width)
        self.time = nn.Sequential(nn.Linear(128, config.width), nn.SiLU(), nn.Linear(config.width, config.width))
        self.blocks = nn.ModuleList(
            JointBlock(config.width, config.heads, config.text_width) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width, elementwise_affine=False)
        self.modulation = nn.Linear(config.width, 2 * config.width)
        self.read_out = nn.Linear(config.width, features)
        for layer in (self.modulation, self.read_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x_btcyx: Tensor, time_bt: Tensor, words: tuple[Tensor, Tensor]) -> Tensor:
        """Latents [b, t, c, y, x] at ``time_bt`` in [0, 1] -> the estimate of the clean latents, same shape."""
        mask = causal_mask(time_bt) if self.config.causal else None
        return self.run(x_btcyx, time_bt, given_frames(x_btcyx, time_bt), words, mask=mask)[0]

    def run(
        self,
        x_btcyx: Tensor,
        time_bt: Tensor,
        given: tuple[Tensor, Tensor, Tensor],
        words: tuple[Tensor, Tensor],
        *,
        start: int = 0,
        mask: Tensor | None = None,
        past: Sequence[KeyValue] | None = None,
    ) -> tuple[Tensor, list[KeyValue]]:
        """The network itself. Returns the estimate, and keys and values for each block to keep as ``past``.

        Args:
            given: as :func:`given_frames` finds them.
            start: number of the first of these frames; rotary positions count from it.
            mask: bool [b, t, past + t], True = the frame may look at that one.
            past: kept from the frames before these.
        """
        nearest, beyond, distance = given
        features = torch.cat([time_features(time_bt), time_features(distance / 64)], dim=-1)
        condition = F.silu(self.time(features) + self.gist(words[0][:, :1]))
        z = self.read_in(torch.cat([self._tokens(x) for x in (x_btcyx, nearest, beyond)], dim=-1))
        z = z + self.place(place_features(*self._cells(x_btcyx)).to(z.device))
        place = grid_positions(z.shape[1], *self._cells(x_btcyx)) + torch.tensor([float(start), 0.0, 0.0])
        rope = rope_table(place.to(z.device), self._head_width)
        if mask is not None:
            mask = mask.repeat_interleave(z.shape[2], 1).repeat_interleave(z.shape[2], 2)[:, None]
        kept = []
        for number, block in enumerate(self.blocks):
            z, key_value = block(z, condition, rope, words, mask=mask, past=past[number] if past else None)
            kept.append(key_value)
        shift, scale = self.modulation(condition).unsqueeze(2).chunk(2, dim=-1)
        out = self._latents(self.read_out(modulate(self.norm(z), shift, scale)), x_btcyx)
        if self.config.objective == "ddpm":
            return v_to_data(out, x_btcyx, time_bt[..., None, None, None]), kept
        return nearest + out, kept

    def words(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions -> what ``forward`` takes as words. An empty caption is the null condition."""
        return self.text(captions)

    @property
    def _head_width(self) -> int:
        return self.config.width // self.config.heads

    def _cells(self, x: Tensor) -> tuple[int, int]:
        return x.shape[-2] // self.patch, x.shape[-1] // self.patch

    def _tokens(self, x: Tensor) -> Tensor:
        """[b, t, c, y, x] -> [b, t, n, c p p]."""
        return F.pixel_unshuffle(x, self.patch).flatten(3).transpose(2, 3)

    def _latents(self, z: Tensor, like: Tensor) -> Tensor:
        """[b, t, n, c p p] -> [b, t, c, y, x]."""
        return F.pixel_shuffle(z.transpose(2, 3).unflatten(3, self._cells(like)), self.patch)


def given_frames(x_btcyx: Tensor, time_bt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each frame: the nearest given frame, its given neighbour on the far side, and how far back the nearest is.

    Given means time 1. Of two equally near the earlier is taken; a distance [b, t] is negative where the nearest is
    later. Where none is given, frames are zero and the distance is 0; one without a given neighbour stands for both.
    """
    given, frames = time_bt >= 1, time_bt.shape[1]
    steps = torch.arange(frames, device=time_bt.device)
    back = (steps[:, None] - steps).float()  # [t, t]: frame, candidate
    cost = (back.abs() + 0.5 * (back < 0)).expand(len(given), -1, -1).masked_fill(~given[:, None], torch.inf)
    found, nearest = cost.min(dim=2)
    distance = steps - nearest
    beyond = (nearest - torch.where(distance < 0, -1, 1)).clamp(0, frames - 1)
    beyond = torch.where(given.gather(1, beyond), beyond, nearest)
    there = found.isfinite()
    first, second = (_pick(x_btcyx, torch.where(there, index, -1)) for index in (nearest, beyond))
    return first, second, distance * there


def causal_mask(time_bt: Tensor) -> Tensor:
    """Which frame may look at which, bool [b, t, t]: given ones at given ones up to themselves, the others at all.

    So what a given frame says does not depend on what follows it, and can be kept: see ``stream.py``.
    """
    given = time_bt >= 1
    earlier = torch.ones(time_bt.shape[1], time_bt.shape[1], dtype=torch.bool, device=time_bt.device).tril()
    return ~given[:, :, None] | (given[:, None, :] & earlier)


def _pick(x_btcyx: Tensor, index_bt: Tensor) -> Tensor:
    """Frames by number, [b, t] of them; zero where the number is negative."""
    index = index_bt[:, :, None, None, None].expand_as(x_btcyx)
    return torch.where(index >= 0, x_btcyx.gather(1, index.clamp_min(0)), 0.0)


def place_features(rows: int, columns: int) -> Tensor:
    """Fourier features of where in the frame a token lies, each axis from 0 to 1: [rows columns, 4 PLACES]."""
    place = (grid_positions(rows, columns) + 0.5) / torch.tensor([rows, columns])
    angle = torch.pi * place[..., None] * torch.arange(1, PLACES + 1)
    return torch.cat([angle.cos(), angle.sin()], dim=-1).flatten(1)


def time_features(time: Tensor, size: int = 64) -> Tensor:
    """Sinusoidal features of a time in [0, 1]: [...] -> [..., size]."""
    frequency = torch.exp(torch.arange(size // 2, device=time.device) * (-log(1e4) / (size // 2)))
    angle = 1000 * time[..., None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
