"""Genie as someone else wrote it, as a fourth route: simulusion's (arXiv 2402.15391), to be asked what ours is asked.

    pip install --no-deps simulusion==1.1.0
    PYTHONPATH=examples threeworlds train simulusion --recipe small --budget 6m --out runs/simulusion

Tokenizer, latent action model, dynamics, their losses and the roll-out are the package's. What is added: our trainer
with a share of the budget for each part, and the Protocols of ``threeworlds.types``. The folder
outside_genie-1.1.0.dist-info beside this file holds the entry point.

As shipped, the decoder of the latent action model is given every action but the one that leads to the frame it makes:
the action of a window's last step never learns. So actions are read in windows one frame shorter than those it trains
on, where every step has learnt.

Legend: b batch, t frames, k given frames, n tokens a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.types import Batch, ClipSpec, Imagined, Optim, Route, Stage

PATCHES, ACTION_PATCHES = 4, 8  # pixels a side: a token's, and what the latent action model sees of a frame


def peer(name: str) -> Any:
    """A module of the package."""
    if find_spec("simulusion") is None:
        raise SystemExit("the route simulusion needs: pip install --no-deps simulusion==1.1.0")
    return import_module(f"simulusion.{name}")


@dataclass(frozen=True, kw_only=True)
class SimulusionConfig:
    """Sizes of benchmarks/genie.py, where they are those of our parts of the same kind.

    Tuned little: the tokenizer's batch and learning rate are the best of five trials of 22 s, by error on validation
    clips; the actions' are those of one of two alike trials; the dynamics' are about ours. The package's own rate, 3e-5
    over 125,000 steps, leads nowhere in minutes. It samples at a temperature of 2; 0, which it also offers, takes the
    likeliest token.
    """

    width: int = 128
    layers: int = 3
    heads: int = 4
    frames: int = 8  # of a window in training
    tokens: int = 1024
    token_width: int = 32
    codes: int = 8
    temperature: float = 0.0
    batch_size: int = 4
    tokenizer_batch_size: int = 1
    learning_rate: float = 3e-4
    dynamics_learning_rate: float = 1e-3
    tokenizer_share: float = 0.3
    action_share: float = 0.3


class Outside(nn.Module):
    """Plays, Predicts and Reconstructs."""

    control = "code"

    def __init__(self, config: SimulusionConfig, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec, self.n_codes = config, spec, config.codes
        with torch.device("cpu"):  # the package reads numbers from tensors as it builds; those on "meta" hold none
            self.genie = build(config, spec.height)

    def read(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """One window -> its tokens [b, t, n] and the codes between its frames [b, t - 1]."""
        with torch.no_grad():
            tokens = self.genie.video_tokenizer.encode(pixels(video).transpose(1, 2))[1]
        return tokens.flatten(2), self.infer_codes(video)

    @torch.no_grad()
    def infer_codes(self, video: Tensor) -> Tensor:
        def read(window: Tensor) -> Tensor:
            shown = pixels(window).transpose(1, 2)
            codes: Tensor = self.genie.latent_action_model.encode(shown[:, :, :-1], shown[:, :, -1])[0]
            return codes.reshape(len(window), -1)  # of a single step the package makes [b]

        return in_windows(read, video, self.config.frames - 1, shared=1)

    @torch.no_grad()
    def reconstruct(self, video: Tensor) -> Tensor:
        def through(window: Tensor) -> Tensor:
            made: Tensor = self.genie.video_tokenizer(pixels(window).transpose(1, 2))[0]
            return made.transpose(1, 2)

        return (2 * in_windows(through, video, self.config.frames, shared=0) - 1).clamp(-1, 1)

    @torch.no_grad()
    def predict(self, context: Tensor, frames: int, *, action: Tensor | None = None, seed: int = 0) -> Imagined:
        """Without codes, ones drawn at random, as the package does: it has none for "nothing is done"."""
        start, given = perf_counter(), context.shape[1] - 1
        world = peer("world_model.genie").GenieWorldModel(self.genie, temperature=self.config.temperature)
        world.window = self.config.frames - 1  # frames that the dynamics have learnt from
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            if action is None:
                drawn = torch.randint(self.n_codes, (len(context), frames))
                action = torch.cat([self.infer_codes(context), drawn], dim=1)
            told, asked = action[:, max(0, given - world.window + 1) : given], action[:, given : given + frames]
            made = world.rollout(world.encode(pixels(context[:, -world.window :]), told), asked).frames
        return Imagined(video=2 * made - 1, seconds=perf_counter() - start)


def build(config: SimulusionConfig, side: int) -> nn.Module:
    """The package's Genie; smaller patches in its latent action model, whose 16 pixels are half of a small frame."""
    width, layers, heads = config.width, config.layers, config.heads
    genie: nn.Module = peer("models.genie").Genie(
        num_frames=config.frames, image_size=side, action_vocab_size=config.codes,
        tokenizer_vocab_size=config.tokens, tokenizer_embedding_dim=config.token_width,
        tokenizer_encoder_dim=width, tokenizer_decoder_dim=width, tokenizer_num_heads=heads,
        encoder_depth=layers, decoder_depth=layers,
        action_encoder_dim=width, action_decoder_dim=width, action_num_heads=heads, latent_action_depth=1,
        dynamics_dim=width, dynamics_depth=layers, dynamics_num_heads=heads,
    )  # fmt: skip
    genie.latent_action_model = peer("models.latent_action_model").LatentActionModel(
        num_frames=config.frames, image_size=side, patch_size=ACTION_PATCHES, vocab_size=config.codes,
        encoder_dim=width, decoder_dim=width, encoder_depth=layers, decoder_depth=layers, num_heads=heads,
    )  # fmt: skip
    genie.dynamics_model.dynamics_transformer.gradient_checkpointing = False  # it saves memory and costs time
    return genie


