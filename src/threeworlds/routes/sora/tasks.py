"""What a text-to-video model can be asked for, one function each (the list is of OpenAI's report on Sora, 2024).

Video is float32 [b, t, 3, h, w] in [-1, 1]; captions are b texts, "" says nothing. Every function returns the whole
film, given frames included as the compression network shows them, and raises a ValueError for a size or a strength
that cannot be. Sizes and lengths need not be those of training: the autoencoder is convolutional, positions are
rotary, and a film longer than the window is made part by part (``rollout.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil, inf
from time import perf_counter

import torch
from torch import Tensor

from threeworlds.flow.solver import solver_named
from threeworlds.nn.conv import FACTOR
from threeworlds.routes.sora.model import Sora
from threeworlds.routes.sora.rollout import Fill, anew, between
from threeworlds.routes.sora.stream import stream
from threeworlds.types import Imagined

TOKENS = 8192  # in a window, at most: a minute of one core; what attention costs grows with their square
CHUNK = 4  # frames that a stream makes at a time


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to draw a film; None: as the model's config says."""

    seed: int = 0
    solver: str | None = None
    steps: int | None = None
    guidance: float | None = None

    def __post_init__(self) -> None:
        if self.guidance is not None and not 0 <= self.guidance < inf:
            raise ValueError(f"guidance={self.guidance}: 0 (words do not count), 1 (as they are) or any more")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps={self.steps}: at least 1")
        if self.solver is not None:
            solver_named(self.solver)


DEFAULT = Sampling()


@torch.no_grad()
def text_to_video(
    model: Sora,
    captions: Sequence[str],
    *,
    frames: int,
    size: tuple[int, int] | None = None,
    sampling: Sampling = DEFAULT,
) -> Imagined:
    """A film of any ``size`` (height, width; None: that of training) from words."""
    empty = _nothing(model, len(captions), size)
    return _bridge(model, empty, empty, frames, captions, sampling)


def still(
    model: Sora, captions: Sequence[str], *, size: tuple[int, int] | None = None, sampling: Sampling = DEFAULT
) -> Imagined:
    """A picture: a film of one frame."""
    return text_to_video(model, captions, frames=1, size=size, sampling=sampling)


def extend(
    model: Sora,
    video: Tensor,
    captions: Sequence[str],
    *,
    frames: int,
    backward: bool = False,
    sampling: Sampling = DEFAULT,
) -> Imagined:
    """``frames`` more after a film, or before it. A film of one frame: a picture is animated."""
    nothing = video[:, :0]
    if backward:
        return connect(model, nothing, video, captions, frames=frames, sampling=sampling)
    return connect(model, video, nothing, captions, frames=frames, sampling=sampling)


@torch.no_grad()
def connect(
    model: Sora, first: Tensor, second: Tensor, captions: Sequence[str], *, frames: int, sampling: Sampling = DEFAULT
) -> Imagined:
    """The first film, ``frames`` that lead from its end to the start of the second, and the second."""
    return _bridge(model, _encode(model, first), _encode(model, second), frames, captions, sampling)


def loop(model: Sora, video: Tensor, captions: Sequence[str], *, frames: int, sampling: Sampling = DEFAULT) -> Imagined:
    """The film and ``frames`` that lead from its end back to its start, so that it can run for ever."""
    film = connect(model, video, video, captions, frames=frames, sampling=sampling)
    return Imagined(video=film.video[:, : video.shape[1] + frames], seconds=film.seconds)


@torch.no_grad()
def streamed(
    model: Sora, video: Tensor, captions: Sequence[str], *, frames: int, sampling: Sampling = DEFAULT
) -> Imagined:
    """``frames`` more after a film, chunk by chunk, at a cost that does not grow: see ``stream.py``.

    Raises:
        ValueError: guidance, which a stream does not have, or a model that was not trained to stream.
    """
    if frames < 1:
        raise ValueError(f"frames={frames}: at least 1")
    if sampling.guidance is not None:
        raise ValueError(f"guidance={sampling.guidance}: a stream takes words as they are, without guidance")
    check_size(model, *_size(video))
    start, chunk = perf_counter(), min(CHUNK, model.config.generator.frames - 1)
    chunks = stream(
        model, video, captions, seed=sampling.seed, chunk=chunk, solver=sampling.solver, steps=sampling.steps
    )
    made = torch.cat(list(islice(chunks, ceil(frames / chunk))), dim=1)[:, :frames]
    shown = model.autoencoder.decode(model.autoencoder.encode(video))
    return Imagined(video=torch.cat([shown, made], dim=1), seconds=perf_counter() - start)


