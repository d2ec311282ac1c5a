"""What the generator is trained on: flow matching, with noise per frame as the mask of the task."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from threeworlds.flow.path import PATHS, logit_normal
from threeworlds.routes.sora.buckets import cropped
from threeworlds.routes.sora.generator import Generator
from threeworlds.routes.sora.recipes import GeneratorConfig
from threeworlds.types import EMPTY, Batch

TASKS = ("words", "picture", "prefix", "suffix", "both", "scattered", "levels")  # what is clean; "levels": one a frame
LEVELS = (0.2, 0.5)  # times on the path at which surprise is measured: near the noise, so that what is coarse counts
REMEMBERED = 3  # frames that surprise looks back


class FlowObjective(nn.Module):
    """``loss, metrics = objective(batch)`` on cached latents, of one size a batch, and captions.

    ``grids``: latent grid (y, x) by cached name, of sizes that are cropped from what the cache has.
    """

    def __init__(self, generator: Generator, captioned: bool, grids: Mapping[str, tuple[int, int]] = EMPTY) -> None:
        super().__init__()
        self.generator, self.captioned, self.grids = generator, captioned, grids

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        config, (x_1, words) = self.generator.config, self._read(batch)
        loss, error = self._match(x_1, frame_times(x_1.shape[0], x_1.shape[1], config).to(x_1.device), words)
        metrics = {"latent_mse": error}
        if config.stills:
            chosen = torch.randperm(x_1.shape[1], device=x_1.device)[: config.stills]
            of_still, metrics["still_mse"] = self._match_pictures(x_1[:, chosen], words)
            loss = loss + config.stills_weight * of_still
        return loss, metrics

    def _read(self, batch: Batch) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Latents [b, t, c, y, x] and the words of each clip."""
        ((name, x_1),) = batch.cached.items()
        x_1 = cropped(x_1, self.grids[name]) if name in self.grids else x_1
        return x_1, self.generator.words(self._captions(batch, len(x_1)))

    def _match_pictures(self, x_1: Tensor, words: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """As ``_match``, of each frame as a clip of its own."""
        config, stills = self.generator.config, x_1.flatten(0, 1).unsqueeze(1)
        time = logit_normal((len(stills), 1), config.time_mean, config.time_std).to(x_1.device)
        return self._match(stills, time, repeated(words, x_1.shape[1]))

    def _match(self, x_1: Tensor, time: Tensor, words: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Error of the velocity over the frames below time 1, and the mean squared error of the estimate there."""
        config, at = self.generator.config, time[..., None, None, None]
        path = PATHS[config.objective]
        x_t = torch.where(at == 1, x_1, path.point(torch.randn_like(x_1), x_1, at))
        if config.given_noise:
            x_t = x_t + config.given_noise * (at == 1) * torch.randn_like(x_1)
        estimate = self.generator(x_t, time, words)
        error, noised = path.weighted(estimate - x_1, at).square().mean((2, 3, 4)), (time < 1).float()
        mse = ((estimate - x_1).square().mean((2, 3, 4)) * noised).sum().detach() / noised.sum()
        return (noised * error).sum() / noised.sum(), mse

    def _captions(self, batch: Batch, size: int) -> tuple[str, ...]:
        if not self.captioned or batch.caption is None:
            return ("",) * size
        dropped = (torch.rand(size) < self.generator.config.caption_dropout).tolist()
        return tuple("" if drop else text for drop, text in zip(dropped, batch.caption, strict=True))


class PictureObjective(FlowObjective):
    """Every frame as a picture of its own, under the clip's words: what there is, before how it moves."""

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss, error = self._match_pictures(*self._read(batch))
        return loss, {"still_mse": error}


@torch.no_grad()
def flow_surprise(generator: Generator, latent: Tensor) -> Tensor:
    """Flow-matching loss of each frame, alone in noise after the frames before it: [b, t, c, y, x] -> [b, t].

    NaN at the first frame. Levels and noise are the same for every frame and clip, so that only the frames differ.
    """
    draws = torch.Generator().manual_seed(0)
    noise = torch.randn(latent.shape[2:], generator=draws).to(latent)
    words, losses = generator.words(("",) * len(latent)), [latent.new_full((len(latent),), torch.nan)]
    for time in range(1, latent.shape[1]):
        past, frame = latent[:, max(0, time - REMEMBERED) : time], latent[:, time]
        known = latent.new_ones(past.shape[:2])
        loss = torch.zeros(())
        for level in LEVELS:
            noisy = (1 - level) * noise + level * frame
            levels = torch.cat([known, known.new_full((len(known), 1), level)], dim=1)
            estimate = generator(torch.cat([past, noisy[:, None]], dim=1), levels, words)[:, -1]
            loss = loss + ((estimate - frame) / (1 - level)).square().mean((1, 2, 3)) / len(LEVELS)
        losses.append(loss)
    return torch.stack(losses, dim=1)


def repeated(words: tuple[Tensor, Tensor], times: int) -> tuple[Tensor, Tensor]:
    """Words of clips [b, s, ...] for ``times`` pictures of each."""
    embedding, mask = (part.repeat_interleave(times, dim=0) for part in words)
    return embedding, mask


def frame_times(batch: int, frames: int, config: GeneratorConfig) -> Tensor:
    """Noise levels [b, t]: one for all frames of a clip that are not given, or one for each frame."""
    levels = logit_normal((batch, frames), config.time_mean, config.time_std)
    if config.from_noise:
        levels = levels * (torch.rand(batch, 1) >= config.from_noise)
    task = torch.multinomial(torch.tensor(config.tasks), batch, replacement=True)
    levels = torch.where((task == TASKS.index("levels"))[:, None], levels, levels[:, :1])
    return torch.where(clean_frames(task, frames), 1.0, levels)


def clean_frames(task: Tensor, frames: int) -> Tensor:
    """Which frames are given, bool [b, t], for tasks [b] (indices into TASKS): at most half from either end."""
    steps = torch.arange(frames)
    head, tail = torch.randint(1, frames // 2 + 1, (2, len(task), 1))
    clean = {
        "picture": (steps < 1).expand(len(task), -1),
        "prefix": steps < head,
        "suffix": steps >= frames - tail,
        "both": (steps < head) | (steps >= frames - tail.clamp_max(frames - 1 - head)),
        "scattered": torch.rand(len(task), frames) < torch.rand(len(task), 1),
    }
    clean["scattered"][:, 0] &= ~clean["scattered"].all(1)  # something is left to make
    given = torch.zeros(len(task), frames, dtype=torch.bool)
    for name, mask in clean.items():
        given |= mask & (task == TASKS.index(name))[:, None]
    return given