def pixels(video: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1], as the package has it."""
    return (video + 1) / 2


def in_windows(read: Callable[[Tensor], Tensor], video: Tensor, frames: int, *, shared: int) -> Tensor:
    """``read`` window by window, laid end to end in time; neighbours have ``shared`` frames in common."""
    starts = range(0, max(video.shape[1] - shared, 1), frames - shared)
    return torch.cat([read(video[:, start : start + frames]) for start in starts], dim=1)


class TokenizerObjective(nn.Module):
    """Pixels through the codebook and back."""

    def __init__(self, model: Outside) -> None:
        super().__init__()
        self.tokenizer = model.genie.video_tokenizer

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        found = self.tokenizer(pixels(batch.video).transpose(1, 2))[2]
        loss = found["recon_loss"] + found["vq_loss"]
        return loss, {"error": found["recon_loss"].detach(), "perplexity": found["perplexity"]}


class ActionObjective(nn.Module):
    """The last frame of a window, from the first one and the codes between."""

    def __init__(self, model: Outside) -> None:
        super().__init__()
        self.actions = model.genie.latent_action_model

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        shown = pixels(batch.video).transpose(1, 2)
        found = self.actions(shown[:, :, :-1], shown[:, :, -1])
        return found["recon_loss"] + found["vq_loss"], {"error": found["recon_loss"].detach()}


class DynamicsObjective(nn.Module):
    """The tokens of each next frame. The frozen parts are no modules of this one: it would train them on."""

    def __init__(self, model: Outside) -> None:
        super().__init__()
        self.dynamics, self.read = model.genie.dynamics_model, model.read

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        tokens, codes = self.read(batch.video)
        loss = F.cross_entropy(self.dynamics(tokens[:, :-1], codes).flatten(0, 2), tokens[:, 1:].flatten())
        return loss, {"cross_entropy": loss.detach()}


def stages(model: nn.Module) -> list[Stage]:
    """Tokenizer, latent actions, dynamics. The package trains the last two together, without a gradient between."""
    assert isinstance(model, Outside)
    config = model.config
    # Unused vectors of a codebook are put elsewhere at once, where an average of weights would not follow.
    plain = Optim(learning_rate=config.learning_rate, ema=0)
    return [
        Stage(
            name="tokenizer", module=TokenizerObjective(model), frames=config.frames,
            batch_size=config.tokenizer_batch_size, optim=plain, share=config.tokenizer_share,
        ),
        Stage(
            name="actions", module=ActionObjective(model), frames=config.frames, batch_size=config.batch_size,
            optim=plain, share=config.action_share,
        ),
        Stage(
            name="dynamics", module=DynamicsObjective(model), frames=config.frames, batch_size=config.batch_size,
            optim=Optim(learning_rate=config.dynamics_learning_rate),
            share=1 - config.tokenizer_share - config.action_share,
        ),
    ]  # fmt: skip


def debug() -> SimulusionConfig:
    """Seconds."""
    return SimulusionConfig(width=32, layers=1, heads=2, tokens=64, batch_size=2)


ROUTE = Route(
    name="simulusion",
    recipes={"debug": debug, "small": SimulusionConfig, "base": SimulusionConfig},
    build=Outside,
    stages=stages,
    learns_from="video",
    story={"use": "play", "technique": "Genie of simulusion 1.1.0: spacetime transformers, learnt codebooks"},
)
