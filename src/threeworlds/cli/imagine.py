"""``threeworlds imagine``: words, pictures and films to a film."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from threeworlds.cli.console import say
from threeworlds.types import ClipSpec, Imagined, Predicts

if TYPE_CHECKING:
    from torch import Tensor

    from threeworlds.routes.sora.model import Sora
    from threeworlds.routes.sora.tasks import Sampling

STRENGTH, FRAMES = 0.6, 16
GOES_WITH = {"backward": ("extend",), "strength": ("edit",), "stream": ("extend", "image")}  # flag -> tasks


@dataclass(frozen=True, kw_only=True)
class Imagine:
    """Make a film: from words alone, or from one of --image, --extend, --loop, --connect, --edit, and words.

    Words need a sora model that was trained on captions. The other routes go on from --image or --extend.
    """

    prompt: Positional[str] = ""
    """What the film should show, such as "a small blue square moves up"."""
    checkpoint: Path | None = None
    """Folder of a trained model; without it, the sora model of the arena in ./zoo."""
    image: Path | None = None
    """Picture to set in motion."""
    extend: Path | None = None
    """Film to go on from."""
    backward: bool = False
    """With --extend: make what came before it."""
    loop: Path | None = None
    """Film to lead back from its end to its start."""
    connect: Annotated[tuple[Path, ...] | None, arg(metavar="PATH PATH")] = None
    """Two films to lead over from the first to the second."""
    edit: Path | None = None
    """Film to make anew under the prompt's words; without words, another film like it."""
    strength: float | None = None
    """With --edit: how much to change, above 0 and up to 1; without it, 0.6."""
    stream: bool = False
    """With --extend or --image: chunk by chunk, at a cost that does not grow; says how many frames a second."""
    frames: int | None = None
    """Frames to make, beside those that are given; without it, 16."""
    size: str | None = None
    """WIDTHxHEIGHT in pixels, such as 64x48, up to 8192 tokens in the model's window (256x256 for the one in ./zoo);
    without it, as in training."""
    expand: bool = False
    """Fill what a short prompt leaves open, by rules."""
    guidance: float | None = None
    """How strongly words count: 0 not at all, 1 as they are, more is stronger; without it, as in the model's recipe."""
    solver: Literal["euler", "heun", "multistep"] | None = None
    """How noise becomes a film; without it, as in the model's recipe."""
    steps: int | None = None
    """Steps of the solver; without it, as in the model's recipe."""
    seed: int = 0
    """Seed of the noise."""
    out: Path = Path("film.mp4")
    """File to write: .mp4, .gif, or .png for a strip of frames."""

    def run(self) -> None:
        from threeworlds.cli.films import check_target, read_film, write_film
        from threeworlds.score.films import to_uint8
        from threeworlds.train import load_model

        task, sampling = self._task(), self._sampling()
        check_target(self.out)
        model, card = load_model(self.checkpoint or kept_model())
        spec = sized(card.spec, self.size)
        check_fits(model, spec)
        paths = {name: path for name in ("image", "extend", "loop", "edit") if (path := getattr(self, name))}
        paths |= dict(zip(("first", "second"), self.connect or (), strict=False))
        given = {name: read_film(path, spec) for name, path in paths.items()}
        film = self._film(model, task, given, spec, sampling)
        write_film(to_uint8(film.video[0]), self.out, fps=spec.fps)
        rate = f", {(self.frames or FRAMES) / film.seconds:.1f} frames/s" if self.stream else ""
        say(f"{film.video.shape[1]} frames in {film.seconds:.1f} s{rate} -> {self.out}")

    def _task(self) -> str:
        """The one thing that is asked for.

        Raises:
            ValueError: more than one, or a flag that says nothing about it.
        """
        asked = [name for name in ("image", "extend", "loop", "connect", "edit") if getattr(self, name) is not None]
        if len(asked) > 1:
            raise ValueError(f"one task at a time; got {', '.join(f'--{name}' for name in asked)}")
        task = asked[0] if asked else "words"
        for flag, needed in GOES_WITH.items():
            if getattr(self, flag) not in (None, False) and task not in needed:
                raise ValueError(f"--{flag} goes with {' or '.join(f'--{name}' for name in needed)}")
        if self.connect is not None and len(self.connect) != 2:
            told = " ".join(map(str, self.connect)) or "none"
            raise ValueError(f"--connect takes two films; got {told} (words go before it)")
        if self.stream and self.backward:
            raise ValueError("--stream goes forward; got --backward")
        if task == "edit" and self.frames is not None:
            raise ValueError("--frames says how many to make; an edited film keeps its length")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"--frames {self.frames}: at least 1")
        if self.guidance is not None and not (self.prompt or self.expand):
            raise ValueError("--guidance says how strongly words count; there are none")
        return task

    def _sampling(self) -> Sampling:
        from threeworlds.routes.sora.tasks import Sampling

        return Sampling(seed=self.seed, solver=self.solver, steps=self.steps, guidance=self.guidance)

    def _film(
        self, model: object, task: str, given: Mapping[str, Tensor], spec: ClipSpec, sampling: Sampling
    ) -> Imagined:
        from threeworlds.routes.sora.model import Sora

        if isinstance(model, Sora):
            return self._by_sora(model, task, given, spec, sampling)
        options = ("prompt", "size", "guidance", "solver", "steps", "expand", "backward", "stream")
        told = [name for name in options if getattr(self, name) not in (None, False, "")]
        if told:
            raise ValueError(f"this model takes no words and goes on from its own frames; got {', '.join(told)}")
        return predicted(model, given.get("image", given.get("extend")), self.frames or FRAMES, self.seed)

    def _by_sora(
        self, model: Sora, task: str, given: Mapping[str, Tensor], spec: ClipSpec, sampling: Sampling
    ) -> Imagined:
        from threeworlds.routes.sora import tasks

        free = model.config.generator.text == "minilm"
        said = (words(self.prompt, spec, free=free, expand=self.expand, seed=self.seed),)
        how: dict[str, Any] = {"sampling": sampling}
        if task == "edit":
            strength = STRENGTH if self.strength is None else self.strength
            return tasks.edit(model, given["edit"], said, strength=strength, **how)
        how["frames"] = self.frames or FRAMES
        if task == "words":
            return tasks.text_to_video(model, said, size=(spec.height, spec.width), **how)
        if task == "loop":
            return tasks.loop(model, given["loop"], said, **how)
        if task == "connect":
            return tasks.connect(model, given["first"], given["second"], said, **how)
        clip = given["image"][:, :1] if task == "image" else given["extend"]
        if self.stream:
            return tasks.streamed(model, clip, said, **how)
        return tasks.extend(model, clip, said, backward=self.backward, **how)


