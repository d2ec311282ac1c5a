"""This route at published sizes, to be priced: I-JEPA, V-JEPA 2-AC and LeWM.

The blocks are this project's own at the published width, depth, heads and token count. ViT-g has an MLP ratio of 4
here (4.36 in print), and LeWM's predictor, whose attention is wider than its state, is a plain one of width 384.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.attention import grid_positions
from threeworlds.routes.jepa.masked import MaskedObjective, MaskPredictor, Tower, VideoTransformer
from threeworlds.routes.jepa.recipes import MaskedConfig
from threeworlds.types import PaperSize

HUGE = MaskedConfig(
    width=1280, layers=32, heads=16, patch=14, frames=1, masks="blocks", predictor_width=384, predictor_layers=12
)
GIANT = MaskedConfig(width=1408, layers=40, heads=16, patch=16, frames=8)
TINY = MaskedConfig(width=192, layers=12, heads=3, patch=14, frames=4)


class MaskedImages(nn.Module):
    """I-JEPA: a context of the places that four blocks leave free, here 144 of 256; the target sees all."""

    SEEN = 144

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.predictor = VideoTransformer(HUGE, 224, 224), MaskPredictor(HUGE)
        self.target = MaskedObjective(HUGE, self.encoder, self.predictor).target

    def forward(self) -> Tensor:
        video, places = torch.zeros(1, 1, 3, 224, 224), self.encoder.places(1)
        kept = torch.arange(self.SEEN)
        said = self.predictor(self.encoder(video, kept), places[: self.SEEN], places[self.SEEN :])
        with torch.no_grad():
            aim = self.target(video)[:, self.SEEN :]
        return F.smooth_l1_loss(said, aim)


class ActionConditioned(nn.Module):
    """V-JEPA 2-AC: a frozen ViT-g, and a predictor of 300 M over its tokens, an action and a pose a frame."""

    FRAMES, TOKENS = 8, 256

    def __init__(self) -> None:
        super().__init__()
        self.encoder = VideoTransformer(GIANT, 256, 256).requires_grad_(False)
        self.read_in, self.tower, self.read_out = nn.Linear(1408, 1024), Tower(1024, 16, 24), nn.Linear(1024, 1408)

    def forward(self) -> Tensor:
        with torch.no_grad():
            known = self.encoder(torch.zeros(1, self.FRAMES, 3, 256, 256))
        told = torch.zeros(1, 2 * self.FRAMES, 1024)
        places = torch.cat([self.encoder.places(self.FRAMES), grid_positions(2 * self.FRAMES, 1, 1)])
        said = self.read_out(self.tower(torch.cat([self.read_in(known), told], dim=1), places))
        return F.l1_loss(said[:, : known.shape[1]], known)


class LatentWorld(nn.Module):
    """LeWM: ViT-Tiny and a six-layer predictor, trained together on windows of four frames."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = VideoTransformer(TINY, 224, 224)
        self.projector = nn.Sequential(nn.Linear(192, 2048), nn.GELU(), nn.Linear(2048, 192))
        self.read_in, self.tower, self.read_out = nn.Linear(192, 384), Tower(384, 6, 6), nn.Linear(384, 192)

    def forward(self) -> Tensor:
        frames = self.encoder(torch.zeros(4, 1, 3, 224, 224)).mean(1)[None]  # each frame alone
        z = self.projector(frames)
        return F.mse_loss(self.read_out(self.tower(self.read_in(z[:, :-1]), grid_positions(3, 1, 1))), z[:, 1:])


def _loss(model: nn.Module) -> Tensor:
    loss: Tensor = model()
    return loss


PAPER: Mapping[str, PaperSize] = {
    "i-jepa-h14": PaperSize(
        build=MaskedImages,
        loss=_loss,
        clips=300 * 1.281e6,  # images
        parameters=2 * 632e6 + 22e6,  # encoder, its slow copy, predictor
        source="I-JEPA, arXiv 2301.08243: 300 epochs of ImageNet-1k at 224 pixels",
    ),
    "v-jepa-2-ac": PaperSize(
        build=ActionConditioned,
        loss=_loss,
        clips=315 * 300 * 8 * 32,  # epochs, steps, clips a device, devices
        parameters=1.0e9 + 0.3e9,
        source="V-JEPA 2-AC, arXiv 2506.09985 and its released configuration: 8 frames of 256 pixels; encoder frozen",
    ),
    "lewm-tiny": PaperSize(
        build=LatentWorld,
        loss=_loss,
        clips=10 * 0.9 * 20_000 * 180,  # epochs, training part, episodes, windows of one
        parameters=18e6,
        source="LeWM, arXiv 2603.19312: ten epochs of 20,000 PushT episodes at 224 pixels",
    ),
}
