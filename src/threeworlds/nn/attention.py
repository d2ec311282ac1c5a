"""Attention, rotary positions and the transformer block that every route builds on.

Legend: b batch (any leading axes), n tokens, d width, h heads, e head width (d = h e), k position axes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rope = tuple[Tensor, Tensor]  # cosine and sine, each [n, e / 2]
KeyValue = tuple[Tensor, Tensor]  # keys and values, each [b, h, n, e]


def grid_positions(*sizes: int) -> Tensor:
    """Coordinates of every cell of a grid, last axis fastest: float [prod(sizes), len(sizes)]."""
    axes = [torch.arange(size, dtype=torch.float32) for size in sizes]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)


def rope_table(positions: Tensor, head_width: int, base: float = 100.0) -> Rope:
    """Rotary angles for k-dimensional positions (RoFormer, arXiv 2104.09864, one band of the head per axis).

    positions [n, k] -> cosine and sine [n, head_width / 2]. Bands that do not divide evenly go to the first axis.
    The base is small because our grids are: 100 turns the slowest pair once in about 600 cells.
    """
    pairs, axes = head_width // 2, positions.shape[-1]
    bands = [pairs - (axes - 1) * (pairs // axes)] + [pairs // axes] * (axes - 1)
    angles = [
        positions[:, axis, None] * base ** (-torch.arange(band, dtype=torch.float32) / band)
        for axis, band in enumerate(bands)
    ]
    angle = torch.cat(angles, dim=-1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Turn each pair (x[i], x[i + e / 2]) by its position's angle. x [..., n, e]."""
    cos, sin = rope
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def attention(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None, causal: bool) -> Tensor:
    """Scaled dot-product attention over [..., h, n, e].

    Leading axes are laid flat: torch has its fused kernel for one batch axis alone, and is a quarter slower without it.
    """
    if query.dim() == 4 or (mask is not None and mask.dim() > 2):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
    q, k, v = (x.flatten(0, -4) for x in (query, key, value))
    read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    return read.unflatten(0, query.shape[:-3])


class Attention(nn.Module):
    """Multi-head attention with RMS-normalised queries and keys (QK-norm, arXiv 2302.05442)."""

    def __init__(self, width: int, heads: int, context_width: int | None = None, head_width: int | None = None) -> None:
        """``head_width`` None: heads share the width among them."""
        super().__init__()
        self.heads, self.head_width = heads, head_width or width // heads
        inner = heads * self.head_width if head_width else width
        self.query = nn.Linear(width, inner, bias=False)
        self.key_value = nn.Linear(context_width or width, 2 * inner, bias=False)
        self.query_norm = nn.RMSNorm(self.head_width)
        self.key_norm = nn.RMSNorm(self.head_width)
        self.out = nn.Linear(inner, width, bias=False)

    def project(self, context: Tensor, rope: Rope | None = None) -> KeyValue:
        """Keys and values of context [b, n, d], to attend to now or to keep."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        key = self.key_norm(self._split(key)).transpose(-3, -2)
        return (rotate(key, rope) if rope else key), self._split(value).transpose(-3, -2)

    def attend(
        self,
        x: Tensor,
        key_value: KeyValue,
        *,
        rope: Rope | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """x [b, n, d] looks at keys and values; ``mask`` True = may look."""
        query = self.query_norm(self._split(self.query(x))).transpose(-3, -2)
        query = rotate(query, rope) if rope else query
        y = attention(query, *key_value, mask=mask, causal=causal)
        return self.out(y.transpose(-3, -2).flatten(-2))

    def forward(
        self, x: Tensor, *, rope: Rope | None = None, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        return self.attend(x, self.project(x, rope), rope=rope, mask=mask, causal=causal)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.head_width))


class FeedForward(nn.Sequential):
    """Two linear maps with a GELU between them."""

    def __init__(self, width: int, ratio: float = 4) -> None:
        inner = round(ratio * width)
        super().__init__(nn.Linear(width, inner), nn.GELU(approximate="tanh"), nn.Linear(inner, width))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Adaptive layer norm's affine part (DiT, arXiv 2212.09748, section 3.2)."""
    return torch.addcmul(shift, x, 1 + scale)
