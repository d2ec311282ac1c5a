"""The sora route, wired: compression network + generator; words or first frames in, clips out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from math import lcm
from time import perf_counter
from typing import Literal

import torch
from torch import Tensor, nn

from threeworlds.flow.path import PATHS, Path
from threeworlds.flow.solver import Velocity, solver_named, time_grid
from threeworlds.nn.conv import FACTOR
from threeworlds.nn.minilm import NAME as PRETRAINED
from threeworlds.routes.sora.autoencoder import Autoencoder, DecoderObjective, PixelPatches
from threeworlds.routes.sora.buckets import buckets, encoded, grids, shapes_of
from threeworlds.routes.sora.generator import Generator
from threeworlds.routes.sora.objective import FlowObjective, PictureObjective, flow_surprise
from threeworlds.routes.sora.recipes import GeneratorConfig, SoraConfig
from threeworlds.routes.sora.rollout import between
from threeworlds.types import Batch, ClipSpec, Imagined, Optim, Prompt, Stage, State

LESSON = re.compile(r"(\d+):(\d*\.?\d+)")  # FRAMES:SHARE


class Sora(nn.Module):
    """Generates, Predicts, Connects, Represents, Reconstructs, and is Surprised."""

    control: Literal["none", "action", "code"] = "none"

    def __init__(self, config: SoraConfig, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.autoencoder = build_autoencoder(config, spec)
        self.generator = Generator(config.generator, self.autoencoder.channels, self.autoencoder.grid)

    @torch.no_grad()
    def generate(self, prompt: Prompt, *, seed: int) -> Imagined:
        """A clip of ``prompt.frames`` frames from words, first frames, both or neither."""
        start = perf_counter()
        if prompt.video is not None and not (prompt.video.is_floating_point() and prompt.video.isfinite().all()):
            raise ValueError("given frames need float in [-1, 1]; these are whole numbers, or hold NaN or infinity")
        batch = len(prompt.video) if prompt.video is not None else len(prompt.caption or ("",) * prompt.batch)
        given = self.autoencoder.encode(prompt.video) if prompt.video is not None else self._nothing(batch)
        captions = prompt.caption or ("",) * batch
        latent = self._roll_out(given, prompt.frames, captions, torch.Generator().manual_seed(seed))
        video = self.autoencoder.decode(latent)
        return Imagined(video=video, seconds=perf_counter() - start)

    def predict(self, context: Tensor, frames: int, *, action: Tensor | None = None, seed: int = 0) -> Imagined:
        """Continue ``context`` [b, k, c, h, w] by ``frames`` frames. This route takes no actions."""
        if action is not None:
            raise ValueError("the sora route takes no actions; call predict without them")
        imagined = self.generate(Prompt(video=context, frames=context.shape[1] + frames), seed=seed)
        return Imagined(video=imagined.video[:, context.shape[1] :], seconds=imagined.seconds)

    @torch.no_grad()
    def connect(self, context: Tensor, goal: Tensor, *, seed: int = 0) -> Imagined:
        """context [b, k, c, h, w], goal [b, c, h, w] -> the frames between them that fill its window."""
        start, frames = perf_counter(), self.config.generator.frames
        context = context[:, -(frames // 2) :]
        given, wanted = (self.autoencoder.encode(part) for part in (context, goal[:, None]))
        new = given.new_zeros(len(given), frames - given.shape[1] - 1, *given.shape[2:])
        level = given.new_ones(len(given), frames)
        level[:, given.shape[1] : -1] = 0
        generator = torch.Generator().manual_seed(seed)
        latent = self.sample(torch.cat([given, new, wanted], dim=1), level, ("",) * len(given), generator=generator)
        made = self.autoencoder.decode(latent)[:, given.shape[1] : -1]
        return Imagined(video=made, seconds=perf_counter() - start)

    @torch.no_grad()
    def represent(self, video: Tensor) -> State:
        """The latents of each frame, laid flat."""
        return State(z=self.autoencoder.encode(video).flatten(2))

    @torch.no_grad()
    def reconstruct(self, video: Tensor) -> Tensor:
        """Encoded and decoded: the floor of error under everything this route shows."""
        return self.autoencoder.decode(self.autoencoder.encode(video))

    @torch.no_grad()
    def surprise(self, video: Tensor, action: Tensor | None = None) -> Tensor:
        """Flow-matching loss of each frame after the ones before it. ``action`` is not used: this route takes none."""
        return flow_surprise(self.generator, self.autoencoder.encode(video))

    def _nothing(self, batch: int) -> Tensor:
        device = next(self.parameters()).device
        return torch.zeros(batch, 0, self.autoencoder.channels, *self.autoencoder.grid, device=device)

    def _roll_out(self, latent: Tensor, frames: int, captions: Sequence[str], generator: torch.Generator) -> Tensor:
        """The given latents and what follows, ``frames`` in all."""

        def fill(clip: Tensor, level: Tensor) -> Tensor:
            return self.sample(clip, level, captions, generator=generator)

        new = max(0, frames - latent.shape[1])
        made = between(fill, latent, latent[:, :0], new, self.config.generator.frames)
        return torch.cat([latent, made], dim=1)[:, :frames]

    @torch.no_grad()
    def sample(
        self,
        latent: Tensor,
        level: Tensor,
        captions: Sequence[str],
        *,
        generator: torch.Generator,
        solver: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> Tensor:
        """Every task in one call: latents [b, t, c, y, x] and what is known of each frame -> finished latents.

        Where pictures were trained and nothing is given, the first frame is made alone and the clip from it (Emu Video,
        arXiv 2311.10709).

        Args:
            latent: normalised latents; what a frame holds does not matter where its level is 0.
            level: [b, t] in [0, 1]. 1: the frame is given and stays. 0: it is made from noise. Between: it is noised
                to that time of the path and made anew, which keeps what is coarse (SDEdit, arXiv 2108.01073).
            captions: b texts; "" says nothing.
            generator: of the noise.
            solver, steps, guidance: None: as in the config. Guidance counts only for clips with words.
        """
        config = self.config.generator
        if latent.shape[:2] != level.shape or len(captions) != len(latent):
            raise ValueError(f"latents {latent.shape[:2]}, levels {level.shape}, {len(captions)} captions: they differ")
        guidance = config.guidance if guidance is None else guidance
        solve = solver_named(solver or config.solver)

        def draw(latent: Tensor, level: Tensor, steps: int) -> Tensor:
            noise = torch.tensor([first_noise(config, caption) for caption in captions])
            start = self._start(latent, level, noise, generator)
            return solve(self._velocity(level, captions, guidance), start, time_grid(steps))

        if config.stills and not level.any():
            first = draw(latent[:, :1], level[:, :1], steps or config.picture_steps or config.steps)
            if latent.shape[1] == 1:
                return first
            latent, level = (
                torch.cat([first, latent[:, 1:]], dim=1),
                level.index_fill(1, torch.tensor([0], device=level.device), 1.0),
            )
        return draw(latent, level, steps or config.steps)

    def _start(self, latent: Tensor, level: Tensor, scale: Tensor, generator: torch.Generator) -> Tensor:
        """Frames noised down to their level of the path; ``scale`` [b] of the noise where frames are given."""
        noise = torch.randn(latent.shape, generator=generator).to(latent)
        scale = torch.where((level == 1).any(1), scale.to(latent), 1.0)[:, None, None, None, None]
        start = level[..., None, None, None]
        return torch.where(start == 1, latent, self._path.point(scale * noise, latent, start))

    @property
    def _path(self) -> Path:
        return PATHS[self.config.generator.objective]

    def _velocity(self, level: Tensor, captions: Sequence[str], guidance: float) -> Velocity:
        """dx / ds for frames whose time runs from their level to 1 while s runs from 0 to 1."""
        words, null = self.generator.words(captions), self.generator.words(("",) * len(captions))
        left = 1 - level

        def velocity(x: Tensor, s: float) -> Tensor:
            time = level + left * s
            estimate = self.generator(x, time, words)
            if guidance != 1 and any(captions):
                plain = self.generator(x, time, null)
                estimate = plain + guidance * (estimate - plain)
            return left[..., None, None, None] * self._path.velocity(estimate, x, time[..., None, None, None])

        return velocity


def first_noise(config: GeneratorConfig, caption: str) -> float:
    """Scale of the noise that frames begin from after given ones: less keeps to the likely future, which words may
    contradict.
    """
    return 1.0 if caption else config.noise


def build_autoencoder(config: SoraConfig, spec: ClipSpec) -> Autoencoder | PixelPatches:
    if config.autoencoder.time_stride != 1:
        raise ValueError(
            f"autoencoder.time_stride={config.autoencoder.time_stride}: the generator has a noise level for every "
            "frame, so it needs a latent for every frame; other strides are for an Autoencoder alone"
        )
    if config.autoencoder.kind == "pixels":
        return PixelPatches(spec.height, spec.width)
    return Autoencoder(config.autoencoder, spec.height, spec.width)


def stages(model: nn.Module) -> list[Stage]:
    """First the compression network (if there is one to train), then the generator on its latents, then the decoder."""
    assert isinstance(model, Sora)
    autoencoder = model.autoencoder
    if isinstance(autoencoder, PixelPatches):
        return _generator_stages(model, share=1.0)
    config = autoencoder.config
    compression = Stage(
        name="autoencoder",
        module=autoencoder,
        share=config.share,
        frames=config.frames,
        batch_size=config.batch_size,
        optim=Optim(learning_rate=config.learning_rate),
        finish=autoencoder.normalise,
    )
    made = [compression, *_generator_stages(model, share=1 - config.share - config.decoder_share)]
    if config.decoder_share:
        decoder = DecoderObjective(autoencoder)
        made.append(replace(compression, name="decoder", module=decoder, share=config.decoder_share, finish=None))
    return made


def _generator_stages(model: Sora, share: float) -> list[Stage]:
    """What comes first by the recipe's curriculum, then clips as long as the window."""
    first = lessons(model.config.generator)
    whole = _generator_stage(model, share * (1 - sum(first.values())))
    made = [_lesson(model, whole, frames, share * part) for frames, part in first.items()]
    later = [replace(stage, cache=None) for stage in (*made, whole)[1:]]  # latents are worked out once, by the first
    return [made[0], *later] if made else [whole]


