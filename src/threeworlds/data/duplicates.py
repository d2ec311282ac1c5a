"""Near duplicates across splits: a perceptual hash a frame, compared over short runs of frames.

Exact copies are tied by the split itself; this finds copies that were shifted in time, brightened or encoded again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from threeworlds.data.store import ClipStore

GRID = 8
# A run is RUN frames, SPACING apart: motion must agree too, which single pictures of a plain world cannot tell.
RUN, SPACING = 4, 2
SPAN = (RUN - 1) * SPACING + 1
EVIDENCE = 4 * RUN  # bits by which a run must differ from the typical frame before it can be recognised


@dataclass(frozen=True, kw_only=True)
class NearDuplicate:
    """Two episodes that show the same thing on two sides of the split."""

    train: int  # episode number
    test: int
    distance: float  # in [0, 1]: part of the telling bits in which the most alike runs differ


def frame_hashes(video: np.ndarray) -> np.ndarray:
    """uint8 [t, h, w, 3] -> uint64 [t]: the difference hash of each frame.

    The frame is averaged to 8 x 9 grey cells; a bit says that a cell is brighter than its left neighbour, so the hash
    does not see a change of brightness or contrast. Source: N. Krawetz, "Kind of like that" (dHash), 2013.
    """
    grey = video.mean(axis=3, dtype=np.float32)
    cells = _averages(_averages(grey, GRID, axis=1), GRID + 1, axis=2)
    # a cell must be brighter by half a grey level, so that rounding in flat areas sets no bit
    bits = np.diff(cells, axis=2) > 0.5
    return np.packbits(bits.reshape(len(video), -1), axis=1).view(np.uint64)[:, 0]


def near_duplicates(store: ClipStore, *, split: str = "test", threshold: float = 0.1) -> list[NearDuplicate]:
    """Pairs of a training episode and a ``split`` episode that share a run of frames, most alike first.

    Three runs of each held-out episode (start, middle, end) slide over every training episode. Bits are counted
    against the store's typical frame, so a background that all clips share tells nothing. Episodes shorter than
    seven frames are not compared. A run of a held-out episode names its nearest training episode only.
    """
    train, others = _long_enough(store, "train"), _long_enough(store, split)
    if not len(train) or not len(others):
        return []
    typical = _typical(store.frame_hash)
    frames = np.concatenate([_hashes(store, i) for i in train]) ^ typical
    owner = np.repeat(train, store.lengths[train])
    inside = owner[: len(owner) - SPAN + 1] == owner[SPAN - 1 :]  # runs that stay in one episode
    found: dict[tuple[int, int], float] = {}
    for episode in others.tolist():
        for run in _runs(_hashes(store, episode) ^ typical):
            distance = np.where(inside, _distances(run, frames), 1.0)
            nearest = int(distance.argmin())
            pair = int(owner[nearest]), episode
            if distance[nearest] <= threshold:
                found[pair] = min(found.get(pair, 1.0), float(distance[nearest]))
    pairs = [NearDuplicate(train=a, test=b, distance=round(d, 4)) for (a, b), d in found.items()]
    return sorted(pairs, key=lambda pair: (pair.distance, pair.train, pair.test))


def _distances(run: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Jaccard distance of the set bits of a run [RUN] and of the runs that start at frames [n]: [n - SPAN + 1]."""
    starts = len(frames) - SPAN + 1
    differ, either = np.zeros(starts, np.int32), np.zeros(starts, np.int32)
    for k, bits in enumerate(run):
        aligned = frames[k * SPACING : k * SPACING + starts]
        differ += np.bitwise_count(aligned ^ bits)
        either += np.bitwise_count(aligned | bits)
    return np.where(either >= EVIDENCE, differ / np.maximum(either, 1), 1.0)


def _runs(hashes: np.ndarray) -> list[np.ndarray]:
    last = len(hashes) - SPAN
    return [hashes[start : start + SPAN : SPACING] for start in sorted({0, last // 2, last})]


def _typical(hashes: np.ndarray) -> np.uint64:
    """The frame whose every bit is as in most frames."""
    bits = np.unpackbits(hashes[:, None].view(np.uint8), axis=1).mean(axis=0) > 0.5
    return np.packbits(bits).view(np.uint64)[0]


def _long_enough(store: ClipStore, split: str) -> np.ndarray:
    episodes = store.split(split)
    return episodes[store.lengths[episodes] >= SPAN]


def _hashes(store: ClipStore, episode: int) -> np.ndarray:
    first = store.offset(episode)
    return store.frame_hash[first : first + store.length(episode)]


def _averages(frames: np.ndarray, cells: int, axis: int) -> np.ndarray:
    """Mean over ``cells`` nearly equal parts of an axis (of a shorter axis: one pixel, repeated)."""
    size = frames.shape[axis]
    edges = np.arange(cells) * size // cells
    sums = np.add.reduceat(frames, edges, axis=axis)
    shape = [1] * frames.ndim
    shape[axis] = cells
    return sums / np.maximum(np.diff(np.append(edges, size)), 1).reshape(shape)
