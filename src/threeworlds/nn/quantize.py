"""Quantizers: finite scalar quantization, whose codebook needs no learning, and vector quantization, whose does.

Legend: d features, k codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FSQ(nn.Module):
    """Finite scalar quantization (arXiv 2309.15505): a codebook that cannot collapse.

    Round each of len(levels) channels to one of its levels; straight-through gradient.

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


class VQ(nn.Module):
    """The nearest of k learnt unit vectors; straight-through gradient (VQ-VAE, arXiv 1711.00937).

    Nearness is the cosine (ViT-VQGAN, arXiv 2110.04627, section 3.2). A code is the running mean of what falls on it
    (VQ-VAE, appendix A.1); one that hardly anything falls on becomes a vector of the batch, so that it gets another
    chance (Jukebox, arXiv 2005.00341, section 3.1). The codebook learns in train mode alone.
    """

    codebook: Tensor
    sums: Tensor
    use: Tensor

    def __init__(self, size: int, width: int, *, decay: float = 0.98, least: float = 0.05) -> None:
        """``decay`` of the running means; a code used less than ``least`` of an even share is reset."""
        super().__init__()
        if size < 2:
            raise ValueError(f"{size} codes; at least 2")
        self.size, self.decay, self.least = size, decay, least
        codebook = F.normalize(torch.randn(size, width), dim=-1)
        self.register_buffer("codebook", codebook)
        self.register_buffer("sums", codebook / size)
        self.register_buffer("use", torch.full((size,), 1 / size))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [..., d] -> the codes it falls on [..., d], their numbers int64 [...], and the commitment loss."""
        unit = F.normalize(x, dim=-1)
        index = self.index(unit)
        code = self.codebook[index]
        if self.training:
            self._learn(unit.detach().flatten(0, -2), index.flatten())
        return unit + (code - unit).detach(), index, (unit - code).square().sum(-1).mean()

    def index(self, x: Tensor) -> Tensor:
        """x [..., d] -> the number of the nearest code, int64 [...]."""
        return (x @ self.codebook.T).argmax(-1)

    def code(self, index: Tensor) -> Tensor:
        """int64 [...] -> unit vectors [..., d]."""
        return self.codebook[index]

    def soft_use(self, x: Tensor, temperature: float = 0.1) -> Tensor:
        """How much each code is used, with a gradient to x [..., d]: a distribution [k]."""
        near = F.normalize(x, dim=-1) @ self.codebook.T / temperature
        return near.softmax(-1).flatten(0, -2).mean(0)

    @torch.no_grad()
    def _learn(self, unit: Tensor, index: Tensor) -> None:
        chosen = F.one_hot(index, self.size).to(unit.dtype)
        self.use.lerp_(chosen.mean(0), 1 - self.decay)
        self.sums.lerp_(chosen.T @ unit / len(unit), 1 - self.decay)
        dead = self.use < self.least / self.size
        if dead.any():
            drawn = unit[torch.randint(len(unit), (int(dead.sum()),), device=unit.device)]
            self.use[dead] = 1 / self.size
            self.sums[dead] = drawn / self.size
        self.codebook.copy_(F.normalize(self.sums, dim=-1))


def relative_entropy(use: Tensor) -> Tensor:
    """Entropy of a distribution [k] as a part of the most it could be, log k: 1 all alike, 0 a single one."""
    p = use / use.sum()
    return -(p * p.clamp_min(1e-9).log()).sum() / torch.tensor(float(len(p))).log()
