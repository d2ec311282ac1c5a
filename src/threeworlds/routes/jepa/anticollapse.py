"""What keeps the state from collapsing: named choices behind one contract.

Prediction alone is best served by a state that never changes. A guard adds a penalty to the prediction error, or
changes what is aimed at, so that this no longer pays. Legend: b batch, t frames, d state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

from threeworlds.nn.losses import moving_weight
from threeworlds.nn.regularize import covariance, sigreg, variance_hinge
from threeworlds.routes.jepa.parts import Encoder, StateDecoder
from threeworlds.routes.jepa.recipes import DecoderConfig, WorldModelConfig


class Guard(nn.Module):
    """No guard, and the contract of all: ``penalty`` is added to the loss, ``targets`` is what predictions aim at."""

    def __init__(self, config: WorldModelConfig, encoder: Encoder, height: int, width: int) -> None:
        super().__init__()
        self.config = config

    def penalty(self, z: Tensor, video: Tensor) -> Tensor:
        """States [b, t, d] of the frames [b, t, 3, h, w] -> a number to be weighted and added to the loss."""
        return z.new_zeros(())

    def targets(self, z: Tensor, video: Tensor) -> Tensor:
        """What predictions should have said [b, t, d], given all frames, those before the first state included."""
        return z


class Sigreg(Guard):
    """The state is an isotropic Gaussian over the batch, whatever direction it is seen from (arXiv 2511.08544)."""

    def penalty(self, z: Tensor, video: Tensor) -> Tensor:
        return sigreg(z.transpose(0, 1), self.config.directions)


class Vicreg(Guard):
    """Every feature varies, and no two vary together (VICReg, arXiv 2105.04906, with its ratio of 25 to 1)."""

    COVARIANCE = 1 / 25

    def penalty(self, z: Tensor, video: Tensor) -> Tensor:
        states = z.transpose(0, 1)
        return variance_hinge(states) + self.COVARIANCE * covariance(states)


class Pldm(Guard):
    """VICReg and slowness (PLDM, arXiv 2502.14819), with the ratios of eb_jepa's two-room recipe: 16, 8 and 12."""

    COVARIANCE, SLOWNESS = 8 / 16, 12 / 16

    def penalty(self, z: Tensor, video: Tensor) -> Tensor:
        states = z.transpose(0, 1)
        slow = (z[:, 1:] - z[:, :-1]).square().mean()
        return variance_hinge(states) + self.COVARIANCE * covariance(states) + self.SLOWNESS * slow


class Ema(Guard):
    """Predictions aim at an encoder that follows slowly and learns nothing (BYOL, I-JEPA arXiv 2301.08243)."""

    DECAY = 0.99

    def __init__(self, config: WorldModelConfig, encoder: Encoder, height: int, width: int) -> None:
        super().__init__(config, encoder, height, width)
        self.target = deepcopy(encoder).requires_grad_(False)
        self.live = (encoder,)  # a tuple, so that it is not a part of this module as well

    @torch.no_grad()
    def targets(self, z: Tensor, video: Tensor) -> Tensor:
        if self.training:
            follow(self.target, self.live[0], self.DECAY)
        aimed: Tensor = self.target(video)[:, video.shape[1] - z.shape[1] :]
        return aimed


@torch.no_grad()
def follow(slow: nn.Module, live: nn.Module, decay: float) -> None:
    """Move the weights of ``slow`` a part 1 - decay of the way to those of ``live``; statistics are copied."""
    for weight, followed in zip(slow.parameters(), live.parameters(), strict=True):
        weight.lerp_(followed, 1 - decay)
    for statistic, current in zip(slow.buffers(), live.buffers(), strict=True):
        statistic.copy_(current)


class Reconstruction(Guard):
    """The frame can be drawn from its state: pixels are back in the loss, and nothing that is seen may be lost."""

    def __init__(self, config: WorldModelConfig, encoder: Encoder, height: int, width: int) -> None:
        super().__init__(config, encoder, height, width)
        self.drawn = DecoderConfig(channels=config.channels)
        self.decoder = StateDecoder(self.drawn, config.state, height, width)

    def penalty(self, z: Tensor, video: Tensor) -> Tensor:
        error = (self.decoder(z) - video).square()
        return (moving_weight(video, self.drawn.moving) * error).mean()


GUARDS: Mapping[str, Callable[[WorldModelConfig, Encoder, int, int], Guard]] = {
    "sigreg": Sigreg,
    "vicreg": Vicreg,
    "pldm": Pldm,
    "ema": Ema,
    "reconstruction": Reconstruction,
    "none": Guard,
}
