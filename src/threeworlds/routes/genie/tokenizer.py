"""The video tokenizer: frames <-> tokens. Two kinds.

conv: a convolutional autoencoder whose bottleneck is finite scalar quantization, each frame by itself.
spacetime: ST-ViViT as Genie published it (arXiv 2402.15391, section 2.1): transformers that also see the frames before,
and a learnt codebook.

Legend: b batch, t frames, n tokens a frame, y x grid.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch
from torch import Tensor, nn

from threeworlds.nn.conv import Decoder, Encoder, check_size
from threeworlds.nn.losses import moving_weight
from threeworlds.nn.quantize import FSQ, VQ, relative_entropy
from threeworlds.routes.genie.recipes import TokenizerConfig
from threeworlds.routes.genie.transformer import SpaceTimeNet, from_patches, patch_grid, to_patches
from threeworlds.types import Batch


class Tokenizer(nn.Module):
    """What both kinds share: the loss, and how much of the codebook a batch uses."""

    grid: tuple[int, int]
    size: int  # number of different tokens
    learnt: bool  # the codebook is
    memory: int  # frames before a frame that its tokens, and its picture, depend on

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        made, tokens, price = self._through(batch.video)
        error = (made - batch.video).square()
        loss = (moving_weight(batch.video, self.config.moving) * error).mean() + price
        return loss, {"mse": error.mean().detach(), **codebook_use(tokens, self.size)}

    def encode(self, video: Tensor) -> Tensor:
        """video [b, t, 3, h, w] -> tokens int64 [b, t, n]."""
        raise NotImplementedError

    def decode(self, tokens: Tensor) -> Tensor:
        """tokens [b, t, n] -> video [b, t, 3, h, w] in [-1, 1]."""
        raise NotImplementedError

    def codes(self, tokens: Tensor) -> Tensor:
        """tokens [..., n] -> the points they stand for [..., n, channels], coordinates in [-1, 1]."""
        raise NotImplementedError

    def _through(self, video: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """video -> its reconstruction, its tokens, and what the codebook adds to the loss."""
        raise NotImplementedError


class ConvTokenizer(Tokenizer):
    """Each frame by itself, so that a frame's tokens can be stored once and a single picture can be a prompt.

    An untrained encoder gives nearly the same for every place, so that all of them round to one code. Large bodies lead
    out of that; where the only thing that moves is small, codes are spread over the levels from the start.
    """

    def __init__(self, config: TokenizerConfig, height: int, width: int) -> None:
        super().__init__(config)
        self.grid, self.learnt, self.memory = check_size(height, width), False, 0
        self.quantizer = FSQ(config.levels)
        self.size = self.quantizer.size
        self.encoder = Encoder(config.channels, len(config.levels))
        self.spread = nn.BatchNorm2d(len(config.levels), affine=False) if config.spread else nn.Identity()
        self.decoder = Decoder(config.channels, len(config.levels))

    def encode(self, video: Tensor) -> Tensor:
        return self.quantizer.index(self._encode(video)).flatten(1).unflatten(0, video.shape[:2])

    def decode(self, tokens: Tensor) -> Tensor:
        code = self.codes(tokens).flatten(0, 1).unflatten(1, self.grid)
        return self._decode(code).clamp(-1, 1).contiguous().unflatten(0, tokens.shape[:2])

    def codes(self, tokens: Tensor) -> Tensor:
        return self.quantizer.code(tokens)

    def _through(self, video: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code = self._encode(video)
        tokens = self.quantizer.index(code.detach())
        return self._decode(code).unflatten(0, video.shape[:2]), tokens, video.new_zeros(())

    def _encode(self, video: Tensor) -> Tensor:
        """[b, t, 3, h, w] -> quantized [b t, y, x, channels]."""
        frames = video.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        code: Tensor = self.quantizer(self.spread(self.encoder(frames)).permute(0, 2, 3, 1))
        return code

    def _decode(self, code: Tensor) -> Tensor:
        frames: Tensor = self.decoder(code.permute(0, 3, 1, 2))
        return frames


class SpaceTimeTokenizer(Tokenizer):
    """A token says what its patch is given the frames before: causal over time on both sides of the codebook.

    A frame looks back as far as it did in training, never farther, so long clips and roll-outs are treated alike.
    """

    def __init__(self, config: TokenizerConfig, height: int, width: int) -> None:
        super().__init__(config)
        self.side, self.size = config.transformer.patch, config.codes
        self.grid, self.learnt, self.memory = patch_grid(height, width, self.side), True, config.frames - 1
        pixels = 3 * self.side**2
        self.encoder = SpaceTimeNet(config.transformer, pixels, config.code_width, self.grid)
        self.quantizer = VQ(config.codes, config.code_width)
        self.decoder = SpaceTimeNet(config.transformer, config.code_width, pixels, self.grid)

    def encode(self, video: Tensor) -> Tensor:
        return self.quantizer.index(self._encode(video))

    def decode(self, tokens: Tensor) -> Tensor:
        return self._decode(self.codes(tokens)).clamp(-1, 1)

    def codes(self, tokens: Tensor) -> Tensor:
        return self.quantizer.code(tokens)

    def _through(self, video: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code, tokens, commitment = self.quantizer(self._encode(video))
        return self._decode(code), tokens, self.config.commitment * commitment

    def _encode(self, video: Tensor) -> Tensor:
        return in_windows(self.encoder, to_patches(video, self.side), self.config.frames)

    def _decode(self, code: Tensor) -> Tensor:
        patches = in_windows(self.decoder, code, self.config.frames)
        return from_patches(patches, self.side, self.grid)


def in_windows(function: Callable[[Tensor], Tensor], x: Tensor, window: int) -> Tensor:
    """``function`` of [b, t, ...], causal over t, where each frame sees at most ``window`` - 1 frames before it."""
    if x.shape[1] <= window:
        return function(x)
    later = x.unfold(1, window, 1)[:, 1:].movedim(-1, 2)  # [b, t - window, window, ...]
    last = function(later.flatten(0, 1))[:, -1].unflatten(0, later.shape[:2])
    return torch.cat([function(x[:, :window]), last], dim=1)


def codebook_use(tokens: Tensor, size: int) -> dict[str, Tensor]:
    """How much of the codebook a batch uses: the part of the codes seen, and exp(entropy) as a part of them all."""
    share = tokens.flatten().bincount(minlength=size).float() / tokens.numel()
    perplexity = (relative_entropy(share) * log(size)).exp()
    return {"codes_used": (share > 0).float().mean(), "perplexity": perplexity / size}


def build_tokenizer(config: TokenizerConfig, height: int, width: int) -> Tokenizer:
    """The kind that the config names."""
    kinds = {"conv": ConvTokenizer, "spacetime": SpaceTimeTokenizer}
    return kinds[config.kind](config, height, width)
