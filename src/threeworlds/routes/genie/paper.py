"""The route at published sizes, to be priced: Genie's case study on CoinRun, its 2.7B, and the final model of 10.7B.

A size is three parts, which see different numbers of clips: tokenizer, latent action model, dynamics. The blocks are
this route's own at the published width, depth, heads, patch and codebook (arXiv 2402.15391, tables 5, 7, 10, 12 and 15
to 17, section 3). The inner width of the MLPs is not in print. The usual four times the width leads to about twice the
published counts; half of the width, which has the parameters of a single map (Jafar, a public reproduction, has one),
leads near them. For CoinRun no counts are published.

Frames of 160 x 90 pixels are filled up to whole patches: 92 rows for the tokenizer, which makes the 920 tokens a frame
that 942B tokens in 125,000 steps of 512 clips come to, and 96 for the latent actions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.routes.genie.dynamics import MaskedDynamics
from threeworlds.routes.genie.latent_action import VectorQuantizedAction
from threeworlds.routes.genie.recipes import DynamicsConfig, LatentActionConfig, TokenizerConfig, TransformerConfig
from threeworlds.routes.genie.tokenizer import SpaceTimeTokenizer
from threeworlds.routes.genie.transformer import SpaceTimeNet
from threeworlds.types import PaperSize

FRAMES, TOKENS, CHANNELS = 16, 1024, 32  # of a clip, of the codebook, of a code
PATCH, COARSE = 4, 16  # pixels a side of the tokenizer's patches, and of the latent action model's
MLP = 0.5


Size = tuple[int, int]  # height and width of a frame
Part = tuple[Callable[[], nn.Module], Callable[[nn.Module], Tensor]]  # how to build it, and its loss on one clip


def network(layers: int, width: int, heads: int, patch: int) -> TransformerConfig:
    return TransformerConfig(width=width, layers=layers, heads=heads, mlp=MLP, patch=patch)


# ------------------------------------------------------------------------------------------ parts


def tokenizer(size: Size, encoder: TransformerConfig, decoder: TransformerConfig) -> Part:
    def build() -> nn.Module:
        config = TokenizerConfig(transformer=encoder, codes=TOKENS, code_width=CHANNELS, frames=FRAMES)
        model = SpaceTimeTokenizer(config, *size)
        model.decoder = SpaceTimeNet(decoder, CHANNELS, 3 * PATCH**2, model.grid)
        return model.eval()  # a codebook learns from numbers, and there are none

    def loss(model: nn.Module) -> Tensor:
        assert isinstance(model, SpaceTimeTokenizer)
        video = torch.zeros(1, FRAMES, 3, *size)
        made, _, commitment = model._through(video)
        return (made - video).square().mean() + commitment

    return build, loss


def latent_actions(size: Size, transformer: TransformerConfig, codes: int) -> Part:
    def build() -> nn.Module:
        config = LatentActionConfig(
            transformer=transformer, codes=codes, latent=CHANNELS, frames=FRAMES, pixels=min(size)
        )
        return VectorQuantizedAction(config, *size).eval()

    def loss(model: nn.Module) -> Tensor:
        assert isinstance(model, VectorQuantizedAction)
        video = torch.zeros(1, FRAMES, 3, *size)
        latent, commitment, _ = model._draw(video)
        return model._error(video, latent).mean() + commitment

    return build, loss


def dynamics(size: Size, layers: int, width: int, heads: int, head_width: int, codes: int) -> Part:
    config = DynamicsConfig(width=width, layers=layers, heads=heads, head_width=head_width, mlp=MLP, frames=FRAMES)
    grid = size[0] // PATCH, size[1] // PATCH

    def build() -> nn.Module:
        return MaskedDynamics(config, torch.zeros(TOKENS, CHANNELS), codes, grid, learnt=True)

    def loss(model: nn.Module) -> Tensor:
        """Of every token: which of them are hidden is drawn, and all are computed."""
        assert isinstance(model, MaskedDynamics)
        tokens = torch.zeros(1, FRAMES, grid[0] * grid[1], dtype=torch.long)
        logits, _ = model.logits(tokens, tokens[..., 0])
        return F.cross_entropy(logits.flatten(0, 2), tokens.flatten())

    return build, loss


# ------------------------------------------------------------------------------------------ sizes


def _priced(part: Part, clips: float, parameters: float | None, source: str) -> PaperSize:
    build, loss = part
    told = f"Genie, arXiv 2402.15391, {source}"
    return PaperSize(build=build, loss=loss, clips=clips, parameters=parameters, source=told)


SQUARE, WIDE, COARSE_WIDE = (64, 64), (92, 160), (96, 160)
COINRUN = "appendix F: 64 pixels; tokenizer 300,000 steps of 48 clips, the others 200,000 of 36"
SCALED = "tables 6 and 10: tokenizer 300,000 steps of 384 clips, the others 200,000 of 256"
FINAL = "tables 6 and 12: tokenizer 300,000 steps of 384 clips, the others 125,000 of 512"
TOKENIZER = tokenizer(WIDE, network(12, 512, 8, PATCH), network(20, 1024, 16, PATCH))
ACTIONS = latent_actions(COARSE_WIDE, network(20, 1024, 16, COARSE), 8)
SMALL = network(8, 512, 8, PATCH)

PAPER: Mapping[str, PaperSize] = {
    "coinrun/tokenizer": _priced(tokenizer(SQUARE, SMALL, SMALL), 300e3 * 48, None, COINRUN),
    "coinrun/actions": _priced(latent_actions(SQUARE, network(8, 512, 8, COARSE), 6), 200e3 * 36, None, COINRUN),
    "coinrun/dynamics": _priced(dynamics(SQUARE, 12, 512, 8, 64, 6), 200e3 * 36, None, COINRUN),
    "2.7b/tokenizer": _priced(TOKENIZER, 300e3 * 384, 200e6, SCALED),
    "2.7b/actions": _priced(ACTIONS, 200e3 * 256, 300e6, SCALED),
    "2.7b/dynamics": _priced(dynamics(WIDE, 36, 3072, 22, 128, 8), 200e3 * 256, 2.7e9, SCALED),
    "10.7b/tokenizer": _priced(TOKENIZER, 300e3 * 384, 200e6, FINAL),
    "10.7b/actions": _priced(ACTIONS, 125e3 * 512, 300e6, FINAL),
    "10.7b/dynamics": _priced(dynamics(WIDE, 48, 5120, 36, 128, 8), 125e3 * 512, 10.1e9, FINAL),
}
