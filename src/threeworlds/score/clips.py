"""Clips of a world or a game, on disk: where the worlds meet the store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threeworlds.types import EMPTY

if TYPE_CHECKING:
    from threeworlds.data import ClipStore


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
