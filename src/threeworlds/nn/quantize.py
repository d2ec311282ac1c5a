"""Finite scalar quantization (FSQ, arXiv 2309.15505): a codebook that needs no learning and cannot collapse."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn


class FSQ(nn.Module):
    """Round each of len(levels) channels to one of its levels; straight-through gradient.

    Codes live on a grid in [-1, 1]; an index in [0, size) names a code. Channels are the last axis.
    """

    middle: Tensor
    basis: Tensor
    counts: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if not levels or min(levels) < 2:
            raise ValueError(f"levels {tuple(levels)}; each channel needs at least 2")
        self.size = prod(levels)
        counts = torch.tensor(levels, dtype=torch.float32)
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("middle", (counts - 1) / 2, persistent=False)
        basis = torch.tensor([prod(levels[:i]) for i in range(len(levels))])
        self.register_buffer("basis", basis, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., len(levels)] -> nearest code, in [-1, 1], with the gradient of tanh."""
        bounded = torch.tanh(x)
        code = self.to_code(self._level(bounded))
        return bounded + (code - bounded).detach()

    def index(self, code: Tensor) -> Tensor:
        """code [..., len(levels)] in [-1, 1] -> int64 [...]."""
        return (self._level(code).long() * self.basis).sum(-1)

    def code(self, index: Tensor) -> Tensor:
        """int64 [...] -> code [..., len(levels)]."""
        level = index[..., None] // self.basis % self.counts.long()
        return self.to_code(level.to(self.middle.dtype))

    def to_code(self, level: Tensor) -> Tensor:
        return level / self.middle - 1

    def _level(self, bounded: Tensor) -> Tensor:
        return torch.round((bounded + 1) * self.middle)
