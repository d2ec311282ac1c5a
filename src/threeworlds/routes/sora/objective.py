"""What the generator is trained on: flow matching, with noise per frame as the mask of the task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threeworlds.flow.path import data_to_velocity, logit_normal, sample_path
from threeworlds.routes.sora.generator import Generator
from threeworlds.types import Batch

SHARED, PREFIX = 0.35, 0.5  # parts of a batch; the rest has a level of its own for every frame
LONGEST_PREFIX = 8


class FlowObjective(nn.Module):
    """``loss, metrics = objective(batch)`` on cached latents and captions."""

    def __init__(self, generator: Generator, captioned: bool) -> None:
        super().__init__()
        self.generator, self.captioned = generator, captioned

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        x_1 = batch.cached["latent"]
        config = self.generator.config
        time = frame_times(x_1.shape[0], x_1.shape[1], config.time_mean, config.time_std).to(x_1.device)
        path = sample_path(torch.randn_like(x_1), x_1, time[..., None, None, None])
        estimate = self.generator(path.x_t, time, self.generator.words(self._captions(batch, len(x_1))))
        velocity = data_to_velocity(estimate, path.x_t, path.time)
        target = data_to_velocity(x_1, path.x_t, path.time)  # the path's velocity, but for the last 5 % of time
        error, noised = (velocity - target).square().mean((2, 3, 4)), (time < 1).float()
        loss = (noised * error).sum() / noised.sum()
        return loss, {"latent_mse": ((estimate - x_1).square().mean((2, 3, 4)) * noised).sum().detach() / noised.sum()}

    def _captions(self, batch: Batch, size: int) -> tuple[str, ...]:
        if not self.captioned or batch.caption is None:
            return ("",) * size
        dropped = (torch.rand(size) < self.generator.config.caption_dropout).tolist()
        return tuple("" if drop else text for drop, text in zip(dropped, batch.caption, strict=True))


def frame_times(batch: int, frames: int, mean: float, std: float) -> Tensor:
    """Noise levels [b, t]: one for the clip; or a clean prefix and one for the rest; or one for each frame."""
    time = logit_normal((batch, frames), mean, std)
    task = torch.rand(batch)
    shared = time[:, :1].expand(-1, frames)
    time = torch.where((task < SHARED + PREFIX)[:, None], shared, time)
    prefix = torch.randint(1, min(LONGEST_PREFIX, frames - 1) + 1, (batch,))
    given = (torch.arange(frames) < prefix[:, None]) & ((task >= SHARED) & (task < SHARED + PREFIX))[:, None]
    return torch.where(given, torch.ones(()), time)
