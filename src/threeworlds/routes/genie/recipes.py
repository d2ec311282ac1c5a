"""Named sizes of the genie route. Each is a function, so that a recipe can be read, printed and changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Frames <-> tokens of a grid eight times smaller, by finite scalar quantization."""

    channels: tuple[int, int, int] = (16, 32, 64)
    levels: tuple[int, ...] = (5, 5, 5)  # 125 codes: few enough to be predictable
    moving: float = 4.0  # extra weight of pixels that differ from the clip's mean picture
    share: float = 0.3
    frames: int = 4
    batch_size: int = 4
    learning_rate: float = 2e-3


@dataclass(frozen=True, kw_only=True)
class LatentActionConfig:
    """What changed between two frames: a small Gaussian code, then buttons by k-means (AdaWorld)."""

    channels: tuple[int, int, int] = (32, 48, 64)
    latent: int = 8
    kl: float = 3e-3
    changed: float = 10.0  # extra weight of pixels that change
    codes: int = 8  # buttons
    share: float = 0.15
    frames: int = 4
    batch_size: int = 16
    learning_rate: float = 2e-3


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """The masked-token spacetime transformer."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    frames: int = 8
    action_dropout: float = 0.15  # part of the clips that train without actions (guidance, and the null action)
    corruption: float = 0.05  # part of the context tokens replaced by random ones, against drift
    clean: float = 0.5  # part of the frames that are wholly given
    batch_size: int = 16
    learning_rate: float = 1.5e-3
    refinements: int = 4  # MaskGIT passes a frame
    temperature: float = 0.3
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
    """Half an hour on two cores, 32 or 64 pixels."""
    return GenieConfig(
        tokenizer=TokenizerConfig(channels=(32, 64, 96), share=0.2),
        actions=LatentActionConfig(share=0.15),
        dynamics=DynamicsConfig(width=192, layers=6, heads=6, frames=12, learning_rate=1e-3),
    )


RECIPES: Mapping[str, Callable[[], GenieConfig]] = {"debug": debug, "small": small, "base": base}
