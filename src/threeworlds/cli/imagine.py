"""``threeworlds imagine``: words, pictures and films to a film."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from threeworlds.cli.console import say
from threeworlds.types import ClipSpec, Imagined, Predicts

if TYPE_CHECKING:
    from torch import Tensor

    from threeworlds.routes.sora.model import Sora

STRENGTH, FRAMES = 0.6, 16


@dataclass(frozen=True, kw_only=True)
class Imagine:
    """Make a film: from words alone, or from one of --image, --extend, --loop, --connect, --edit, and words.

    Words need a sora model that was trained on captions. The other routes go on from --image or --extend.
    """

    prompt: Positional[str] = ""
    """What the film should show, such as "a small blue square moves up"."""
    checkpoint: Path
    """Folder of a trained model."""
    image: Path | None = None
    """Picture to set in motion."""
    extend: Path | None = None
    """Film to go on from."""
    backward: bool = False
    """With --extend: make what came before it."""
    loop: Path | None = None
    """Film to lead back from its end to its start."""
    connect: tuple[Path, Path] | None = None
    """Two films to lead over from the first to the second."""
    edit: Path | None = None
    """Film to make anew under the prompt's words."""
    strength: float | None = None
    """With --edit: how much to change, above 0 and up to 1; without it, 0.6."""
    frames: int | None = None
    """Frames to make, beside those that are given; without it, 16."""
    size: str | None = None
    """WIDTHxHEIGHT in pixels, such as 64x48; without it, the size that the model was trained on."""
    expand: bool = False
    """Fill what a short prompt leaves open, by rules."""
    guidance: float | None = None
    """How strongly words count: 1 as they are, more is stronger; without it, as in the model's recipe."""
    steps: int | None = None
    """Steps of the solver; without it, as in the model's recipe."""
    seed: int = 0
    """Seed of the noise."""
    out: Path = Path("film.mp4")
    """File to write: .mp4, .gif, or .png for a strip of frames."""

    def run(self) -> None:
        from threeworlds.cli.films import check_format, read_film, write_film
        from threeworlds.score.films import to_uint8
        from threeworlds.train import load_model

        task = self._task()
        check_format(self.out)
        model, card = load_model(self.checkpoint)
        spec = sized(card.spec, self.size)
        paths = {name: path for name in ("image", "extend", "loop", "edit") if (path := getattr(self, name))}
        paths |= dict(zip(("first", "second"), self.connect or (), strict=False))
        given = {name: read_film(path, spec) for name, path in paths.items()}
        film = self._film(model, task, given, spec)
        write_film(to_uint8(film.video[0]), self.out, fps=spec.fps)
        say(f"{film.video.shape[1]} frames in {film.seconds:.1f} s -> {self.out}")

    def _task(self) -> str:
        """The one thing that is asked for.

        Raises:
            ValueError: more than one, or a flag that says nothing about it.
        """
        asked = [name for name in ("image", "extend", "loop", "connect", "edit") if getattr(self, name) is not None]
        if len(asked) > 1:
            raise ValueError(f"one task at a time; got {', '.join(f'--{name}' for name in asked)}")
        task = asked[0] if asked else "words"
        needs = {"backward": "extend", "strength": "edit"}
        for flag, needed in needs.items():
            if getattr(self, flag) not in (None, False) and task != needed:
                raise ValueError(f"--{flag} goes with --{needed}")
        if task == "edit" and self.frames is not None:
            raise ValueError("--frames says how many to make; an edited film keeps its length")
        for name, value in (("frames", self.frames), ("steps", self.steps)):
            if value is not None and value < 1:
                raise ValueError(f"--{name} {value}: at least 1")
        return task

    def _film(self, model: object, task: str, given: Mapping[str, Tensor], spec: ClipSpec) -> Imagined:
        from threeworlds.routes.sora.model import Sora

        if isinstance(model, Sora):
            return self._by_sora(model, task, given, spec)
        options = ("prompt", "size", "guidance", "steps", "expand", "backward")
        told = [name for name in options if getattr(self, name) not in (None, False, "")]
        if told:
            raise ValueError(f"this model takes no words and goes on from its own frames; got {', '.join(told)}")
        return predicted(model, given.get("image", given.get("extend")), self.frames or FRAMES, self.seed)

    def _by_sora(self, model: Sora, task: str, given: Mapping[str, Tensor], spec: ClipSpec) -> Imagined:
        from threeworlds.routes.sora import tasks

        sampling = tasks.Sampling(seed=self.seed, steps=self.steps, guidance=self.guidance)
        captions = (words(self.prompt, spec, expand=self.expand, seed=self.seed),)
        frames = self.frames or FRAMES
        if task == "words":
            size = (spec.height, spec.width)
            return tasks.text_to_video(model, captions, frames=frames, size=size, sampling=sampling)
        if task == "image":
            return tasks.extend(model, given["image"][:, :1], captions, frames=frames, sampling=sampling)
        if task == "extend":
            clip = given["extend"]
            return tasks.extend(model, clip, captions, frames=frames, backward=self.backward, sampling=sampling)
        if task == "loop":
            return tasks.loop(model, given["loop"], captions, frames=frames, sampling=sampling)
        if task == "connect":
            first, second = given["first"], given["second"]
            return tasks.connect(model, first, second, captions, frames=frames, sampling=sampling)
        strength = STRENGTH if self.strength is None else self.strength
        return tasks.edit(model, given["edit"], captions, strength=strength, sampling=sampling)


def sized(spec: ClipSpec, size: str | None) -> ClipSpec:
    """The spec at that "WIDTHxHEIGHT"."""
    if size is None:
        return spec
    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if match is None:
        raise ValueError(f"size {size!r}: expected WIDTHxHEIGHT, such as 64x48")
    return replace(spec, width=int(match[1]), height=int(match[2]))


def words(prompt: str, spec: ClipSpec, *, expand: bool, seed: int) -> str:
    """The prompt as the model was taught to read it.

    Raises:
        ValueError: the model never saw captions, or never these words; or its world has no rules to expand by.
    """
    import numpy as np

    from threeworlds.worlds import WORLDS

    if prompt and not spec.captioned:
        raise ValueError("this model was trained on clips without captions; give it a picture or film, and no words")
    world = WORLDS.get(spec.world)
    if world is not None and world.vocabulary:
        world.check_words(prompt)
    if not expand:
        return prompt
    if world is None or world.expand is None:
        raise ValueError("--expand has rules for the arena alone; this model comes from other clips")
    longer = world.expand(prompt, np.random.default_rng(seed))
    say(f"expanded: {longer}")
    return longer


def predicted(model: object, given: Tensor | None, frames: int, seed: int) -> Imagined:
    """The given film [1, k, c, h, w] and ``frames`` more, by a model without words."""
    import torch

    if not isinstance(model, Predicts):
        raise ValueError("this model makes no pictures, by design")
    if given is None:
        raise ValueError("this model goes on from given frames: give --image or --extend")
    rest = model.predict(given, frames, seed=seed)
    return Imagined(video=torch.cat([given, rest.video], dim=1), seconds=rest.seconds)
