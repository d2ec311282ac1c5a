"""Training on several sizes and lengths: buckets of about equal tokens, one a step (Open-Sora 1.1, report 02).

A window of another size is made from the clip as it is stored: scaled down, antialiased, until it just covers the
size, then encoded; where the sides are in another proportion, whole latent cells are cropped, elsewhere each time.
Nothing is ever made larger than it was filmed.

Legend: b batch, t frames, c channels, h height, w width, y x latent grid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from threeworlds.nn.conv import FACTOR
from threeworlds.routes.sora.recipes import GeneratorConfig
from threeworlds.types import Bucket, ClipSpec

FORM = re.compile(r"(\d+)@(\d+)x(\d+)")
OWN = "latent"  # the cached name of the clips' own size


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a window of a bucket looks like."""

    frames: int
    height: int  # pixels
    width: int  # pixels

    @property
    def name(self) -> str:
        """As recipes write it."""
        return f"{self.frames}@{self.width}x{self.height}"

    def cached(self, spec: ClipSpec) -> str:
        """The name that its latents have in the cache."""
        own = (self.height, self.width) == (spec.height, spec.width)
        return OWN if own else f"{OWN}_{self.width}x{self.height}"

    def covering(self, spec: ClipSpec) -> tuple[int, int]:
        """(height, width) of the whole clip when it just covers this size, in multiples of FACTOR."""
        scale = max(self.height / spec.height, self.width / spec.width)
        height, width = (round(scale * side / FACTOR) * FACTOR for side in (spec.height, spec.width))
        return max(height, self.height), max(width, self.width)


def shapes_of(config: GeneratorConfig, spec: ClipSpec, step: int) -> tuple[Shape, ...]:
    """The shapes of ``generator.buckets``.

    Args:
        step: pixels that height and width are multiples of.

    Raises:
        ValueError: one that is not of the form FRAMES@WIDTHxHEIGHT, given twice, larger than the clips, not a multiple.
    """
    found = []
    for text in config.buckets:
        match = FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"generator.buckets={text!r}: expected FRAMES@WIDTHxHEIGHT, such as 8@64x48")
        frames, width, height = map(int, match.groups())
        if frames < 2 or not height or not width or height % step or width % step:
            raise ValueError(f"generator.buckets={text!r}: two frames or more, of sides that are multiples of {step}")
        if height > spec.height or width > spec.width:
            raise ValueError(f"generator.buckets={text!r}: larger than the clips, {spec.width}x{spec.height}")
        if frames < config.stills:
            raise ValueError(f"generator.buckets={text!r}: fewer frames than generator.stills={config.stills}")
        found.append(Shape(frames=frames, height=height, width=width))
    if len(set(found)) < len(found):
        raise ValueError(f"generator.buckets={','.join(config.buckets)}: one is given twice")
    return tuple(found)


def buckets(config: GeneratorConfig, spec: ClipSpec, shapes: tuple[Shape, ...]) -> tuple[Bucket, ...]:
    """A stage's buckets: of each shape as many clips as have about the tokens of a batch of the recipe's own shape."""
    own = _size(Shape(frames=config.frames, height=spec.height, width=spec.width), config)
    words = ("caption",) if spec.captioned else ()
    return tuple(
        Bucket(
            name=f"step {shape.name}",
            frames=shape.frames,
            batch_size=max(1, round(config.batch_size * own / _size(shape, config))),
            columns=(shape.cached(spec), *words),
        )
        for shape in shapes
    )


def _size(shape: Shape, config: GeneratorConfig) -> int:
    """Tokens of a clip, up to a factor: its frames, and those of them that are trained as pictures too."""
    return (shape.frames + config.stills) * shape.height * shape.width


def encoded(
    encode: Callable[[Tensor], Tensor], spec: ClipSpec, shapes: tuple[Shape, ...]
) -> Callable[[Tensor], dict[str, Tensor]]:
    """A stage's cache: video [1, t, 3, h, w] -> the latents of every size, uncropped, each encoded once."""

    def cache(video: Tensor) -> dict[str, Tensor]:
        latents = {size: encode(scaled(video, size)) for size in dict.fromkeys(s.covering(spec) for s in shapes)}
        return {shape.cached(spec): latents[shape.covering(spec)] for shape in shapes}

    return cache


def scaled(video: Tensor, size: tuple[int, int]) -> Tensor:
    """video [b, t, c, h, w] -> [b, t, c, *size], antialiased; the same bits where it has that size."""
    if video.shape[-2:] == size:
        return video
    frames = F.interpolate(video.flatten(0, 1), size=size, mode="bilinear", antialias=True, align_corners=False)
    return frames.unflatten(0, video.shape[:2])


def grids(spec: ClipSpec, shapes: tuple[Shape, ...], factor: int) -> Mapping[str, tuple[int, int]]:
    """By cached name the latent grid (y, x) that training takes, cropped where the cached one is larger."""
    return {shape.cached(spec): (shape.height // factor, shape.width // factor) for shape in shapes}


def cropped(latent: Tensor, grid: tuple[int, int]) -> Tensor:
    """latents [b, t, c, y, x] -> [b, t, c, *grid]: one place, drawn anew, for all clips of a batch."""
    places = []
    for have, want in zip(latent.shape[-2:], grid, strict=True):
        start = int(torch.randint(have - want + 1, ())) if have > want else 0
        places.append(slice(start, start + want))
    return latent[..., places[0], places[1]]
