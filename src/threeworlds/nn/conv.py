"""Convolutional encoder and decoder between pixels and a grid eight (or four) times smaller.

Frames are images here: b stands for batch times frames. Kernels of 4 and strides of 2 keep every output pixel under the
same number of weights, so that decoded frames show no checkerboard.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

FACTOR = 8  # pixels per grid cell, each way; frames are multiples of it, whatever the grid


def check_size(height: int, width: int) -> tuple[int, int]:
    """The grid (rows, columns) of a frame, or an error that says what sizes are allowed."""
    if height % FACTOR or width % FACTOR or min(height, width) < FACTOR:
        raise ValueError(f"frame of {height} x {width} pixels; height and width must be multiples of {FACTOR}")
    return height // FACTOR, width // FACTOR


class Residual(nn.Module):
    """x + conv(silu(conv(silu(x)))): two 3 x 3 convolutions, the second starting at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class Encoder(nn.Sequential):
    """[b, in, h, w] -> [b, out, h / factor, w / factor]; ``factor`` is 8 or 4."""

    def __init__(
        self, channels: tuple[int, int, int], out: int, inputs: int = 3, residuals: int = 1, factor: int = FACTOR
    ) -> None:
        first, second, third = channels
        super().__init__(
            nn.Conv2d(inputs, first, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(first, second, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(second, third, 4, 2, 1) if factor == FACTOR else nn.Conv2d(second, third, 3, 1, 1),
            *(Residual(third) for _ in range(residuals)),
            nn.SiLU(),
            nn.Conv2d(third, out, 1),
        )


class Decoder(nn.Sequential):
    """[b, in, h / factor, w / factor] -> [b, 3, h, w]; ``factor`` is 8 or 4."""

    def __init__(self, channels: tuple[int, int, int], inputs: int, residuals: int = 2, factor: int = FACTOR) -> None:
        first, second, third = channels
        super().__init__(
            nn.Conv2d(inputs, third, 3, padding=1),
            *(Residual(third) for _ in range(residuals)),
            nn.SiLU(),
            nn.ConvTranspose2d(third, second, 4, 2, 1) if factor == FACTOR else nn.Conv2d(third, second, 3, 1, 1),
            Residual(second),
            nn.SiLU(),
            nn.ConvTranspose2d(second, first, 4, 2, 1),
            nn.SiLU(),
            nn.ConvTranspose2d(first, 3, 4, 2, 1),
        )
