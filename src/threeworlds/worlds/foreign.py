"""Games that nobody here wrote, as collections of clips: played by a collector, packages of their own needed.

They are not `World`s: their pictures are not a function of a state we can load, so nothing is simulated from them.
Legend: t frames, s state variables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from threeworlds.types import ActionSpec, Clip, ClipSpec
from threeworlds.worlds.base import checked_size


class Player(Protocol):
    """A game with its collector."""

    def episode(self, rng: np.random.Generator, size: int) -> Clip | None:
        """One episode of frames ``size`` pixels a side, a function of ``rng`` alone; None where it is too short."""
        ...

    def close(self) -> None:
        """End the game."""
        ...


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A game as the registry holds it."""

    name: str
    player: Callable[[], Player]  # raises MissingGame where its packages are not installed
    action: ActionSpec
    state_names: tuple[str, ...]
    steps: int  # frames of an episode, at most
    size: int = 64  # pixels a side, unless asked otherwise
    fps: float = 10.0

    def spec(self, size: int | None = None) -> ClipSpec:
        """What its clips look like."""
        pixels = checked_size(self.size if size is None else size)
        return ClipSpec(
            height=pixels,
            width=pixels,
            fps=self.fps,
            action=self.action,
            state_names=self.state_names,
            world=self.name,
        )

    def collect(self, *, episodes: int, seed: int, size: int | None = None) -> Iterator[Clip]:
        """Yield ``episodes`` clips; episode i depends on the seed and on i alone."""
        player, pixels = self.player(), self.spec(size).height
        try:
            for i in range(episodes):
                yield _episode(player, self.name, seed, i, pixels)
        finally:
            player.close()


class MissingGame(ValueError):
    """The packages of a game are not installed."""


def _episode(player: Player, name: str, seed: int, i: int, size: int) -> Clip:
    attempt = 0
    while (clip := player.episode(np.random.default_rng([seed, i, attempt]), size)) is None:
        attempt += 1
    return Clip(
        video=clip.video,
        action=clip.action,
        state=clip.state,
        fps=clip.fps,
        source=f"{name}/{seed}/{i}",
        tags=clip.tags,
    )


def borrowed(module: str, unused: tuple[str, ...] = ()) -> Any:
    """A module of a package whose own imports ask for far more than the module needs.

    The packages above it stay empty while it is imported, and so do the ``unused`` modules that are not installed;
    afterwards these stand-ins are gone.

    Raises:
        ImportError: the package, or something that the module does need, is not installed.
    """
    if module in sys.modules:
        return sys.modules[module]
    top = module.partition(".")[0]
    found = find_spec(top)
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"No module named {top!r}")
    folder, stand_ins = found.submodule_search_locations[0], [n for n in unused if not _installed(n)]
    above = list(accumulate(module.split(".")[:-1], lambda a, b: f"{a}.{b}"))
    made = [name for name in (*above, *stand_ins) if name not in sys.modules]
    for name in made:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [folder + name.removeprefix(top).replace(".", "/")] if name in above else []
    try:
        return import_module(module)
    finally:
        for name in made:
            del sys.modules[name]


def _installed(name: str) -> bool:
    return find_spec(name.partition(".")[0]) is not None


def held(weights: Mapping[int, float], steps: tuple[int, int], rng: np.random.Generator) -> Iterator[int]:
    """Actions drawn by weight, each held for a number of steps in [first, last): what a player does, not jitter."""
    actions, p = list(weights), np.array(list(weights.values()))
    while True:
        yield from [int(rng.choice(actions, p=p / p.sum()))] * int(rng.integers(*steps))


def shrunk(frame: np.ndarray, size: int) -> np.ndarray:
    """A square frame uint8 [n, n, 3] at ``size`` pixels a side, each the mean of what it covers."""
    if len(frame) == size:
        return frame.copy()
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BOX))
