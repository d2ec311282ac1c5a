"""The video tokenizer: a convolutional autoencoder whose bottleneck is finite scalar quantization.

Legend: b batch, t frames, n tokens a frame, y x grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threeworlds.nn.conv import Decoder, Encoder, check_size
from threeworlds.nn.losses import moving_weight
from threeworlds.nn.quantize import FSQ
from threeworlds.routes.genie.recipes import TokenizerConfig
from threeworlds.types import Batch


class Tokenizer(nn.Module):
    """Each frame by itself, so that a frame's tokens can be stored once and a single picture can be a prompt."""

    def __init__(self, config: TokenizerConfig, height: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.grid = check_size(height, width)
        self.quantizer = FSQ(config.levels)
        self.encoder = Encoder(config.channels, len(config.levels))
        self.decoder = Decoder(config.channels, len(config.levels))

    @property
    def size(self) -> int:
        """Number of different tokens."""
        return self.quantizer.size

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        frames = batch.video.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        code = self.quantizer(self.encoder(frames).permute(0, 2, 3, 1))
        error = (self.decoder(code.permute(0, 3, 1, 2)) - frames).square()
        loss = (moving_weight(batch.video, self.config.moving).flatten(0, 1) * error).mean()
        used = self.quantizer.index(code.detach()).unique().numel() / self.size
        return loss, {"mse": error.mean().detach(), "codes_used": torch.tensor(used)}

    def encode(self, video: Tensor) -> Tensor:
        """video [b, t, 3, h, w] -> tokens int64 [b, t, n]."""
        frames = video.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        code = self.quantizer(self.encoder(frames).permute(0, 2, 3, 1))
        return self.quantizer.index(code).flatten(1).unflatten(0, video.shape[:2])

    def decode(self, tokens: Tensor) -> Tensor:
        """tokens [b, t, n] -> video [b, t, 3, h, w] in [-1, 1]."""
        code = self.codes(tokens).flatten(0, 1).unflatten(1, self.grid)
        video = self.decoder(code.permute(0, 3, 1, 2))
        return video.clamp(-1, 1).contiguous().unflatten(0, tokens.shape[:2])

    def codes(self, tokens: Tensor) -> Tensor:
        """tokens [..., n] -> points of the quantizer's grid [..., n, channels] in [-1, 1]."""
        return self.quantizer.code(tokens)
