"""Near duplicates across splits: hashes propose short runs of frames that look alike, pixels decide.

Exact copies are tied by the split itself; this finds copies that were shifted in time, brightened or encoded again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from threeworlds.data.store import ClipStore

GRID = 8
MARGIN = 2.0  # grey levels by which a cell must be brighter to set a bit: noise in flat areas sets none
# A run is RUN frames, SPACING apart: motion must agree too, which single pictures of a plain world cannot tell.
RUN, SPACING = 6, 3
SPAN = (RUN - 1) * SPACING + 1
EVIDENCE = 8  # bits by which a run must differ from the typical frame before hashes can propose it
ALIKE = 0.35  # hash distance up to which pixels are compared
PROPOSALS = 32  # of a run, the nearest
DETAIL = 16  # cells a side, of the pictures that decide


@dataclass(frozen=True, kw_only=True)
class NearDuplicate:
    """Two episodes that show the same thing on two sides of the split."""

    train: int  # episode number
    test: int
    distance: float  # in [0, 1]: 1 - correlation of the most alike runs of frames, background removed


def frame_hashes(video: np.ndarray) -> np.ndarray:
    """uint8 [t, h, w, 3] -> uint64 [t]: the difference hash of each frame.

    The frame is averaged to 8 x 9 grey cells; a bit says that a cell is clearly brighter than its left neighbour, so
    the hash hardly sees a change of brightness or contrast. Source: N. Krawetz, "Kind of like that" (dHash), 2013.
    """
    cells = _averages(_averages(video, GRID, axis=1), GRID + 1, axis=2).mean(axis=3)
    bits = np.diff(cells, axis=2) > MARGIN
    return np.packbits(bits.reshape(len(video), -1), axis=1).view(np.uint64)[:, 0]


def near_duplicates(store: ClipStore, *, split: str = "test", threshold: float = 0.02) -> list[NearDuplicate]:
    """Pairs of a training episode and a ``split`` episode that share a run of frames, most alike first.

    Three runs of each held-out episode (start, middle, end) slide over every training episode. What all clips share,
    a constant background, is regressed out of both before they are compared, and so are brightness and contrast.
    Episodes shorter than sixteen frames are not compared; mirrored and cropped copies are not found.
    """
    train, others = _long_enough(store, "train"), _long_enough(store, split)
    if not len(train) or not len(others):
        return []
    typical = _typical(store.frame_hash)
    frames = np.concatenate([_hashes(store, i) for i in train]) ^ typical
    owner = np.repeat(train, store.lengths[train])
    place = np.concatenate([np.arange(store.length(i)) for i in train])
    inside = owner[: len(owner) - SPAN + 1] == owner[SPAN - 1 :]  # runs that stay in one episode
    background = _background(store, train)
    found: dict[tuple[int, int], float] = {}
    for episode in others.tolist():
        hashes = _hashes(store, episode) ^ typical
        for start in _starts(len(hashes)):
            distance = np.where(inside, _distances(hashes[start : start + SPAN : SPACING], frames), 1.0)
            seen = _foreground(store, episode, start, background)
            for k in _nearest(distance):
                pair = int(owner[k]), episode
                apart = 1 - float(seen @ _foreground(store, pair[0], int(place[k]), background))
                found[pair] = min(found.get(pair, 2.0), apart)
    pairs = [
        NearDuplicate(train=a, test=b, distance=round(max(d, 0.0), 4)) for (a, b), d in found.items() if d <= threshold
    ]
    return sorted(pairs, key=lambda pair: (pair.distance, pair.train, pair.test))


def _nearest(distance: np.ndarray) -> list[int]:
    alike = np.flatnonzero(distance <= ALIKE)
    return alike[np.argsort(distance[alike], kind="stable")[:PROPOSALS]].tolist()


def _background(store: ClipStore, episodes: np.ndarray) -> np.ndarray:
    """Orthonormal [RUN * cells * cells * 3, 2]: a constant, and the typical picture of at most 200 episodes."""
    chosen = episodes[:: -(-len(episodes) // 200)].tolist()
    middles = [_cells(store.video(i, store.length(i) // 2, store.length(i) // 2 + 1)) for i in chosen]
    typical = np.tile(np.median(np.concatenate(middles), axis=0), (RUN, 1, 1, 1)).ravel()
    return np.linalg.qr(np.stack([np.ones_like(typical), typical], axis=1))[0]


def _foreground(store: ClipStore, episode: int, start: int, background: np.ndarray) -> np.ndarray:
    """A run without the background, of length 1; zeros when nothing is left."""
    run = _cells(store.video(episode, start, start + SPAN)[::SPACING]).ravel()
    rest = run - background @ (background.T @ run)
    length = np.linalg.norm(rest)
    return rest / length if length > np.sqrt(rest.size) else np.zeros_like(rest)  # above one grey level, on average


def _cells(frames: np.ndarray) -> np.ndarray:
    return _averages(_averages(frames, DETAIL, axis=1), DETAIL, axis=2)


def _distances(run: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Jaccard distance of the set bits of a run [RUN] and of the runs that start at frames [n]: [n - SPAN + 1]."""
    starts = len(frames) - SPAN + 1
    differ, either = np.zeros(starts, np.int32), np.zeros(starts, np.int32)
    for k, bits in enumerate(run):
        aligned = frames[k * SPACING : k * SPACING + starts]
        differ += np.bitwise_count(aligned ^ bits)
        either += np.bitwise_count(aligned | bits)
    return np.where(either >= EVIDENCE, differ / np.maximum(either, 1), 1.0)


def _starts(length: int) -> list[int]:
    last = length - SPAN
    return sorted({0, last // 2, last})


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
    sums = np.add.reduceat(frames, edges, axis=axis, dtype=np.float32)
    shape = [1] * frames.ndim
    shape[axis] = cells
    return sums / np.maximum(np.diff(np.append(edges, size)), 1).reshape(shape)
