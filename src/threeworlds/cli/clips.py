"""Clips of a built-in world, on disk: where the worlds meet the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threeworlds.data import ClipStore


def generate(
    world: str, out: Path, *, episodes: int, seed: int, size: int | None = None, workers: int = 1
) -> ClipStore:
    """Write ``episodes`` episodes of a world to the folder ``out`` and open it; ``size`` None: the world's own."""
    from threeworlds.data import ClipStore, ClipWriter
    from threeworlds.worlds import WORLDS, collect

    clips = collect(world, episodes=episodes, seed=seed, workers=workers, size=size)  # checks the name
    with ClipWriter(out, WORLDS[world].spec(size)) as writer:
        for clip in clips:
            writer.add(clip)
    return ClipStore.open(out)