def _lesson(model: Sora, whole: Stage, frames: int, share: float) -> Stage:
    """Pictures, or clips of so many frames, of the first size where there are several; steps are of equal frames."""
    assert isinstance(whole.module, FlowObjective)
    objective = PictureObjective if frames == 1 else FlowObjective
    return replace(
        whole,
        name="pictures" if frames == 1 else f"clips-{frames}",
        module=objective(model.generator, model.spec.captioned, whole.module.grids),
        share=share,
        frames=frames,
        batch_size=max(1, whole.frames * whole.batch_size // frames),
        buckets=(),
        rollout_error=None,
    )


def lessons(config: GeneratorConfig) -> dict[int, float]:
    """What training begins with: frames of a clip -> part of the generator's budget. A ValueError if it cannot be."""
    found = [LESSON.fullmatch(text) for text in config.curriculum]
    parts = {int(match[1]): float(match[2]) for match in found if match}
    fit = all(1 <= frames < config.frames and part > 0 for frames, part in parts.items())
    if len(parts) < len(config.curriculum) or not fit or sum(parts.values()) >= 1:
        raise ValueError(
            f"generator.curriculum={','.join(config.curriculum)}: expected FRAMES:SHARE, each of fewer frames than the "
            f"window's {config.frames} and different, shares above 0 that add up to less than 1; such as 1:0.2,4:0.3"
        )
    return parts


def _generator_stage(model: Sora, share: float) -> Stage:
    config, autoencoder, spec = model.config.generator, model.autoencoder, model.spec
    shapes = shapes_of(config, spec, step=lcm(FACTOR, autoencoder.factor * config.patch))
    made = buckets(config, spec, shapes)
    whole = Stage(
        name="generator",
        module=FlowObjective(model.generator, spec.captioned),
        share=share,
        frames=config.frames,
        batch_size=config.batch_size,
        columns=("latent", "caption") if spec.captioned else ("latent",),
        cache=lambda video: {"latent": autoencoder.encode(video)},
        at_captions=config.at_captions if spec.captioned else 0.0,
        pretrained=(PRETRAINED,) if config.text == "minilm" and spec.captioned else (),
        rollout_error=lambda batch: rollout_error(model, batch),
        optim=Optim(learning_rate=config.learning_rate),
    )
    if not shapes:
        return whole
    objective = FlowObjective(model.generator, spec.captioned, grids(spec, shapes, autoencoder.factor))
    cache = encoded(autoencoder.encode, spec, shapes)
    return replace(whole, module=objective, cache=cache, columns=made[0].columns, buckets=made)


def rollout_error(model: Sora, batch: Batch) -> Tensor:
    """Squared error of each clip, [b], made from its first frame under its words, or from its first half without."""
    assert batch.video is not None
    frames = batch.video.shape[1]
    given = frames // 2 if batch.caption is None else 1
    prompt = Prompt(video=batch.video[:, :given], caption=batch.caption, frames=frames)
    made = model.generate(prompt, seed=0).video
    return (made - batch.video)[:, given:].square().mean((1, 2, 3, 4))
