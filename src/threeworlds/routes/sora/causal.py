"""Convolutions over space and time that never look ahead: compression of films (MAGVIT-v2, arXiv 2310.05737).

Factorised: what is spatial works on each frame alone, as in ``nn/conv.py``; between, each place mixes what it was two
frames ago, one frame ago and now. Before the first frame there is the first frame, so a picture is a still film.

Legend: b batch, t frames, c channels, h w pixels, y x latent grid.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.conv import Residual

BACK = 2  # frames that one mixing looks back


class TimeMix(nn.Module):
    """x_t + W silu([x_t-2, x_t-1, x_t]): a causal convolution of 3 x 1 x 1, which starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d((BACK + 1) * channels, channels, 1)
        nn.init.zeros_(self.mix.weight)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Frames of films laid one after another, [b t, c, y, x]."""
        film = F.silu(x).unflatten(0, (-1, frames))
        seen = [film[:, (torch.arange(frames, device=x.device) - back).clamp_min(0)] for back in range(BACK + 1)]
        stacked = torch.cat(seen, dim=2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        mixed: Tensor = self.mix(stacked)
        return x + mixed


class CausalEncoder(nn.Module):
    """[b, 1 + s k, 3, h, w] -> [b, 1 + k, out, h / 8, w / 8], s the stride in time: 1 or 2."""

    def __init__(self, channels: tuple[int, int, int], out: int, stride: int = 1) -> None:
        super().__init__()
        first, second, third = channels
        self.stride = stride
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(3, first, 4, 2, 1),
                nn.SiLU(),
                nn.Conv2d(first, second, 4, 2, 1),
                TimeMix(second),
                nn.SiLU(),
                nn.Conv2d(second, third, 4, 2, 1),
                Residual(third),
                TimeMix(third),
                nn.SiLU(),
                nn.Conv2d(third, out, 1),
            ]
        )

    def forward(self, video: Tensor) -> Tensor:
        if (video.shape[1] - 1) % self.stride:
            raise ValueError(f"{video.shape[1]} frames; a stride of {self.stride} in time takes 1 + {self.stride} k")
        return run(self.layers, video)[:, :: self.stride]


class CausalDecoder(nn.Module):
    """[b, 1 + k, in, y, x] -> [b, 1 + s k, 3, 8 y, 8 x]."""

    def __init__(self, channels: tuple[int, int, int], inputs: int, stride: int = 1) -> None:
        super().__init__()
        first, second, third = channels
        self.stride = stride
        self.read_in = nn.Conv2d(inputs, stride * third, 3, padding=1)  # what each of the frames of a latent shows
        self.layers = nn.ModuleList(
            [
                Residual(third),
                TimeMix(third),
                Residual(third),
                TimeMix(third),
                nn.SiLU(),
                nn.ConvTranspose2d(third, second, 4, 2, 1),
                Residual(second),
                TimeMix(second),
                nn.SiLU(),
                nn.ConvTranspose2d(second, first, 4, 2, 1),
                nn.SiLU(),
                nn.ConvTranspose2d(first, 3, 4, 2, 1),
            ]
        )

    @property
    def memory(self) -> int:
        """Latents before a frame that have a say in what it shows."""
        return -(-BACK * sum(isinstance(layer, TimeMix) for layer in self.layers) // self.stride)

    def forward(self, latent: Tensor) -> Tensor:
        film = run([self.read_in], latent)
        film = film.unflatten(2, (self.stride, -1)).flatten(1, 2)[:, self.stride - 1 :]  # the first latent is a frame
        return run(self.layers, film)


def run(layers: Iterable[nn.Module], film: Tensor) -> Tensor:
    """Layers over films [b, t, ...], folded into frames for those that know no time."""
    frames = film.shape[1]
    x = film.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    for layer in layers:
        x = layer(x, frames) if isinstance(layer, TimeMix) else layer(x)
    return x.unflatten(0, (-1, frames))
