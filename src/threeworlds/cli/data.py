"""``threeworlds data``: clips on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from threeworlds.cli.console import print_mapping, print_table, say


@dataclass(frozen=True, kw_only=True)
class DataGenerate:
    """Make clips of a built-in world."""

    out: Path
    """Folder to write the clips to; must not exist."""
    world: str = "arena"
    """Built-in world (see `threeworlds worlds`)."""
    episodes: int = 1000
    """Number of episodes."""
    seed: int = 0
    """The clips are a function of world, size and seed alone."""
    size: int | None = None
    """Height and width of a frame, pixels; without it, the world's own."""
    workers: int = 1
    """Processes; the clips do not depend on it."""
    option: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="KEY=VALUE")] = ()
    """Variant of the world, such as layout=random (rooms) or task=parabola (motion)."""

    def run(self) -> None:
        from threeworlds.cli.overrides import world_options
        from threeworlds.score.clips import generate

        generate(
            self.world,
            self.out,
            episodes=self.episodes,
            seed=self.seed,
            size=self.size,
            workers=self.workers,
            options=world_options(self.world, self.option),
        )
        print_store(self.out)


@dataclass(frozen=True, kw_only=True)
class DataIngest:
    """Turn a folder of your own video into clips. A file that cannot be read is set aside with its cause."""

    folder: Positional[Path]
    """Folder of films (mp4, webm, mkv, avi, mov, gif) and folders of images, captions and actions beside them."""
    out: Path
    """Folder to write the clips to; must not exist."""
    size: int = 64
    """Height and width of a frame, pixels."""
    fps: float = 10.0
    """Frames per second to keep."""
    crop: Literal["centre", "none"] = "centre"
    """Cut the middle square out, or squeeze the whole picture."""

    def run(self) -> None:
        from threeworlds.data import ingest

        ingest(self.folder, self.out, size=(self.size, self.size), fps=self.fps, crop=self.crop)
        print_store(self.out)


@dataclass(frozen=True, kw_only=True)
class DataCaption:
    """Write captions for clips that have none, by a trained captioner; or score it on clips that have some."""

    clips: Positional[Path]
    """Folder of clips."""
    checkpoint: Path
    """Folder of a trained captioner (`threeworlds train captioner`)."""
    out: Path | None = None
    """Folder to write the captioned clips to; must not exist. Without it, the captioner is scored on CLIPS."""
    items: int = 200
    """Held-out episodes to score on."""
    seed: int = 0
    """Which of them."""
    result: Path | None = None
    """JSON file to write the scores to."""

    def run(self) -> None:
        from threeworlds.data import ClipStore
        from threeworlds.routes.sora.captioner import Captioner
        from threeworlds.score.captions import caption_store, score_captioner
        from threeworlds.train import load_model

        captioner, card = load_model(self.checkpoint)
        if not isinstance(captioner, Captioner):
            raise ValueError(f"{self.checkpoint} holds no captioner")
        store = ClipStore.open(self.clips)
        if self.out is None:
            scores = score_captioner(captioner, store, items=self.items, seed=self.seed)
            print_mapping({name: f"{value:.3f}" for name, value in scores.items()}, title="said right, part of clips")
            if self.result is not None:
                told = {"items": self.items, "seed": self.seed, "trained": card.command, "said_right": scores}
                self.result.write_text(json.dumps(told, indent=1) + "\n")
        else:
            caption_store(captioner, store, self.out)
            print_store(self.out)


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """Say what a folder of clips holds: episodes, frames, splits, where they came from."""

    clips: Positional[Path]
    """Folder of clips."""

    def run(self) -> None:
        print_store(self.clips)


@dataclass(frozen=True, kw_only=True)
class DataVerify:
    """Read every byte of a folder of clips and compare it with the hash kept when it was written."""

    clips: Positional[Path]
    """Folder of clips."""

    def run(self) -> None:
        from threeworlds.data import ClipStore

        store = ClipStore.open(self.clips)
        store.verify()
        say(f"{self.clips}: {len(store)} episodes, every file as it was written")


def print_store(path: Path) -> None:
    """What a store holds; where it came from a folder of films, each film, and each file set aside with its cause."""
    from threeworlds.data import ClipStore

    summary = dict(ClipStore.open(path).summary())
    ingested = dict(summary.pop("ingest", None) or {})
    films, aside = ingested.pop("kept", {}), ingested.pop("quarantined", {})
    print_mapping(summary | ({"ingest": ingested} if ingested else {}), title=str(path))
    if films:
        columns = (name.replace("_", " ") for name in next(iter(films.values())))
        print_table(("film", *columns), ((name, *film.values()) for name, film in films.items()))
    if aside:
        print_table(("set aside", "cause"), aside.items())
