"""Near duplicates across splits: a perceptual hash a frame, compared over short runs of frames."""

from __future__ import annotations

import numpy as np

GRID = 8


def frame_hashes(video: np.ndarray) -> np.ndarray:
    """uint8 [t, h, w, 3] -> uint64 [t]: the difference hash of each frame.

    The frame is averaged to 8 x 9 grey cells; a bit says that a cell is brighter than its left neighbour, so the hash
    does not see a change of brightness or contrast.
    """
    grey = video.mean(axis=3, dtype=np.float32)
    cells = _averages(_averages(grey, GRID, axis=1), GRID + 1, axis=2)
    # a cell must be brighter by half a grey level, so that rounding in flat areas sets no bit
    bits = np.diff(cells, axis=2) > 0.5
    return np.packbits(bits.reshape(len(video), -1), axis=1).view(np.uint64)[:, 0]


def _averages(frames: np.ndarray, cells: int, axis: int) -> np.ndarray:
    size = frames.shape[axis]
    edges = np.arange(cells) * size // cells
    sums = np.add.reduceat(frames, edges, axis=axis)
    shape = [1] * frames.ndim
    shape[axis] = cells
    return sums / np.maximum(np.diff(np.append(edges, size)), 1).reshape(shape)
