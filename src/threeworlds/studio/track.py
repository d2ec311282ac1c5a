"""A film and the latent actions found in it, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SHOWN = 12  # frames above the track
FORMATS = (".png", ".svg")


def check_picture(path: Path) -> None:
    """A ValueError unless a track can be drawn to a file of that suffix."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"a track is drawn as {' or '.join(FORMATS)}; got {path.name!r}")


def draw_track(video: np.ndarray, codes: Sequence[int], labels: Sequence[str], path: Path, *, fps: float) -> None:
    """Some frames of video uint8 [t, h, w, 3]; under them the code of each step, a row a code.

    ``labels`` holds what to write beside each code's row.
    """
    check_picture(path)
    import matplotlib

    matplotlib.use("agg")
    import numpy as np
    from matplotlib import pyplot as plt

    picked = np.linspace(0, len(video) - 1, min(SHOWN, len(video))).round().astype(int)
    figure, (top, track) = plt.subplots(2, height_ratios=(1, 1.6), figsize=(9, 1 + 0.28 * len(labels)))
    top.imshow(np.concatenate(list(video[picked]), axis=1))
    top.set_axis_off()
    for code, start, stop in runs(codes):
        track.barh(code, (stop - start) / fps, left=start / fps, height=0.8, color=f"C{code % 10}")
    track.set_yticks(range(len(labels)), labels)
    track.set_xlim(0, (len(video) - 1) / fps)
    track.set_ylim(len(labels) - 0.5, -0.5)
    track.set_xlabel("seconds")
    figure.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(figure)


def runs(codes: Sequence[int]) -> list[tuple[int, int, int]]:
    """(code, first step, step after the last) for each stretch of one code."""
    found, start = [], 0
    for code, same in groupby(codes):
        stop = start + len(list(same))
        found.append((int(code), start, stop))
        start = stop
    return found
