"""Antialiased pictures of simple bodies, from signed distances.

A pixel is covered by ``clip(1/2 - d, 0, 1)``, with d the signed distance of its centre from the outline, in pixels.
All arithmetic is elementwise, so a frame has the same bytes drawn alone or among others.
Legend: t frames, h height, w width. Lengths in box units: the frame is [0, 1] x [0, 1], y up, row 0 at the top.
"""

from __future__ import annotations

import numpy as np


def pixel_centres(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x [1, 1, w] and y [1, h, 1] of the pixel centres, float32."""
    centre = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    return centre[None, None, :], (1 - centre)[None, :, None]


def coverage(distance: np.ndarray, size: int) -> np.ndarray:
    """Signed distance in box units -> covered part of each pixel, in [0, 1]. Overwrites ``distance``."""
    distance *= np.float32(-size)
    distance += np.float32(0.5)
    return np.clip(distance, 0, 1, out=distance)


def disc(centre: np.ndarray, radius: np.ndarray, size: int) -> np.ndarray:
    """Coverage [t, h, w] of discs with ``centre`` [t, 2] and ``radius`` [t]."""
    x, y = pixel_centres(size)
    dx, dy = x - centre[:, 0, None, None], y - centre[:, 1, None, None]
    distance = dx * dx + dy * dy
    np.sqrt(distance, out=distance)
    distance -= radius[:, None, None]
    return coverage(distance, size)


def regular_polygon(centre: np.ndarray, angle: np.ndarray, apothem: np.ndarray, sides: int, size: int) -> np.ndarray:
    """Coverage [t, h, w] of regular polygons: the meet of ``sides`` half-planes.

    ``centre`` [t, 2]; ``apothem`` [t], centre to side; at ``angle`` [t] 0 (radians) the first side faces down.
    """
    x, y = pixel_centres(size)
    dx, dy = x - centre[:, 0, None, None], y - centre[:, 1, None, None]
    distance = None
    for side in range(sides):
        direction = (angle + np.float32(2 * np.pi * side / sides - np.pi / 2))[:, None, None]
        plane = np.cos(direction) * dx + np.sin(direction) * dy
        distance = plane if distance is None else np.maximum(distance, plane, out=distance)
    assert distance is not None, sides
    distance -= apothem[:, None, None]
    return coverage(distance, size)


def paint(frames: np.ndarray, covered: np.ndarray, colour: np.ndarray) -> None:
    """Lay ``colour`` ([3] or [t, 3]) over ``frames`` (float32 [3, t, h, w]) where ``covered`` [t, h, w]."""
    for channel in range(3):
        tint = np.float32(colour[..., channel])
        frames[channel] += covered * (np.reshape(tint, (-1, 1, 1)) - frames[channel])


def blank(t: int, size: int, colour: np.ndarray) -> np.ndarray:
    """Canvas, float32 [3, t, h, w], of one colour."""
    return np.broadcast_to(colour.astype(np.float32)[:, None, None, None], (3, t, size, size)).copy()


def to_bytes(frames: np.ndarray) -> np.ndarray:
    """Canvas float32 [3, t, h, w] in [0, 255] -> uint8 [t, h, w, 3], rounded."""
    return np.stack([(channel + np.float32(0.5)).astype(np.uint8) for channel in frames], axis=-1)


def halved(frames: np.ndarray) -> np.ndarray:
    """Canvas [3, t, 2h, 2w] -> [3, t, h, w]: each pixel the mean of four."""
    rows = frames[:, :, ::2] + frames[:, :, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25)
