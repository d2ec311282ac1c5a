"""Named sizes of the genie route. Each is a function, so that a recipe can be read, printed and changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """A spacetime transformer over patches of pixels; there is one on each side of a codebook."""

    width: int = 128
    layers: int = 3
    heads: int = 4
    head_width: int | None = None  # None: heads share the width among them
    mlp: float = 4.0  # inner width of the MLPs, as a multiple of the width
    patch: int = 8  # pixels a side


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Frames <-> a grid of tokens.

    conv: convolutions and finite scalar quantization, each frame by itself, a grid eight times smaller. spacetime:
    Genie's ST-ViViT, transformers and a learnt codebook.
    """

    kind: Literal["conv", "spacetime"] = "conv"
    channels: tuple[int, int, int] = (16, 32, 64)  # conv
    levels: tuple[int, ...] = (5, 5, 5)  # conv: 125 codes, few enough to be predictable
    spread: bool = False  # conv: codes are spread over the levels, so that small things are not rounded away
    transformer: TransformerConfig = field(default_factory=TransformerConfig)  # spacetime
    codes: int = 256  # spacetime
    code_width: int = 16  # spacetime
    commitment: float = 0.25  # spacetime: weight of the distance to the code
    moving: float = 4.0  # extra weight of pixels that differ from the clip's mean picture
    share: float = 0.3
    frames: int = 4
    batch_size: int = 4
    learning_rate: float = 2e-3


@dataclass(frozen=True, kw_only=True)
class LatentActionConfig:
    """What changed between two frames.

    continuous: a small Gaussian code, then buttons by k-means (AdaWorld). vq: a codebook (Genie).
    """

    kind: Literal["continuous", "vq"] = "continuous"
    pixels: int = 32  # pictures are looked at with about so many a side; larger ones are averaged down
    channels: tuple[int, int, int] = (32, 48, 64)  # continuous
    kl: float = 7e-3  # continuous: price of a nat of code, as a part of what copying the last frame loses
    decoder: Literal["film", "kernels"] = "film"  # continuous: a U-Net that the code modulates, or kernels it makes
    reach: int = 2  # kernels: pixels that a body moves in a step, at most
    seen: Literal[1, 2] = 2  # continuous: frames the decoder sees; 1 is enough where bodies have no speed of their own
    transformer: TransformerConfig = field(default_factory=TransformerConfig)  # vq
    commitment: float = 0.25  # vq: weight of the distance to the code
    entropy: float = 0.1  # vq: reward of an even use of the codes
    latent: int = 8
    changed: float = 10.0  # extra weight of pixels that change
    codes: int = 8  # buttons
    labels: int = 0  # steps whose true action is told; 0: from video alone
    share: float = 0.15
    frames: int = 4
    batch_size: int = 16
    learning_rate: float = 2e-3


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """What makes the next frame's tokens.

    masked: a masked-token spacetime transformer, a few passes a frame (Genie). causal: token after token. diffusion:
    the tokens' places in the code grid, out of noise, with a noise level a frame (Diffusion Forcing).
    """

    kind: Literal["masked", "causal", "diffusion"] = "masked"
    width: int = 128
    layers: int = 4
    heads: int = 4
    head_width: int | None = None  # None: heads share the width among them
    mlp: float = 4.0  # inner width of the MLPs, as a multiple of the width
    frames: int = 8
    action_dropout: float = 0.15  # part of the clips that train without actions: what guidance leads away from
    corruption: float = 0.05  # part of the context tokens replaced by random ones, against drift
    rehearsed: float = 0.0  # masked: part of the clips whose context is the model's own guesses, against drift
    clean: float = 0.5  # diffusion: part of the frames that are wholly given
    batch_size: int = 4  # a clip costs the same in small batches, and steps are what minutes are short of
    learning_rate: float = 1e-3
    refinements: int = 4  # masked, diffusion: passes a frame
    temperature: float = 0.0  # masked, causal; 0: the likeliest token, which loses fewer bodies (docs/log.md)
    guidance: float = 1.0  # 1: none


@dataclass(frozen=True, kw_only=True)
class GenieConfig:
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    actions: LatentActionConfig = field(default_factory=LatentActionConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)


def debug() -> GenieConfig:
    """Seconds: for tests of the plumbing."""
    return GenieConfig(
        tokenizer=TokenizerConfig(channels=(8, 8, 16), levels=(4, 4), frames=2, batch_size=4),
        actions=LatentActionConfig(channels=(8, 8, 8), latent=4, codes=4, frames=3, batch_size=4),
        dynamics=DynamicsConfig(width=32, layers=1, heads=2, frames=4, batch_size=4, refinements=2),
    )


def small() -> GenieConfig:
    """Minutes on two cores, 32 pixels."""
    return GenieConfig()


def base() -> GenieConfig:
    """Under an hour on one or two cores, 32 or 64 pixels."""
    return GenieConfig(
        tokenizer=TokenizerConfig(channels=(24, 48, 64), moving=20.0, share=0.25, batch_size=2),
        actions=LatentActionConfig(share=0.1),
        dynamics=DynamicsConfig(layers=5, rehearsed=0.4, learning_rate=9e-4, refinements=6),
    )


def game() -> GenieConfig:
    """An hour on one core, 32 or 64 pixels, for filmed games: texture everywhere, and a view that follows the player.

    More codes, since 125 do not hold textures, and little extra weight on what moves, since all of it does. So many
    codes are learnt sooner by their places in the code grid than one by one. Latent actions move the picture: most of
    what changes was there before (docs/log.md).
    """
    return GenieConfig(
        tokenizer=TokenizerConfig(channels=(24, 48, 64), levels=(5, 5, 5, 5, 5), share=0.25, batch_size=2),
        actions=LatentActionConfig(decoder="kernels", reach=3, share=0.1),
        dynamics=DynamicsConfig(kind="diffusion", layers=5, learning_rate=9e-4, refinements=6),
    )


def rooms() -> GenieConfig:
    """Minutes on one core, 32 pixels, for a small slow body that has no speed of its own, as in ``rooms``.

    A body that moves by less than its own width is learnt as a picture moved, not as a picture painted, and sooner from
    one frame, since two tell the next step of one that keeps its way. Nor does so small a body reach a tokenizer that
    rounds, and the likeliest next frame of so slow a one is the last (docs/log.md).
    """
    made = base()
    return replace(
        made,
        tokenizer=replace(made.tokenizer, spread=True),
        actions=replace(made.actions, decoder="kernels", reach=1, seen=1, share=0.25),
        dynamics=replace(made.dynamics, temperature=0.3),
    )


def published() -> GenieConfig:
    """The parts as Genie published them, at the size of ``small``: spacetime transformers and learnt codebooks."""
    return GenieConfig(
        tokenizer=TokenizerConfig(kind="spacetime", learning_rate=1e-3),
        actions=LatentActionConfig(kind="vq", share=0.3, learning_rate=1e-3),
    )


RECIPES: Mapping[str, Callable[[], GenieConfig]] = {
    "debug": debug,
    "small": small,
    "base": base,
    "game": game,
    "rooms": rooms,
    "published": published,
}
