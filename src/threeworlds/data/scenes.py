"""Where a film is cut, and where nothing happens. Frames in, ranges of frames out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

STILL = 6  # grey levels: frames in which no pixel differs by more are the same picture
NEIGHBOURS = 8  # frames on each side, for the usual amount of change
SHORTEST = 24  # frames of a piece: a few given ones and a horizon of 16
STANDS_OUT = 3.0  # a cut changes this many times more than its neighbours


def changes(video: np.ndarray) -> np.ndarray:
    """uint8 [t, h, w, 3] -> [t - 1] in [0, 1]: mean absolute difference of neighbouring frames."""
    return np.array([np.abs(b.astype(np.int16) - a).mean() / 255 for a, b in pairwise(video)])


def cuts(change: np.ndarray, threshold: float) -> np.ndarray:
    """First frames of new scenes: change above the threshold, and far above that of the frames around it.

    The second condition keeps fast motion whole: there, every frame changes much.
    """
    padded = np.pad(change, NEIGHBOURS, mode="reflect") if len(change) > NEIGHBOURS else np.pad(change, NEIGHBOURS)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1)
    usual = np.median(around, axis=1)
    return np.flatnonzero((change > threshold) & (change > STANDS_OUT * usual)) + 1


def still(video: np.ndarray, longest: int) -> np.ndarray:
    """bool [t]: frames in a stretch of more than ``longest`` frames that all look like its first one.

    Compared with the first, not with the previous frame, so that a slow fade is not taken for standing still.
    """
    marked = np.zeros(len(video), bool)
    first = 0
    for t in range(1, len(video) + 1):
        if t == len(video) or np.abs(video[t].astype(np.int16) - video[first]).max() > STILL:
            marked[first:t] = t - first > longest
            first = t
    return marked


def runs(keep: np.ndarray, starts: np.ndarray) -> list[tuple[int, int]]:
    """Maximal ranges (start, stop) of kept frames, broken at each of ``starts``."""
    breaks = np.zeros(len(keep) + 1, bool)
    breaks[[0, len(keep), *starts]] = True
    breaks[1:-1] |= keep[1:] != keep[:-1]
    edges = np.flatnonzero(breaks)
    return [(int(a), int(b)) for a, b in pairwise(edges) if keep[a]]


def pieces(start: int, stop: int, longest: int) -> list[tuple[int, int]]:
    """A range in nearly equal parts: of at most ``longest`` frames, unless they would be shorter than ``SHORTEST``."""
    frames = stop - start
    count = min(-(-frames // longest), max(1, frames // SHORTEST))
    edges = np.linspace(start, stop, count + 1).round().astype(int).tolist()
    return list(pairwise(edges))
