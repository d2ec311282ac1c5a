"""``threeworlds imagine``: words, or the first frames, to a film."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from threeworlds.cli.console import say
from threeworlds.types import Generates, Imagined, Predicts, Prompt

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Imagine:
    """Make a film from words (a model that was trained on captions) or go on from --prefix."""

    prompt: Positional[str] = ""
    """What the film should show, such as "a red disc goes left"; empty: go on from the prefix alone."""
    checkpoint: Path
    """Folder of a trained model."""
    prefix: Path | None = None
    """Film or picture to go on from; of a film the last frames count, up to a quarter of --frames."""
    frames: int = 16
    """Length of the film, prefix included."""
    seed: int = 0
    """Seed of the noise."""
    out: Path = Path("film.mp4")
    """File to write: .mp4, .gif, or .png for a strip of frames."""

    def run(self) -> None:
        from threeworlds.cli.films import read_film, write_film
        from threeworlds.score.films import to_uint8
        from threeworlds.train import load_model

        model, card = load_model(self.checkpoint)
        spec = card.spec
        prefix = None if self.prefix is None else read_film(self.prefix, spec)[:, -max(1, self.frames // 4) :]
        film = imagine(model, self.prompt, prefix, frames=self.frames, seed=self.seed)
        write_film(to_uint8(film.video[0]), self.out, fps=spec.fps)
        say(f"{film.video.shape[1]} frames in {film.seconds:.1f} s -> {self.out}")


def imagine(model: object, words: str, prefix: Tensor | None, *, frames: int, seed: int) -> Imagined:
    """A film of ``frames`` frames by whatever the model can do: words and prefix [1, k, c, h, w], or the prefix alone.

    Raises:
        ValueError: the model can do neither, with what it was given.
    """
    import torch

    if isinstance(model, Generates):
        caption = (words,) if words else None
        return model.generate(Prompt(caption=caption, video=prefix, frames=frames), seed=seed)
    if words:
        raise ValueError("this model takes no words: give an empty prompt and a --prefix")
    if not isinstance(model, Predicts):
        raise ValueError("this model makes no pictures, by design")
    if prefix is None:
        raise ValueError("this model goes on from given frames: give a --prefix")
    rest = model.predict(prefix, frames - prefix.shape[1], seed=seed)
    return Imagined(video=torch.cat([prefix, rest.video], dim=1), seconds=rest.seconds)
