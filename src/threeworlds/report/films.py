"""Strips of frames from beside result.json, checked and made part of the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from threeworlds.report.words import QUESTIONS, ROUTES, in_order
from threeworlds.score.result import natural
from threeworlds.types import Film


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One film as the page shows it. ``problem`` says why there is no picture."""

    film: Film
    data: str = ""  # data URI of the PNG
    width: int = 0  # of one frame, pixels
    height: int = 0
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Item:
    """The truth and the routes on one item, to be played together."""

    kind: str
    name: str
    fps: float
    strips: tuple[Strip, ...]


def items_of(films: Iterable[Film], folder: Path) -> list[Item]:
    """Films by kind and item, truth first. A film that cannot be shown keeps its place and says why."""
    groups: dict[tuple[str, str], list[Film]] = {}
    for film in films:
        groups.setdefault((film.kind, film.item), []).append(film)
    kinds = in_order((kind for kind, _ in groups), QUESTIONS)
    keys = sorted(groups, key=lambda key: (kinds.index(key[0]), natural(key[1])))
    return [_item(kind, name, groups[kind, name], folder) for kind, name in keys]


def _item(kind: str, name: str, films: list[Film], folder: Path) -> Item:
    routes = in_order((film.route for film in films), ROUTES)
    films = sorted(films, key=lambda film: (routes.index(film.route), film.path))
    return Item(kind=kind, name=name, fps=films[0].fps, strips=tuple(_load(film, folder) for film in films))


def _load(film: Film, folder: Path) -> Strip:
    from PIL import Image  # late, as all that is slow to import

    path = (folder / film.path).resolve()
    if not path.is_relative_to(folder.resolve()):
        return Strip(film=film, problem=f"{film.path} lies outside the folder of result.json")
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            width, height = image.size
    except OSError as error:
        return Strip(film=film, problem=f"{film.path} cannot be read: {error.strerror or 'not a PNG picture'}")
    if film.frames < 1 or width % film.frames:
        return Strip(film=film, problem=f"{film.path} is {width} pixels wide, which is not {film.frames} equal frames")
    data = "data:image/png;base64," + base64.b64encode(content).decode("ascii")
    return Strip(film=film, data=data, width=width // film.frames, height=height)