@torch.no_grad()
def edit(
    model: Sora, video: Tensor, captions: Sequence[str], *, strength: float, sampling: Sampling = DEFAULT
) -> Imagined:
    """The film made anew from partial noise under new words (SDEdit, arXiv 2108.01073).

    Args:
        strength: in (0, 1]: how much noise. Little keeps everything, 1 keeps nothing.
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength={strength}: more than 0 (keep everything), at most 1 (keep nothing)")
    start = perf_counter()
    fill = _fill(model, captions, sampling)
    latent = anew(fill, _encode(model, video), 1 - strength, model.config.generator.frames)
    return Imagined(video=model.autoencoder.decode(latent), seconds=perf_counter() - start)


def closure_error(video: Tensor) -> Tensor:
    """The jump from the last frame back to the first as a multiple of the usual one, [b]: about 1 is seamless."""
    steps = (video[:, 1:] - video[:, :-1]).square().mean((1, 2, 3, 4))
    jump = (video[:, 0] - video[:, -1]).square().mean((1, 2, 3))
    return jump / steps.clamp_min(1e-8)


def check_size(model: Sora, height: int, width: int) -> None:
    """A ValueError unless the model can make frames of that size, in less than minutes and gigabytes."""
    side, window = model.autoencoder.factor * model.config.generator.patch, model.config.generator.frames
    unit = max(FACTOR, side)
    if height % unit or width % unit or min(height, width) < unit:
        raise ValueError(f"size {width}x{height}: width and height must be multiples of {unit} for this model")
    tokens, most = window * height * width // side**2, int((TOKENS / window) ** 0.5) * side // unit * unit
    if tokens > TOKENS:
        raise ValueError(
            f"size {width}x{height}: {tokens:,} tokens in a window of {window} frames, at most {TOKENS:,} are allowed: "
            f"{most}x{most}, or as many pixels in other proportions"
        )


# ------------------------------------------------------------------------------------------ parts


def _bridge(
    model: Sora, head: Tensor, tail: Tensor, frames: int, captions: Sequence[str], sampling: Sampling
) -> Imagined:
    if frames < 1:
        raise ValueError(f"frames={frames}: at least 1")
    start = perf_counter()
    made = between(_fill(model, captions, sampling), head, tail, frames, model.config.generator.frames)
    video = model.autoencoder.decode(torch.cat([head, made, tail], dim=1))
    return Imagined(video=video, seconds=perf_counter() - start)


def _fill(model: Sora, captions: Sequence[str], sampling: Sampling) -> Fill:
    generator = torch.Generator().manual_seed(sampling.seed)

    def fill(latent: Tensor, level: Tensor) -> Tensor:
        return model.sample(
            latent,
            level,
            captions,
            generator=generator,
            solver=sampling.solver,
            steps=sampling.steps,
            guidance=sampling.guidance,
        )

    return fill


def _encode(model: Sora, video: Tensor) -> Tensor:
    check_size(model, *video.shape[-2:])
    return model.autoencoder.encode(video) if video.shape[1] else _nothing(model, len(video), _size(video))


def _nothing(model: Sora, batch: int, size: tuple[int, int] | None) -> Tensor:
    height, width = size or (model.spec.height, model.spec.width)
    check_size(model, height, width)
    factor = model.autoencoder.factor
    device = next(model.parameters()).device
    return torch.zeros(batch, 0, model.autoencoder.channels, height // factor, width // factor, device=device)


def _size(video: Tensor) -> tuple[int, int]:
    return video.shape[-2], video.shape[-1]
