"""The latent action model: what happened between two frames, learnt from video alone.

A continuous code under a KL price keeps only what the next frame needs beyond the last two (AdaWorld, arXiv
2503.18938, section 3.1); k-means over the codes gives the buttons. Copying is made to fail: changed pixels weigh more,
and the decoder sees two frames, so that passive motion is free and only control is left to pay for.

Legend: b batch, t frames, z latent action, c channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.conv import FACTOR
from threeworlds.nn.losses import changed_weight
from threeworlds.routes.genie.recipes import LatentActionConfig
from threeworlds.types import Batch

SIZE = 32  # the model looks at pictures of about this many pixels a side; larger frames are averaged down


class LatentAction(nn.Module):
    """frames -> latent actions between them, and the buttons (codes) they fall on."""

    centres: Tensor

    def __init__(self, config: LatentActionConfig, height: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.pool = max(1, min(height, width) // SIZE)
        first, second, third = config.channels
        self.encoder = nn.Sequential(
            nn.Conv2d(9, first, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(first, second, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(second, third, 4, 2, 1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(third * (height // self.pool // FACTOR) * (width // self.pool // FACTOR), 2 * config.latent),
        )
        self.decoder = FilmUNet(config.channels, config.latent)
        self.register_buffer("centres", torch.zeros(config.codes, config.latent))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        video = self._look(batch.video)
        mean, log_variance = self._posterior(video[:, 1:])
        latent = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        before, now, after = (video[:, i : i + video.shape[1] - 2].flatten(0, 1) for i in range(3))
        error = (now + self.decoder(torch.cat([before, now], dim=1), latent.flatten(0, 1)) - after).square()
        reconstruction = (changed_weight(now, after, self.config.changed) * error).mean()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean()
        copy = (now - after).square().mean()
        metrics = {"kl": kl.detach(), "error_over_copy": (error.mean() / copy.clamp_min(1e-8)).detach()}
        return reconstruction + self.config.kl * kl, metrics

    def latent(self, video: Tensor) -> Tensor:
        """video [b, t, c, h, w] -> latent actions [b, t - 1, z], means."""
        return self._posterior(self._look(video))[0]

    def infer_codes(self, video: Tensor) -> Tensor:
        """video [b, t, c, h, w] -> the nearest button of each step, int64 [b, t - 1]."""
        return torch.cdist(self.latent(video), self.centres.expand(len(video), -1, -1)).argmin(-1)

    @torch.no_grad()
    def make_buttons(self, batch: Batch) -> None:
        """k-means over latent actions, once training is over. Deterministic."""
        from scipy.cluster.vq import kmeans2

        assert batch.video is not None
        points = self.latent(batch.video).flatten(0, 1).double().cpu().numpy()
        runs = [kmeans2(points, self.config.codes, iter=50, minit="++", seed=seed, missing="warn") for seed in range(8)]
        spreads = [float(((points - centres[label]) ** 2).sum()) for centres, label in runs]
        best = runs[spreads.index(min(spreads))][0]
        self.centres.copy_(torch.from_numpy(best).to(self.centres))

    def _look(self, video: Tensor) -> Tensor:
        return F.avg_pool3d(video, (1, self.pool, self.pool)) if self.pool > 1 else video

    def _posterior(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """Every pair of neighbours: [b, t, c, h, w] -> mean and log variance [b, t - 1, z]."""
        before, after = video[:, :-1], video[:, 1:]
        pairs = torch.cat([before, after, after - before], dim=2).flatten(0, 1)
        code = self.encoder(pairs.contiguous(memory_format=torch.channels_last))
        mean, log_variance = code.unflatten(0, before.shape[:2]).chunk(2, dim=-1)
        return mean, log_variance.clamp(-10, 4)


class FilmUNet(nn.Module):
    """(two frames [b, 6, h, w], latent action [b, z]) -> the change to the last frame, [b, 3, h, w].

    The action scales and shifts feature maps (FiLM, arXiv 1709.07871).
    """

    def __init__(self, channels: tuple[int, int, int], latent: int) -> None:
        super().__init__()
        first, second, third = channels
        self.down = nn.ModuleList(
            [nn.Conv2d(6, first, 4, 2, 1), nn.Conv2d(first, second, 4, 2, 1), nn.Conv2d(second, third, 4, 2, 1)]
        )
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose2d(third, second, 4, 2, 1),
                nn.ConvTranspose2d(2 * second, first, 4, 2, 1),
                nn.ConvTranspose2d(2 * first, 3, 4, 2, 1),
            ]
        )
        self.film = nn.ModuleList(nn.Linear(latent, 2 * width) for width in (third, second, first))
        for parameter in self.up[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, frames: Tensor, latent: Tensor) -> Tensor:
        low = F.silu(self.down[0](frames.contiguous(memory_format=torch.channels_last)))
        mid = F.silu(self.down[1](low))
        x = F.silu(self._modulate(self.down[2](mid), latent, 0))
        x = F.silu(self._modulate(self.up[0](x), latent, 1))
        x = F.silu(self._modulate(self.up[1](torch.cat([x, mid], dim=1)), latent, 2))
        return self.up[2](torch.cat([x, low], dim=1))

    def _modulate(self, x: Tensor, latent: Tensor, level: int) -> Tensor:
        scale, shift = self.film[level](latent)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift
