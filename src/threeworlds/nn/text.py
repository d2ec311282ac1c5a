"""Captions as words: a hashed vocabulary and a small transformer encoder, trained with the model that reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from zlib import crc32

import torch
from torch import Tensor, nn

from threeworlds.nn.attention import Attention, FeedForward, grid_positions, rope_table

WORD = re.compile(r"[a-z0-9]+")
HASHES = 2
BUCKETS = 1021  # a prime; two hashes that both collide are about 1e-6 a pair of words


def word_hashes(caption: str, limit: int) -> list[tuple[int, ...]]:
    """The first ``limit`` words of a caption, each as HASHES buckets in [1, BUCKETS]. Any word has its buckets."""
    words = WORD.findall(caption.lower())[:limit]
    return [tuple(crc32(f"{salt}{word}".encode()) % BUCKETS + 1 for salt in range(HASHES)) for word in words]


class TextEncoder(nn.Module):
    """Captions -> word embeddings [b, s, d] and their mask [b, s].

    Words are embedded by hashing (Svenstrup et al., arXiv 1709.03933), so there is no vocabulary file and an unknown
    word is no error. The first position is always there: it is all that an empty caption has, the null condition.
    """

    def __init__(self, width: int, heads: int = 4, layers: int = 2, limit: int = 40) -> None:
        super().__init__()
        self.limit, self.head_width = limit, width // heads
        self.embedding = nn.Embedding(BUCKETS + 1, width)  # row 0: the start
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers + 1))
        self.attention = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.mlp = nn.ModuleList(FeedForward(width) for _ in range(layers))
        nn.init.normal_(self.embedding.weight, std=0.5)

    def forward(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        buckets, mask = self._lookup(captions)
        x = self.embedding(buckets).sum(-2)
        rope = rope_table(grid_positions(x.shape[1]).to(x.device), self.head_width)
        for layer, (attention, mlp) in enumerate(zip(self.attention, self.mlp, strict=True)):
            x = x + attention(self.norms[2 * layer](x), rope=rope, mask=mask[:, None, None, :])
            x = x + mlp(self.norms[2 * layer + 1](x))
        return self.norms[-1](x), mask

    def _lookup(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        rows = [[(0,) * HASHES, *word_hashes(caption, self.limit)] for caption in captions]
        longest = max(map(len, rows))
        padded = [row + [(0,) * HASHES] * (longest - len(row)) for row in rows]
        device = self.embedding.weight.device
        length = torch.tensor([len(row) for row in rows], device=device)
        return torch.tensor(padded, device=device), torch.arange(longest, device=device) < length[:, None]
