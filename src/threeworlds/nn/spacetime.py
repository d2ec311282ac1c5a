"""Spacetime transformer blocks: joint attention for few tokens, factorised attention for causal roll-outs.

Legend: b batch, t frames, n tokens a frame, d width, s words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threeworlds.nn.attention import Attention, FeedForward, KeyValue, Rope, modulate


class JointBlock(nn.Module):
    """Full spacetime attention, cross-attention to words, MLP; adaLN-zero per frame (DiT, arXiv 2212.09748)."""

    def __init__(self, width: int, heads: int, text_width: int | None = None) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.attention = Attention(width, heads)
        self.text = Attention(width, heads, text_width) if text_width else None
        self.text_norm = nn.LayerNorm(width) if text_width else None
        self.mlp = FeedForward(width)
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self,
        z_btnd: Tensor,
        condition_btd: Tensor,
        rope: Rope,
        words: tuple[Tensor, Tensor] | None = None,
        *,
        mask: Tensor | None = None,
        past: KeyValue | None = None,
    ) -> tuple[Tensor, KeyValue]:
        """Returns the new tokens and the keys and values [b, h, n, e] of all tokens so far, to keep as ``past``.

        Args:
            words: embeddings [b, s, d] and mask [b, s], True = a word.
            mask: bool [b, 1, t n, past + t n], True = may look.
            past: kept from the frames before these.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition_btd).unsqueeze(2).chunk(6, dim=-1)
        tokens = modulate(self.norms[0](z_btnd), shift1, scale1).flatten(1, 2)
        key, value = self.attention.project(tokens, rope)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=-2), torch.cat([past[1], value], dim=-2)
        read = self.attention.attend(tokens, (key, value), rope=rope, mask=mask)
        z_btnd = torch.addcmul(z_btnd, gate1, read.view_as(z_btnd))
        if words is not None and self.text is not None and self.text_norm is not None:
            z_btnd = z_btnd + self._read(self.text, self.text_norm(z_btnd), words)
        moved = self.mlp(modulate(self.norms[1](z_btnd), shift2, scale2))
        return torch.addcmul(z_btnd, gate2, moved), (key, value)

    @staticmethod
    def _read(text: Attention, z_btnd: Tensor, words: tuple[Tensor, Tensor]) -> Tensor:
        embedding, mask = words
        read = text.attend(z_btnd.flatten(1, 2), text.project(embedding), mask=mask[:, None, None, :])
        return read.view_as(z_btnd)


class SpaceTimeBlock(nn.Module):
    """Spatial attention, causal temporal attention, one MLP (ST-transformer, Genie, arXiv 2402.15391, section 2.1)."""

    def __init__(self, width: int, heads: int, head_width: int | None = None, mlp: float = 4) -> None:
        """``mlp``: its inner width, as a multiple of the width."""
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.space = Attention(width, heads, head_width=head_width)
        self.time = Attention(width, heads, head_width=head_width)
        self.mlp = FeedForward(width, mlp)

    def forward(
        self,
        z_btnd: Tensor,
        space: Rope | None,
        time: Rope,
        past: KeyValue | None = None,
        *,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, KeyValue]:
        """Returns the new tokens and the temporal keys and values [b, n, h, t, e] to keep as ``past``.

        With ``past`` given, z holds the frame after it, and only that is computed. ``mask`` bool [t, t], True = may
        look, takes the place of causal attention.
        """
        z_btnd = z_btnd + self.space(self.norms[0](z_btnd), rope=space)
        over_time, kept = self._attend_time(self.norms[1](z_btnd).transpose(1, 2), time, past, mask)
        z_btnd = z_btnd + over_time.transpose(1, 2)
        return z_btnd + self.mlp(self.norms[2](z_btnd)), kept

    def _attend_time(
        self, z_bntd: Tensor, time: Rope, past: KeyValue | None, mask: Tensor | None
    ) -> tuple[Tensor, KeyValue]:
        key, value = self.time.project(z_bntd, time)
        if past is None:
            read = self.time.attend(z_bntd, (key, value), rope=time, mask=mask, causal=mask is None)
            return read, (key, value)
        if z_bntd.shape[2] != 1:
            raise ValueError(f"with a cache, frames come one at a time; got {z_bntd.shape[2]}")
        kept = torch.cat([past[0], key], dim=-2), torch.cat([past[1], value], dim=-2)
        return self.time.attend(z_bntd, kept, rope=time), kept
