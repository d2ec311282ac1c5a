"""A generative decoder: of the pictures that a state allows it draws one, where the deterministic one draws their mean.

Flow matching (arXiv 2210.02747) from noise to the picture, given the state; the network says the picture itself, and is
held to the velocity (JiT, arXiv 2511.13720). Legend: b batch, t frames, d state.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.flow.path import STRAIGHT, logit_normal
from threeworlds.flow.solver import euler, time_grid
from threeworlds.nn.conv import FACTOR
from threeworlds.nn.conv import Decoder as ConvDecoder
from threeworlds.nn.conv import Encoder as ConvEncoder
from threeworlds.routes.jepa.recipes import DecoderConfig

Levels = Tensor  # times on the path, [b, t, 1, 1, 1]


class FlowDecoder(nn.Module):
    """z [b, t, d] -> video [b, t, 3, h, w], sampled in a few Euler steps. Frames of a clip begin in the same noise."""

    def __init__(self, config: DecoderConfig, state: int, height: int, width: int) -> None:
        super().__init__()
        self.steps, self.size = config.steps, (height, width)
        self.grid, channels = (height // FACTOR, width // FACTOR), config.channels[-1]
        self.read_state = nn.Linear(state, channels * self.grid[0] * self.grid[1])
        self.read_noisy = ConvEncoder(config.channels, channels, inputs=4, residuals=0)
        self.draw = ConvDecoder(config.channels, 2 * channels)
        self.refine = nn.Sequential(
            nn.Conv2d(7, config.channels[0], 3, padding=1), nn.SiLU(), nn.Conv2d(config.channels[0], 3, 3, padding=1)
        )

    def estimate(self, z: Tensor, noisy: Tensor, time: Levels) -> Tensor:
        """The picture at the end of the path, from a point [b, t, 3, h, w] on it."""
        seen = torch.cat([noisy, time.expand_as(noisy[:, :, :1])], dim=2).flatten(0, 1)
        seen = seen.contiguous(memory_format=torch.channels_last)
        known = self.read_state(z).flatten(0, 1).unflatten(1, (-1, *self.grid))
        drawn = self.draw(F.silu(torch.cat([known, self.read_noisy(seen)], dim=1)))
        return (drawn + self.refine(torch.cat([drawn, seen], dim=1))).contiguous().unflatten(0, z.shape[:2])

    def forward(self, z: Tensor, seed: int = 0) -> Tensor:
        """A sample, the same for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(z), 1, 3, *self.size, generator=generator).to(z).expand(-1, z.shape[1], -1, -1, -1)

        def velocity(x: Tensor, t: float) -> Tensor:
            time = x.new_full((1, 1, 1, 1, 1), t)
            return STRAIGHT.velocity(self.estimate(z, x, time), x, time)

        return euler(velocity, noise, time_grid(self.steps))

    def error(self, z: Tensor, video: Tensor) -> Tensor:
        """Of the estimated velocity at random points of the path, [b, t, 3, h, w]: its square is the loss."""
        time = logit_normal((*video.shape[:2], 1, 1, 1), -0.4, 1.0).to(video)
        noisy = STRAIGHT.point(torch.randn_like(video), video, time)
        return STRAIGHT.weighted(self.estimate(z, noisy, time) - video, time)
