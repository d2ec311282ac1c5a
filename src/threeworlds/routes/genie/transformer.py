"""The spacetime transformer as the tokenizer and the latent action model use it: patches in, patches out.

Legend: b batch, t frames, n patches a frame, d width, p patch side.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.attention import grid_positions, rope_table
from threeworlds.nn.spacetime import SpaceTimeBlock
from threeworlds.routes.genie.recipes import TransformerConfig


class SpaceTimeNet(nn.Module):
    """[b, t, n, inputs] -> [b, t, n, outputs]: full attention in a frame, causal over time."""

    def __init__(self, config: TransformerConfig, inputs: int, outputs: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.head_width, self.grid = config.head_width or config.width // config.heads, grid
        self.read_in = nn.Linear(inputs, config.width)
        self.blocks = nn.ModuleList(
            SpaceTimeBlock(config.width, config.heads, config.head_width, config.mlp) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.read_out = nn.Linear(config.width, outputs)

    def forward(self, x_btni: Tensor, added_btd: Tensor | None = None) -> Tensor:
        """``added_btd``: a vector a frame, added to each of its tokens."""
        z = self.read_in(x_btni)
        if added_btd is not None:
            z = z + added_btd[:, :, None]
        space = rope_table(grid_positions(*self.grid).to(z.device), self.head_width)
        time = rope_table(grid_positions(z.shape[1]).to(z.device), self.head_width)
        for block in self.blocks:
            z, _ = block(z, space, time)
        return self.read_out(self.norm(z))


def to_patches(video_btchw: Tensor, side: int) -> Tensor:
    """[b, t, c, h, w] -> [b, t, n, c p p]."""
    return F.pixel_unshuffle(video_btchw, side).flatten(3).transpose(2, 3)


def from_patches(patches_btni: Tensor, side: int, grid: tuple[int, int]) -> Tensor:
    """[b, t, n, c p p] -> [b, t, c, h, w]."""
    return F.pixel_shuffle(patches_btni.transpose(2, 3).unflatten(3, grid), side)


def patch_grid(height: int, width: int, side: int) -> tuple[int, int]:
    """Rows and columns of patches, or an error that says what is allowed."""
    if height % side or width % side:
        raise ValueError(f"frame of {height} x {width} pixels; height and width must be multiples of the patch, {side}")
    return height // side, width // side
