"""What a run says while it trains: metric lines, a progress bar, TensorBoard where it is asked for."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from threeworlds.train.checkpoint import CheckpointError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger("threeworlds.train")
_QUIET_SECONDS = 15.0  # between log lines where there is no terminal
_CURVE_POINTS = 200


class Lines:
    """A file of JSON lines that can be cut back to where a checkpoint was made."""

    def __init__(self, path: Path, size: int = 0) -> None:
        """Open ``path`` for writing after its first ``size`` bytes; what follows them is dropped."""
        path.touch()
        if path.stat().st_size < size:
            raise CheckpointError(f"{path}: {path.stat().st_size} bytes; its checkpoint was made after {size}")
        os.truncate(path, size)
        self._file = path.open("a")

    def write(self, values: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(dict(values)) + "\n")

    def size(self) -> int:
        """Bytes so far, all of them on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


def read_curve(path: Path) -> dict[str, list[float]]:
    """The loss against clips seen, from a metrics file: means of equal stretches, at most 200 of them."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    points = [(line["clips"], line["loss"]) for line in lines if "loss" in line]
    size = -(-len(points) // _CURVE_POINTS) or 1
    stretches = [points[i : i + size] for i in range(0, len(points), size)]
    losses = [sum(loss for _, loss in part) / len(part) for part in stretches]
    return {"clips": [part[-1][0] for part in stretches], "loss": losses}


def open_board(folder: Path, step: int) -> SummaryWriter:
    """A TensorBoard writer that goes on after that step."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError("tensorboard=True needs the extra: pip install 'threeworlds[tensorboard]'") from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)


class Reporter:
    """A bar on a terminal; elsewhere a log line every 15 seconds. Shows nothing when ``show`` is False."""

    def __init__(self, title: str, show: bool) -> None:
        self._title = title
        self._show = show
        self._bar: Progress | None = None
        self._last = time.monotonic()
        if show and sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
            self._task = self._bar.add_task(title, total=1.0, note="")
            self._bar.start()

    def update(self, progress: float, note: str) -> None:
        """``progress`` in [0, 1]; ``note`` is what else there is to say."""
        if self._bar is not None:
            self._bar.update(self._task, completed=min(progress, 1.0), note=note)
        elif self._show and time.monotonic() - self._last > _QUIET_SECONDS:
            self._last = time.monotonic()
            logger.info("%s: %.0f %%, %s", self._title, 100 * min(progress, 1.0), note)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
