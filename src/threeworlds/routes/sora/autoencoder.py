"""The compression network: a KL autoencoder of frames (latent diffusion, arXiv 2112.10752), or with discrete latents
(FSQ, arXiv 2309.15505); pixel patches as control.

Legend: b batch, t frames, c latent channels, y x latent grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.conv import FACTOR, Decoder, Encoder, check_size
from threeworlds.nn.losses import moving_weight
from threeworlds.nn.quantize import FSQ
from threeworlds.routes.sora.recipes import AutoencoderConfig
from threeworlds.types import Batch


class Autoencoder(nn.Module):
    """Video <-> latents that are normalised per channel, which flow matching needs (Open-Sora 1.2 report)."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: AutoencoderConfig, height: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.grid = check_size(height, width)
        self.channels = config.latent
        self.codes = FSQ((config.levels,) * config.latent) if config.kind == "fsq" else None
        self.encoder = Encoder(config.channels, config.latent if self.codes else 2 * config.latent)
        self.decoder = Decoder(config.channels, config.latent)
        self.register_buffer("mean", torch.zeros(config.latent))
        self.register_buffer("std", torch.ones(config.latent))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        frames = batch.video.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        latent, kl = self._draw(frames)
        error = (self.decoder(latent) - frames).square()
        weight = moving_weight(batch.video, self.config.moving).flatten(0, 1)
        reconstruction = (weight * error).mean()
        metrics = {"mse": error.mean().detach(), "kl": kl.detach()}
        return reconstruction + self.config.kl * kl, metrics

    @torch.no_grad()
    def normalise(self, batch: Batch) -> None:
        """Measure the latents' mean and standard deviation, once training is over."""
        assert batch.video is not None
        latent = self._latent(batch.video.flatten(0, 1))
        self.mean.copy_(latent.mean((0, 2, 3)))
        self.std.copy_(latent.std((0, 2, 3)).clamp_min(1e-3))

    def encode(self, video: Tensor) -> Tensor:
        """video [b, t, 3, h, w] -> latents [b, t, c, y, x], about unit variance."""
        frames = video.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        latent = self._latent(frames)
        latent = (latent - self.mean[:, None, None]) / self.std[:, None, None]
        return latent.contiguous().unflatten(0, video.shape[:2])

    def decode(self, latent: Tensor) -> Tensor:
        """latents [b, t, c, y, x] -> video [b, t, 3, h, w] in [-1, 1]."""
        flat = latent.flatten(0, 1) * self.std[:, None, None] + self.mean[:, None, None]
        video = self.decoder(flat.contiguous(memory_format=torch.channels_last))
        return video.clamp(-1, 1).contiguous().unflatten(0, latent.shape[:2])

    def _draw(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """A draw of the latents and its KL to a unit Gaussian; codes are what they are, at no KL."""
        if self.codes:
            return self._latent(frames), frames.new_zeros(())
        mean, log_variance = self._posterior(frames)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return mean + (0.5 * log_variance).exp() * torch.randn_like(mean), kl

    def _latent(self, frames: Tensor) -> Tensor:
        """The mean of the latents, or the code nearest to them."""
        if not self.codes:
            return self._posterior(frames)[0]
        code: Tensor = self.codes(self.encoder(frames).movedim(1, -1))
        return code.movedim(-1, 1)

    def _posterior(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(frames).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 4)


class PixelPatches(nn.Module):
    """No compression: a latent cell is an 8 x 8 patch of pixels. The control of claim C1; nothing to train."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.grid = check_size(height, width)
        self.channels = 3 * FACTOR * FACTOR

    def encode(self, video: Tensor) -> Tensor:
        """video [b, t, 3, h, w] -> [b, t, 192, y, x]."""
        return F.pixel_unshuffle(video, FACTOR)

    def decode(self, latent: Tensor) -> Tensor:
        return F.pixel_shuffle(latent, FACTOR).clamp(-1, 1)
