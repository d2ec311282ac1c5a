"""The compression network: a KL autoencoder of frames (latent diffusion, arXiv 2112.10752), or with discrete latents
(FSQ, arXiv 2309.15505), or of films (``causal.py``); pixel patches as control.

Legend: b batch, t frames, c latent channels, y x latent grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.adversary import frozen
from threeworlds.nn.conv import FACTOR, Decoder, Encoder, check_size
from threeworlds.nn.losses import moving_weight
from threeworlds.nn.quantize import FSQ
from threeworlds.routes.sora.causal import CausalDecoder, CausalEncoder, run
from threeworlds.routes.sora.recipes import AutoencoderConfig
from threeworlds.types import Batch


class Autoencoder(nn.Module):
    """Video <-> latents that are normalised per channel, which flow matching needs (Open-Sora 1.2 report)."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: AutoencoderConfig, height: int, width: int) -> None:
        super().__init__()
        if config.time_stride != 1 and config.kind != "causal":
            raise ValueError(f"time_stride={config.time_stride} with kind={config.kind!r}; only 'causal' knows time")
        if config.factor != FACTOR and config.kind == "causal":
            raise ValueError(f"factor={config.factor} with kind='causal'; that network has a factor of {FACTOR}")
        self.config, self.factor = config, config.factor
        check_size(height, width)
        self.grid = height // self.factor, width // self.factor
        self.channels = config.latent
        self.codes = FSQ((config.levels,) * config.latent) if config.kind == "fsq" else None
        self.encoder, self.decoder = _networks(config)
        self.critic = PatchCritic(config.channels[:2]) if config.adversarial else None
        self.register_buffer("mean", torch.zeros(config.latent))
        self.register_buffer("std", torch.ones(config.latent))

    @property
    def memory(self) -> int:
        """Latents before a frame that have a say in what it shows."""
        return self.decoder.memory if isinstance(self.decoder, CausalDecoder) else 0

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        video = zoomed(recoloured(batch.video, self.config.recolour), self.config.zoom)
        latent, kl = self._draw(video)
        if self.config.equivariance and torch.rand(()) < self.config.equivariance:
            latent, video = moved(latent, video, torch.randint(1 - self.factor, self.factor, (2,)))
        shown = self._shown(latent)
        error = (shown - video).square()
        reconstruction = (moving_weight(video, self.config.moving) * error).mean()
        loss, metrics = reconstruction + self.config.kl * kl, {"mse": error.mean().detach(), "kl": kl.detach()}
        if self.critic is None:
            return loss, metrics
        pleases, tells = hinge(self.critic, video.flatten(0, 1), shown.flatten(0, 1))
        return loss + self.config.adversarial * pleases + tells, metrics | {"critic": tells.detach()}

    @torch.no_grad()
    def normalise(self, batch: Batch) -> None:
        """Measure the latents' mean and standard deviation, once training is over."""
        assert batch.video is not None
        latent = self._latent(batch.video).flatten(0, 1)
        self.mean.copy_(latent.mean((0, 2, 3)))
        self.std.copy_(latent.std((0, 2, 3)).clamp_min(1e-3))

    def encode(self, video: Tensor) -> Tensor:
        """video [b, t, 3, h, w] -> latents [b, t, c, y, x], about unit variance; [b, 1 + k, ...] of t = 1 + 2 k frames
        where the stride in time is 2.
        """
        return ((self._latent(video) - self.mean[:, None, None]) / self.std[:, None, None]).contiguous()

    def decode(self, latent: Tensor) -> Tensor:
        """latents [b, t, c, y, x] -> video [b, t, 3, h, w] in [-1, 1]."""
        return self._shown(latent * self.std[:, None, None] + self.mean[:, None, None]).clamp(-1, 1).contiguous()

    def _shown(self, latent: Tensor) -> Tensor:
        return self.decoder(latent) if self.config.kind == "causal" else run([self.decoder], latent)

    def _features(self, video: Tensor) -> Tensor:
        return self.encoder(video) if self.config.kind == "causal" else run([self.encoder], video)

    def _draw(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """A draw of the latents and its KL to a unit Gaussian; codes are what they are, at no KL."""
        if self.codes:
            return self._latent(video), video.new_zeros(())
        mean, log_variance = self._posterior(video)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return mean + (0.5 * log_variance).exp() * torch.randn_like(mean), kl

    def _latent(self, video: Tensor) -> Tensor:
        """The mean of the latents, or the code nearest to them."""
        if not self.codes:
            return self._posterior(video)[0]
        code: Tensor = self.codes(self._features(video).movedim(2, -1))
        return code.movedim(-1, 2)

    def _posterior(self, video: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self._features(video).chunk(2, dim=2)
        return mean, log_variance.clamp(-12, 4)


class DecoderObjective(nn.Module):
    """The decoder alone, on latents of the frozen encoder that stand where they are.

    What equivariance asks of a decoder costs it sharpness; latents that are settled need not be moved any more.
    """

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.decoder = autoencoder.decoder
        self._whole = (autoencoder,)  # out of sight of the trainer: only the decoder learns

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        (autoencoder,) = self._whole
        video = zoomed(recoloured(batch.video, autoencoder.config.recolour), autoencoder.config.zoom)
        with torch.no_grad():
            latent, _ = autoencoder._draw(video)
        error = (autoencoder._shown(latent) - video).square()
        return (moving_weight(video, autoencoder.config.moving) * error).mean(), {"mse": error.mean().detach()}


def recoloured(video_btchw: Tensor, part: float) -> Tensor:
    """Films, ``part`` of them in other colours: each channel becomes a weighted mean of the three.

    A compression learns what goes with what. Where every shape is seen in every colour, there is less to learn of that.
    """
    if not part:
        return video_btchw
    b = len(video_btchw)
    weights = torch.softmax(3 * torch.randn(b, 3, 3), dim=-1)
    weights = torch.where((torch.rand(b) < part)[:, None, None], weights, torch.eye(3))
    return torch.einsum("bdc,btchw->btdhw", weights.to(video_btchw), video_btchw)


def zoomed(video_btchw: Tensor, part: float) -> Tensor:
    """Films, ``part`` of the batches as seen from nearer or farther, to twice or half their size: things then come in
    sizes that no clip shows. What comes in over the edge repeats it.
    """
    if not part or torch.rand(()) >= part:
        return video_btchw
    flat, seen = video_btchw.flatten(0, 1), 2 ** (2 * torch.rand(()) - 1)
    where = torch.cat([seen * torch.eye(2), (torch.rand(2, 1) - 0.5) * (1 - seen)], dim=1).to(flat)
    grid = F.affine_grid(where.expand(len(flat), 2, 3), list(flat.shape), align_corners=False)
    return F.grid_sample(flat, grid, padding_mode="border", align_corners=False).unflatten(0, video_btchw.shape[:2])


def moved(latent_btcyx: Tensor, video_btchw: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Latents and pictures, both moved by ``pixels`` (right, down): a decoder that must take one to the other has
    latents that move as bodies do, also by parts of a cell (after EQ-VAE, arXiv 2502.09509, which scales and turns).

    What comes in over the edge repeats it.
    """
    return _moved(latent_btcyx, pixels * latent_btcyx.shape[-1] / video_btchw.shape[-1]), _moved(video_btchw, pixels)


def _moved(x: Tensor, cells: Tensor) -> Tensor:
    """x [b, t, c, y, x] moved by ``cells`` (right, down), linearly between cells."""
    flat, size = x.flatten(0, 1), torch.tensor([x.shape[-1], x.shape[-2]])
    where = torch.cat([torch.eye(2), (-2 * cells / size)[:, None]], dim=1).to(x)
    grid = F.affine_grid(where.expand(len(flat), 2, 3), list(flat.shape), align_corners=False)
    seen = F.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    return seen.contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:2])


class PatchCritic(nn.Sequential):
    """Is a patch of a frame true or made? [b, 3, h, w] -> a grid of answers (PatchGAN, arXiv 1611.07004)."""

    def __init__(self, channels: tuple[int, int]) -> None:
        first, second = channels
        super().__init__(
            nn.Conv2d(3, first, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(first, second, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(second, 1, 3, padding=1),
        )


def hinge(critic: nn.Module, true: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """What moves the maker alone, and what moves the critic alone (VQGAN, arXiv 2012.09841, with the hinge loss)."""
    pleases = -frozen(critic)(made).mean()
    tells = (torch.relu(1 - critic(true)) + torch.relu(1 + critic(made.detach()))).mean()
    return pleases, tells


def _networks(config: AutoencoderConfig) -> tuple[nn.Module, nn.Module]:
    features = config.latent if config.kind == "fsq" else 2 * config.latent
    if config.kind == "causal":
        return (
            CausalEncoder(config.channels, features, config.time_stride),
            CausalDecoder(config.channels, config.latent, config.time_stride),
        )
    encoder = Encoder(config.channels, features, factor=config.factor)
    return encoder, Decoder(config.channels, config.latent, factor=config.factor)


class PixelPatches(nn.Module):
    """No compression: a latent cell is an 8 x 8 patch of pixels. The control of claim C1; nothing to train."""

    memory, factor = 0, FACTOR

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.grid = check_size(height, width)
        self.channels = 3 * FACTOR * FACTOR

    def encode(self, video: Tensor) -> Tensor:
        """video [b, t, 3, h, w] -> [b, t, 192, y, x]."""
        return F.pixel_unshuffle(video, FACTOR)

    def decode(self, latent: Tensor) -> Tensor:
        return F.pixel_shuffle(latent, FACTOR).clamp(-1, 1)
