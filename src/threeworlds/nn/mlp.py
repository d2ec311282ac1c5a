"""A residual multi-layer perceptron: the head that reads vectors."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ResidualMLP(nn.Module):
    """[..., inputs] -> [..., outputs]: ``layers`` normalised residual layers of width ``hidden``."""

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int) -> None:
        super().__init__()
        self.read_in = nn.Linear(inputs, hidden)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
            for _ in range(layers)
        )
        self.read_out = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.read_in(x)
        for layer in self.layers:
            x = x + layer(x)
        out: Tensor = self.read_out(F.silu(x))
        return out
