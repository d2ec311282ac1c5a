"""Films as pictures: named rows of frames beside each other, at the width of a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH, DPI = 8.0, 100  # of a picture: inches, and pixels of an inch
INK, MUTED, TRUE, JEPA = "#1d1c1a", "#6a665f", "#1d1c1a", "#0b7065"  # as in the report
STYLE: Any = {"font.size": 9, "text.color": INK, "axes.edgecolor": MUTED, "axes.labelcolor": MUTED}
STYLE |= {"xtick.color": MUTED, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False}


Row = tuple[str, Sequence[np.ndarray]]  # a name, and strips uint8 [t, h, w, 3] beside each other


def save_sheet(rows: Sequence[Row], marks: Sequence[str], path: Path, titles: Sequence[str] = ("",)) -> None:
    """Named rows of strips; ``marks`` stand over the frames of each strip, ``titles`` over the strips of a row."""
    frames = len(marks) * len(titles)
    with rc_context(STYLE):
        height = 0.35 + 0.2 * any(titles) + len(rows) * (WIDTH - 1.2) / frames
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="compressed")
        grid = figure.subplots(len(rows), len(titles), squeeze=False)
        for line, (name, strips) in zip(grid, rows, strict=True):
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", color=INK)
            for axes, strip in zip(line, strips, strict=True):
                show(axes, strip)
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title, fontsize=10)
            axes.set_xticks(range(len(marks)), marks)
            axes.tick_params(labeltop=True, labelbottom=False)
        figure.savefig(path)


def show(axes: Axes, frames: np.ndarray, start: int = 0) -> None:
    """Frames uint8 [t, h, w, 3] side by side; frame i stands at x = start + i."""
    edged = np.pad(frames, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    extent = (start - 0.5, start + len(frames) - 0.5, 0, 1)
    axes.imshow(np.concatenate(list(edged), axis=1), extent=extent, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
