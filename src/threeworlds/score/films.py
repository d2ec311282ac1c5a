"""Films for the report: frames side by side in one PNG."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import numpy as np
from torch import Tensor

from threeworlds.types import Film

FOLDER = "films"


def to_uint8(video: Tensor) -> np.ndarray:
    """[..., c, h, w] in [-1, 1] -> uint8 [..., h, w, c]."""
    pixels = ((video.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return pixels.movedim(-3, -1).cpu().numpy()


def film_of(
    item: str, route: str, kind: str, frames: np.ndarray, *, given: int = 0, fps: float = 10.0
) -> tuple[Film, np.ndarray]:
    """A film and its frames uint8 [t, h, w, 3]; the path is made from the names."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{kind} {route} {item}".lower()).strip("-")[:60]
    path = f"{FOLDER}/{words}-{crc32(item.encode()):08x}.png"  # captions may be long, and differ only at their end
    film = Film(item=item, route=route, kind=kind, path=path, frames=len(frames), given=given, fps=fps)
    return film, frames


def write_films(films: Iterable[tuple[Film, np.ndarray]], folder: Path) -> tuple[Film, ...]:
    """Write each film's strip [h, t w, 3] under ``folder`` and return the films."""
    from PIL import Image

    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    kept = []
    for film, frames in films:
        Image.fromarray(np.concatenate(list(frames), axis=1)).save(folder / film.path)
        kept.append(film)
    return tuple(kept)
