"""Masked prediction in latent space, for pictures or video without actions: I-JEPA and V-JEPA.

A vision transformer sees a part of the clip. A narrow predictor says, for each hidden place, what a slowly following
copy of the transformer, which sees all, makes of it. Sources: I-JEPA, arXiv 2301.08243; V-JEPA, arXiv 2404.08471.
Legend: b batch, t frames, n tokens (frame, row, column; last fastest), k tokens seen, m tokens hidden, d width.
"""

from __future__ import annotations

from copy import deepcopy
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.attention import Attention, FeedForward, Rope, grid_positions, rope_table
from threeworlds.nn.regularize import effective_rank
from threeworlds.routes.jepa.anticollapse import follow
from threeworlds.routes.jepa.recipes import MaskedConfig
from threeworlds.routes.jepa.requests import check_frames
from threeworlds.types import Batch, ClipSpec, Optim, Stage, State

BLOCKS = (4, (0.15, 0.2))  # I-JEPA: how many blocks are hidden, and the part of the frame each takes
TUBES = ((8, (0.15, 0.15)), (2, (0.7, 0.7)))  # V-JEPA: many small ones, or a few large ones, over all frames
ASPECT = (0.75, 1.5)  # height by width of a block


class Block(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention, self.mlp = Attention(width, heads), FeedForward(width)

    def forward(self, x: Tensor, rope: Rope) -> Tensor:
        x = x + self.attention(self.norms[0](x), rope=rope)
        mixed: Tensor = x + self.mlp(self.norms[1](x))
        return mixed


class Tower(nn.Module):
    """Blocks over tokens that know their places [n, 3] by rotary angles, and a norm."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.head_width = width // heads
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        rope = rope_table(places, self.head_width)
        for block in self.blocks:
            x = block(x, rope)
        normed: Tensor = self.norm(x)
        return normed


class VideoTransformer(nn.Module):
    """Video [b, t, 3, h, w] -> tokens [b, n, d], or those of the kept places alone [b, k, d]."""

    def __init__(self, config: MaskedConfig, height: int, width: int) -> None:
        super().__init__()
        if height % config.patch or width % config.patch:
            raise ValueError(f"frames of {height} x {width} pixels do not divide into patches of {config.patch}")
        self.patch, self.grid = config.patch, (height // config.patch, width // config.patch)
        self.read_in = nn.Linear(3 * config.patch**2, config.width)
        self.tower = Tower(config.width, config.heads, config.layers)

    def places(self, frames: int) -> Tensor:
        """[n, 3]: frame, row, column of each token."""
        return grid_positions(frames, *self.grid).to(self.read_in.weight.device)

    def forward(self, video: Tensor, kept: Tensor | None = None) -> Tensor:
        """``kept`` int [k]: numbers of the tokens that are seen."""
        tokens = F.pixel_unshuffle(video, self.patch).flatten(3).transpose(2, 3).flatten(1, 2)
        places = self.places(video.shape[1])
        if kept is not None:
            tokens, places = tokens[:, kept], places[kept]
        seen: Tensor = self.tower(self.read_in(tokens), places)
        return seen


class MaskPredictor(nn.Module):
    """Tokens seen [b, k, d] and the places of all -> what stands at the hidden places [b, m, d]."""

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__()
        width = config.predictor_width
        self.read_in, self.read_out = nn.Linear(config.width, width), nn.Linear(width, config.width)
        self.hidden = nn.Parameter(0.02 * torch.randn(width))
        self.tower = Tower(width, config.heads, config.predictor_layers)

    def forward(self, seen: Tensor, seen_at: Tensor, hidden_at: Tensor) -> Tensor:
        asked = self.hidden.expand(len(seen), len(hidden_at), -1)
        x = torch.cat([self.read_in(seen), asked], dim=1)
        x = self.tower(x, torch.cat([seen_at, hidden_at]))[:, seen.shape[1] :]
        said: Tensor = self.read_out(x)
        return said


class MaskedObjective(nn.Module):
    """``loss, metrics = objective(batch)``: smooth L1 (blocks) or L1 (tubes) to layer-normed targets."""

    def __init__(self, config: MaskedConfig, encoder: VideoTransformer, predictor: MaskPredictor) -> None:
        super().__init__()
        self.config, self.encoder, self.predictor = config, encoder, predictor
        self.target = deepcopy(encoder).requires_grad_(False)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        if self.training:
            follow(self.target, self.encoder, self.config.ema)
        hidden = self._draw(batch.video.shape[1])
        kept, asked = (~hidden).nonzero()[:, 0], hidden.nonzero()[:, 0]
        places = self.encoder.places(batch.video.shape[1])
        said = self.predictor(self.encoder(batch.video, kept), places[kept], places[asked])
        with torch.no_grad():
            known = self.target(batch.video)
            aim = F.layer_norm(known, known.shape[-1:])[:, asked]
            same = aim.mean((0, 1))  # what a collapsed pair of networks would say everywhere
        distance = F.smooth_l1_loss if self.config.masks == "blocks" else F.l1_loss
        loss = distance(said, aim)
        return loss, {
            "over_same": loss.detach() / distance(same.expand_as(aim), aim).clamp_min(1e-9),
            "rank": effective_rank(known.mean(1)),  # of how clips differ; tokens are normed, so most of them is alike
            "hidden": hidden.float().mean(),
        }

    def _draw(self, frames: int) -> Tensor:
        """Which tokens are hidden, bool [n]: the same for all clips of a batch, so that its tokens stay an array."""
        rows, columns = self.encoder.grid
        if self.config.masks == "blocks":
            each = [hidden_blocks(rows, columns, *BLOCKS) for _ in range(frames)]
        else:
            each = [hidden_blocks(rows, columns, *TUBES[int(torch.rand(()) < 0.5)])] * frames
        return torch.stack(each).flatten().to(self.encoder.read_in.weight.device)


def hidden_blocks(rows: int, columns: int, count: int, scale: tuple[float, float]) -> Tensor:
    """The union of ``count`` blocks, bool [rows, columns]; one token at least stays visible.

    Each takes a part of the frame within ``scale``, with an aspect within ASPECT, wherever it fits.
    """
    hidden = torch.zeros(rows, columns, dtype=torch.bool)
    for _ in range(count):
        part, aspect = (low + (high - low) * float(torch.rand(())) for low, high in (scale, ASPECT))
        height = min(max(round(sqrt(part * rows * columns * aspect)), 1), rows)
        width = min(max(round(part * rows * columns / height), 1), columns)
        top, left = (int(torch.randint(free + 1, ())) for free in (rows - height, columns - width))
        hidden[top : top + height, left : left + width] = True
    if hidden.all():
        hidden[torch.randint(rows, ()), torch.randint(columns, ())] = False
    return hidden


class MaskedJepa(nn.Module):
    """Represents. It takes no actions, so it cannot be asked what comes next, nor plan."""

    def __init__(self, config: MaskedConfig, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.encoder = VideoTransformer(config, spec.height, spec.width)
        self.predictor = MaskPredictor(config)

    @torch.no_grad()
    def represent(self, video: Tensor) -> State:
        """The tokens of each frame, laid flat: [b, t, tokens d]. A frame is seen with the others of its chunk.

        Chunks are as long as the clips of the training; the last may be shorter.
        """
        check_frames("video", video, self.spec, "b", "t")
        parts = [self.encoder(part).unflatten(1, (part.shape[1], -1)) for part in video.split(self.config.frames, 1)]
        seen = torch.cat(parts, dim=1)
        return State(z=seen.flatten(2), tokens=seen.shape[2])


def masked_stage(model: MaskedJepa) -> Stage:
    """The one stage."""
    config = model.config
    return Stage(
        name="masked",
        module=MaskedObjective(config, model.encoder, model.predictor),
        share=1.0,
        frames=config.frames,
        batch_size=config.batch_size,
        optim=Optim(learning_rate=config.learning_rate),
    )
