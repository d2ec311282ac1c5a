"""A look at a folder of films before any of it is read: how much there is, and how long reading it takes here.

A few films are opened, each in a process of its own as in :mod:`.films`. What they declare, and how fast their first
seconds were decoded, stands for the others, byte for byte.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from threeworlds.data.films import Job, decode
from threeworlds.data.ingest import MAX_SECONDS, find_films, pictures_of

OPENED = 3  # films, spread over the folder
FIRST_SECONDS = 2.0  # of each that are decoded
PATIENCE = 30.0  # s for one of them


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a folder seems to hold. All 0 but ``films`` where none of those opened is a film."""

    films: int
    film_seconds: float  # of all films together
    reading_seconds: float  # wall clock to decode them all, on all cores


def survey(folder: str | Path, *, size: tuple[int, int], fps: float = 10.0) -> Survey:
    """Open a few films. Those that cannot be opened count for nothing here; ``ingest`` names them."""
    folder = Path(folder)
    films, _, _ = find_films(folder)
    chosen = films[:: max(1, len(films) // OPENED)][:OPENED]
    opened = {film: open_film(film, folder, size, fps) for film in chosen}
    declared = sum(seconds for seconds, _ in opened.values())
    if not declared:
        return Survey(films=len(films), film_seconds=0.0, reading_seconds=0.0)
    pace = sum(pace * seconds for seconds, pace in opened.values()) / declared
    known = sum(weight(film, folder) for film, (seconds, _) in opened.items() if seconds)
    film_seconds = declared * sum(weight(film, folder) for film in films) / known
    reading = pace * film_seconds / min(len(films), os.cpu_count() or 1)
    return Survey(films=len(films), film_seconds=film_seconds, reading_seconds=reading)


def open_film(film: Path, folder: Path, size: tuple[int, int], fps: float) -> tuple[float, float]:
    """Its length in s, and wall clock to decode one second of it; 0 and 0 where it cannot be read."""
    pictures = tuple(str(picture) for picture in pictures_of(film, folder)) if film.is_dir() else ()
    start = perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        job = Job(
            path=str(film), pictures=pictures, out=scratch, height=size[0], width=size[1], fps=fps, crop="centre",
            max_seconds=FIRST_SECONDS,
        )  # fmt: skip
        first = decode(job, time_limit=PATIENCE)
    if not first.frames:
        return 0.0, 0.0
    seconds = min(max(len(pictures) / fps, first.declared, first.seconds), MAX_SECONDS)
    return seconds, (perf_counter() - start) / (first.frames / fps)


def weight(film: Path, folder: Path) -> int:
    """Bytes of a film, or of the pictures that make one."""
    return sum(part.stat().st_size for part in (pictures_of(film, folder) if film.is_dir() else [film]))
