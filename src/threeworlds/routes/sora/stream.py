"""Streaming: a clip without end, made chunk by chunk, with what earlier frames said kept as keys and values.

Under the causal mask (``GeneratorConfig.causal``) a given frame does not look at later ones, so its keys and values
never change (block-causal diffusion with a cache: CausVid, arXiv 2412.07772; Self-Forcing, arXiv 2506.08009). The
window slides: the oldest frames are forgotten, and frames are numbered from the first that is kept. So a chunk costs
the same, and its positions are as exact, however long the film is.

Legend: b batch, t frames, c latent channels, y x latent grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from threeworlds.flow.path import PATHS
from threeworlds.flow.solver import solver_named, time_grid
from threeworlds.nn.attention import KeyValue, rope_table, rotate
from threeworlds.routes.sora.generator import Generator, given_frames
from threeworlds.routes.sora.model import Sora, first_noise

ANCHORS = 2  # given frames that a frame sees beside its own noise


class Stream:
    """The state of one film in the making: ``extend`` makes the next chunk and keeps what its frames say.

    Args:
        context: latents [b, k, c, y, x], k >= 1, to go on from.
        keep: frames that the next one can look back to.
        cached: False computes everything again for every chunk: the same film, slowly, to test the cache against.
    """

    def __init__(
        self, generator: Generator, context: Tensor, captions: Sequence[str], *, keep: int, cached: bool = True
    ) -> None:
        self.generator, self.keep, self.cached = generator, keep, cached
        self.words = generator.words(captions)
        self.latent = context[:, :0]  # of the frames that are kept
        self.group: list[int] = []  # for each of them, the first frame of the chunk that it came with
        self.past: list[KeyValue] | None = None
        self.longest = 0  # chunk so far
        self._commit(context)

    def extend(self, noise: Tensor, *, solver: str, steps: int) -> Tensor:
        """The next chunk, from ``noise`` [b, n, c, y, x]."""
        frames = noise.shape[1]

        def velocity(x: Tensor, t: float) -> Tensor:
            estimate, _ = self._run(x, torch.full(x.shape[:2], t, device=x.device))
            return PATHS[self.generator.config.objective].velocity(estimate[:, -frames:], x, torch.tensor(t))

        made = solver_named(solver)(velocity, noise, time_grid(steps))
        self._commit(made)
        return made

    def _commit(self, chunk: Tensor) -> None:
        """Take a finished chunk up: compute what its frames say, and forget the oldest."""
        kept = self._run(chunk, torch.ones(chunk.shape[:2], device=chunk.device))[1] if self.cached else None
        self.group += [len(self.group)] * chunk.shape[1]
        self.latent = torch.cat([self.latent, chunk], dim=1)
        self.longest = max(self.longest, chunk.shape[1])
        gone = max(0, len(self.group) - self._reach)
        self.latent = self.latent[:, gone:]
        self.group = [first - gone for first in self.group[gone:]]
        if kept is not None:
            tokens = self.keep * chunk.shape[-2] * chunk.shape[-1] // self.generator.patch**2
            self.past = [(renumbered(key[..., -tokens:, :], gone), value[..., -tokens:, :]) for key, value in kept]

    @property
    def _reach(self) -> int:
        """Frames to keep. Without a cache, what a frame says in a block depends on those it saw in the block before."""
        if self.cached:
            return max(self.keep, ANCHORS)
        return len(self.generator.blocks) * (self.keep + self.longest) + ANCHORS

    def _run(self, x: Tensor, time: Tensor) -> tuple[Tensor, list[KeyValue]]:
        """The network on a chunk after all that came before."""
        if not self.cached:
            return self._run_all(x, time)
        anchors = self.latent[:, -ANCHORS:]
        seen = torch.cat([anchors, x], dim=1)
        known = torch.cat([torch.ones(anchors.shape[:2], device=x.device), time], dim=1)
        first, second, distance = (part[:, anchors.shape[1] :] for part in given_frames(seen, known))
        start = len(self.group)
        mask = self._mask([*self.group, *[start] * x.shape[1]], time)[:, start:, max(0, start - self.keep) :]
        return self.generator.run(
            x, time, (first, second, distance), self.words, start=start, mask=mask, past=self.past
        )

    def _run_all(self, x: Tensor, time: Tensor) -> tuple[Tensor, list[KeyValue]]:
        x_all = torch.cat([self.latent, x], dim=1)
        time_all = torch.cat([torch.ones(self.latent.shape[:2], device=x.device), time], dim=1)
        mask = self._mask([*self.group, *[len(self.group)] * x.shape[1]], time)
        return self.generator.run(x_all, time_all, given_frames(x_all, time_all), self.words, mask=mask)

    def _mask(self, group: Sequence[int], time: Tensor) -> Tensor:
        """bool [b, t, t]: a frame looks back ``keep`` frames from its chunk's first; one to be made, ahead in it."""
        first = torch.tensor(group, device=time.device)
        frame = torch.arange(len(group), device=time.device)
        made = torch.cat([torch.ones(len(time), len(group) - time.shape[1], device=time.device), time], dim=1) < 1
        ahead = (frame[None] > frame[:, None]) & ~(made[:, :, None] & (first[None] == first[:, None]))
        return ~ahead & (frame[None] >= first[:, None] - self.keep)


def renumbered(key: Tensor, gone: int) -> Tensor:
    """Keys [b, h, n, e] of frames whose numbers are ``gone`` less from now on."""
    return rotate(key, rope_table(torch.tensor([[-float(gone), 0.0, 0.0]], device=key.device), key.shape[-1]))


@torch.no_grad()
def stream(
    model: Sora,
    video: Tensor,
    captions: Sequence[str],
    *,
    seed: int,
    chunk: int = 4,
    solver: str | None = None,
    steps: int | None = None,
    cached: bool = True,
) -> Iterator[Tensor]:
    """Go on from ``video`` [b, k, 3, h, w] without end: yields chunks of frames [b, ``chunk``, 3, h, w].

    Raises:
        ValueError: the model was trained without the causal mask, or the chunk fills its window.
    """
    config = model.config.generator
    if not config.causal:
        raise ValueError("this model was not trained to stream: its recipe has generator.causal=false")
    if not 0 < chunk < config.frames:
        raise ValueError(f"chunk={chunk}: this model streams 1 to {config.frames - 1} frames at a time")
    keep = config.frames - chunk
    context = model.autoencoder.encode(video[:, -keep:])
    state, seen = Stream(model.generator, context, captions, keep=keep, cached=cached), context
    draw = torch.Generator().manual_seed(seed)
    shape = (len(context), chunk, *context.shape[2:])
    scale = torch.tensor([first_noise(config, caption) for caption in captions])[:, None, None, None, None]
    while True:
        noise = scale * torch.randn(shape, generator=draw).to(context)
        made = state.extend(noise, solver=solver or config.solver, steps=steps or config.steps)
        seen = torch.cat([seen, made], dim=1)[:, -(chunk + model.autoencoder.memory) :]
        yield model.autoencoder.decode(seen)[:, -chunk:]
