"""Clips of a built-in world, on disk: where the worlds meet the store."""

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

    ``size`` None: the world's own. ``workers`` None: one for each core, up to 8. ``options``: the world's own.
    """
    from rich.progress import track

    from threeworlds.data import ClipStore, ClipWriter
    from threeworlds.worlds import WORLDS, collect

    count = workers or min(os.cpu_count() or 1, 8)
    clips = collect(world, episodes=episodes, seed=seed, size=size, workers=count, **options)
    with ClipWriter(out, WORLDS[world].spec(size, **options)) as writer:
        for clip in track(clips, total=episodes, description=f"clips of {world}", transient=True):
            writer.add(clip)
    return ClipStore.open(out)
