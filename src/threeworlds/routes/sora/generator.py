"""The generator: a spacetime transformer that predicts clean latents, with its own noise level for every frame.

One network for every task: frames that are given stand at time 1, frames to be made start at time 0 (Diffusion
Forcing, arXiv 2407.01392). Predicting data, with the loss in velocity space, follows JiT (arXiv 2511.13720). A frame
after given ones sees the last two of them beside its own noise, and is predicted as a change to the last: attention
could find them, but at small budgets it takes most of the training to do so.

Legend: b batch, t frames, n tokens a frame, c latent channels, y x latent grid, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.attention import grid_positions, modulate, rope_table
from threeworlds.nn.spacetime import JointBlock
from threeworlds.nn.text import TextEncoder
from threeworlds.routes.sora.recipes import GeneratorConfig


class Generator(nn.Module):
    """(noisy latents, time per frame, words) -> clean latents."""

    def __init__(self, config: GeneratorConfig, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        if grid[0] % config.patch or grid[1] % config.patch:
            raise ValueError(f"latent grid {grid} does not divide into patches of {config.patch}")
        self.config, self.patch, self.grid = config, config.patch, grid
        features = channels * config.patch**2
        self.text = TextEncoder(config.text_width)
        self.read_in = nn.Linear(3 * features, config.width)
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
        last, before, distance = given_frames(x_btcyx, time_bt)
        features = torch.cat([time_features(time_bt), time_features(distance / 64)], dim=-1)
        condition = F.silu(self.time(features))
        z = self.read_in(torch.cat([self._tokens(x) for x in (x_btcyx, last, before)], dim=-1))
        rope = rope_table(grid_positions(z.shape[1], *self._cells(x_btcyx)).to(z.device), self._head_width)
        for block in self.blocks:
            z = block(z, condition, rope, words)
        shift, scale = self.modulation(condition).unsqueeze(2).chunk(2, dim=-1)
        return last + self._latents(self.read_out(modulate(self.norm(z), shift, scale)), x_btcyx)

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
    """For each frame: the last given frame up to it, the given one before that, and how far back the last is [b, t].

    Given means time 1. Where there is none, frames are zero and the distance is -1; one given frame stands for two.
    """
    given = time_bt >= 1
    steps = torch.arange(time_bt.shape[1], device=time_bt.device)
    last = torch.where(given, steps, -1).cummax(dim=1).values
    earlier = (last - 1).clamp_min(0)
    before = torch.where(given.gather(1, earlier), earlier, last)
    return _pick(x_btcyx, last), _pick(x_btcyx, before), torch.where(last >= 0, steps - last, -1)


def _pick(x_btcyx: Tensor, index_bt: Tensor) -> Tensor:
    """Frames by number, [b, t] of them; zero where the number is negative."""
    index = index_bt[:, :, None, None, None].expand_as(x_btcyx)
    return torch.where(index >= 0, x_btcyx.gather(1, index.clamp_min(0)), 0.0)


def time_features(time: Tensor, size: int = 64) -> Tensor:
    """Sinusoidal features of a time in [0, 1]: [...] -> [..., size]."""
    frequency = torch.exp(torch.arange(size // 2, device=time.device) * (-log(1e4) / (size // 2)))
    angle = 1000 * time[..., None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
