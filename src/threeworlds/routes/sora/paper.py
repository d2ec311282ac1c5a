"""The generator at published sizes, to be priced: PhyWorld's diffusion transformers and Open-Sora 2.0.

The blocks are this route's own at the published width, depth, heads and token count, so the parameters differ from the
published ones: adaLN has a map in every block here (PhyWorld's count suggests a shared one), and words are read by
cross-attention (Open-Sora 2.0 has two streams). The compression network and a pretrained text encoder are not priced.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from threeworlds.routes.sora.generator import Generator
from threeworlds.routes.sora.recipes import GeneratorConfig
from threeworlds.types import PaperSize

Latents = tuple[int, int, int]  # frames, height, width of the latent clip


def _build(config: GeneratorConfig, channels: int, latents: Latents) -> nn.Module:
    model = Generator(config, channels, latents[1:])
    model.register_module("text", None)  # words come embedded
    return model


def _loss(model: nn.Module, channels: int, latents: Latents, words: int) -> Tensor:
    """Squared error on one clip of zeros; its value means nothing, its cost is a training step's."""
    assert isinstance(model, Generator)
    clip = torch.zeros(1, latents[0], channels, *latents[1:])
    said = torch.zeros(1, words, model.config.text_width), torch.ones(1, words, dtype=torch.bool)
    return (model(clip, torch.zeros(1, latents[0]), said) - clip).square().mean()


def _size(
    config: GeneratorConfig,
    channels: int,
    latents: Latents,
    *,
    words: int,
    clips: float,
    parameters: float,
    source: str,
) -> PaperSize:
    return PaperSize(
        build=partial(_build, config, channels, latents),
        loss=partial(_loss, channels=channels, latents=latents, words=words),
        clips=clips,
        parameters=parameters,
        source=source,
    )


def _phyworld(layers: int, width: int, heads: int, parameters: float) -> PaperSize:
    """32 frames of 128 pixels as 8 latent frames of 16 x 16, 64 tokens each; 100,000 steps of 256 clips, no words."""
    return _size(
        GeneratorConfig(width=width, layers=layers, heads=heads, frames=8, text_width=64),
        4,
        (8, 16, 16),
        words=1,
        clips=25.6e6,
        parameters=parameters,
        source="PhyWorld, arXiv 2411.02385",
    )


PAPER: Mapping[str, PaperSize] = {
    "dit-s": _phyworld(12, 384, 6, 22.5e6),
    "dit-b": _phyworld(12, 768, 12, 89.5e6),
    "dit-l": _phyworld(24, 1024, 16, 310e6),
    "dit-xl": _phyworld(28, 1152, 16, 456e6),
    # 129 frames of 256 pixels through a 4 x 8 x 8 autoencoder of 16 channels; 57 blocks; 512 embedded words of T5-XXL.
    "open-sora-2": _size(
        GeneratorConfig(width=3072, layers=57, heads=24, frames=33, text_width=4096),
        16,
        (33, 32, 32),
        words=512,
        clips=70e6,
        parameters=11e9,
        source="Open-Sora 2.0, arXiv 2503.09642, first stage",
    ),
}
