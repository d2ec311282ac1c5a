"""Clips of a world or a game, on disk: where the worlds meet the store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threeworlds.score.result import write_atomically
from threeworlds.types import EMPTY

if TYPE_CHECKING:
    from threeworlds.data import ClipStore


def made_once(folder: Path, asked: Mapping[str, Any], make: Callable[[], ClipStore]) -> ClipStore:
    """The clips in ``folder``: those that are there, if they were asked for in the same words, or else made now.

    What was asked for stands in a file beside the folder.
    Raises ValueError where the clips there were asked for otherwise.
    """
    from threeworlds.data import ClipStore

    asked = json.loads(json.dumps(asked, default=str))
    note = folder.with_suffix(".json")
    if not folder.exists():
        write_atomically(note, json.dumps(asked, indent=1) + "\n")
        return make()
    before = json.loads(note.read_text()) if note.exists() else asked
    other = sorted(key for key in {*before, *asked} if before.get(key) != asked.get(key))
    if other:
        told = "; ".join(f"{key} was {before.get(key)!r}, now {asked.get(key)!r}" for key in other)
        raise ValueError(f"{folder} holds other clips: {told}. Take another folder, or the settings of before")
    return ClipStore.open(folder)


def generate(
    world: str,
    out: Path,
    *,
    episodes: int,
    seed: int,
    size: int | None = None,
    workers: int | None = None,
    options: Mapping[str, Any] = EMPTY,
) -> ClipStore:
    """Write ``episodes`` episodes of a world to the folder ``out`` and open it; the clips do not depend on ``workers``.

    ``size`` None: the world's own. ``workers`` None: one for each core, up to 8; games are played in this process.
    ``options``: the world's own.
    """
    from rich.progress import track

    from threeworlds.data import ClipStore, ClipWriter
    from threeworlds.worlds import COLLECTIONS, WORLDS, collect

    if world in COLLECTIONS:
        if options:
            raise ValueError(f"options {', '.join(options)}: {world} has none")
        spec = COLLECTIONS[world].spec(size)
        clips = COLLECTIONS[world].collect(episodes=episodes, seed=seed, size=size)
    else:
        count = workers or min(os.cpu_count() or 1, 8)
        clips = collect(world, episodes=episodes, seed=seed, size=size, workers=count, **options)  # checks the name
        spec = WORLDS[world].spec(size, **options)
    with ClipWriter(out, spec) as writer:
        for clip in track(clips, total=episodes, description=f"clips of {world}", transient=True):
            writer.add(clip)
    return ClipStore.open(out)