def kept_model() -> Path:
    """The sora model of the arena in the zoo.

    Raises:
        ValueError: there is no zoo here, or none of that kind in it.
    """
    from threeworlds.score.zoo import ZOO, chosen_models

    if not ZOO.is_dir():
        raise ValueError(
            f"no folder {ZOO}/ here. Trained models come with the source repository of threeworlds, not with the "
            "installed package: run this at the top of a clone, or name a model with --checkpoint"
        )
    return chosen_models(ZOO, "arena", {"sora": "base"})[0]


def check_fits(model: object, spec: ClipSpec) -> None:
    """A ValueError unless a sora model can make frames of that size; the others are told elsewhere that they cannot."""
    from threeworlds.routes.sora.model import Sora
    from threeworlds.routes.sora.tasks import check_size

    if isinstance(model, Sora):
        check_size(model, spec.height, spec.width)


def sized(spec: ClipSpec, size: str | None) -> ClipSpec:
    """The spec at that "WIDTHxHEIGHT"."""
    if size is None:
        return spec
    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if match is None or not int(match[1]) * int(match[2]):
        raise ValueError(f"size {size!r}: expected WIDTHxHEIGHT, such as 64x48")
    return replace(spec, width=int(match[1]), height=int(match[2]))


def words(prompt: str, spec: ClipSpec, *, free: bool, expand: bool, seed: int) -> str:
    """The prompt as the model was taught to read it; ``free``: a pretrained reader knows words that no clip had.

    Raises:
        ValueError: the model never saw captions, or knows none of these words; or its world has no rules to expand by.
    """
    import numpy as np

    from threeworlds.worlds import WORLDS

    if prompt and not spec.captioned:
        raise ValueError("this model was trained on clips without captions; give it a picture or film, and no words")
    world = WORLDS.get(spec.world)
    if world is not None and world.vocabulary and (expand or not free):
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
