"""Where the coloured bodies are, measured from pixels alone: soft centroids.

A pixel on the rim of a body is a mixture of the body's colour and the background, so it lies on the line between the
two: its direction from the background names the colour, its length is the covered part. A dead zone keeps a faint
residual background, as models leave it, from pulling the centroid to the middle of the frame: a pixel counts only if
it, or one of its eight neighbours, is clearly covered. Rims count in full, so the measure stays unbiased.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

DEAD_ZONE = 0.3  # covered part above which a pixel, and its neighbours, count
FAINTEST = 0.15  # covered part at the brightest pixel below which even a faint body is not there
LEAST_COSINE = 0.75  # similarity of direction below which a pixel has none of the colours
LEAST_MASS = 0.001  # of the frame's area: less is "not there"


def body_weights(frames: np.ndarray, background: np.ndarray, colours: Mapping[str, np.ndarray]) -> np.ndarray:
    """Covered part of each pixel for each colour: frames uint8 [n, h, w, 3] -> float32 [n, k, h, w] in [0, 1]."""
    return above(colour_parts(frames, background, colours), DEAD_ZONE)


def faint_weights(frames: np.ndarray, background: np.ndarray, colours: Mapping[str, np.ndarray]) -> np.ndarray:
    """As `body_weights`, but the dead zone is relative to each body's brightest pixel.

    So a body that has faded as a whole is still found where it is; one of full brightness is found as ever.
    `clear_weights` of this is `body_weights`.
    """
    parts = colour_parts(frames, background, colours)
    return above(parts, DEAD_ZONE * np.maximum(parts.max((2, 3), keepdims=True), FAINTEST / DEAD_ZONE))


def clear_weights(weights: np.ndarray) -> np.ndarray:
    """What of `faint_weights` [n, k, h, w] is clearly covered, or next to what is."""
    return above(weights, DEAD_ZONE)


def colour_parts(frames: np.ndarray, background: np.ndarray, colours: Mapping[str, np.ndarray]) -> np.ndarray:
    """Covered part of each pixel for each colour, no dead zone: [n, k, h, w]."""
    names = list(colours)
    axes = np.stack([colours[name] - background for name in names]).astype(np.float32)  # [k, 3]
    length = np.linalg.norm(axes, axis=1)
    offset = frames.astype(np.float32) - background.astype(np.float32)
    along = np.einsum("nhwc,kc->nkhw", offset, axes / length[:, None])
    cosine = along / np.maximum(np.linalg.norm(offset, axis=-1), 1e-6)[:, None]
    nearest = cosine >= np.maximum(cosine.max(axis=1, keepdims=True), LEAST_COSINE)
    return np.where(nearest, np.clip(along / length[None, :, None, None], 0, 1), 0).astype(np.float32)


def above(parts: np.ndarray, zone: np.ndarray | float) -> np.ndarray:
    """The pixels covered by more than ``zone``, and their neighbours; the others count as not covered."""
    from scipy.ndimage import binary_dilation  # here: it would slow down every start of the program

    return parts * binary_dilation(parts > zone, np.ones((1, 1, 3, 3), bool))


def masses_of(weights: np.ndarray) -> np.ndarray:
    """Area of each body as a part of the frame's area: [n, k, h, w] -> [n, k]."""
    return weights.mean(axis=(2, 3))


def centroids(weights: np.ndarray) -> np.ndarray:
    """Soft centroids (x, y) in box units, y up: [n, k, h, w] -> [n, k, 2]; NaN where there is too little mass."""
    h, w = weights.shape[2:]
    mass = weights.sum(axis=(2, 3))
    x = weights.sum(axis=2) @ ((np.arange(w) + 0.5) / w)
    y = weights.sum(axis=3) @ (1 - (np.arange(h) + 0.5) / h)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.stack([x, y], axis=-1) / mass[..., None]
    return np.where((mass >= LEAST_MASS * h * w)[..., None], centre, np.nan)
