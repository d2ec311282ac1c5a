"""One person playing one world: the dream, beside it the true world where there is a simulator, and what was filmed.

The session knows Gymnasium's reset and step and nothing of the model behind them, nor of the page before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import gymnasium

    from threeworlds.score.code_names import CodeNames

TIMED = 120  # steps over which the clock is read
LONGEST = 3000  # frames of a recording


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a dream can begin."""

    video: np.ndarray  # uint8 [k, h, w, 3]: the first frames
    state: np.ndarray | None = None  # float32 [s] of the last of them, where a simulator can go on from it


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What there is to see after a reset or a step."""

    dream: np.ndarray  # uint8 [h, w, 3]
    truth: np.ndarray | None  # the true world under the same commands, where it is known
    step: int  # since the start
    code: int | None  # that led here; None after a reset
    milliseconds: float  # of the model's step
    p95: float  # of the last TIMED steps
    recorded: int  # frames so far; 0: not recording


class Session:
    """A dream under way. Not for two threads at once."""

    def __init__(
        self,
        dream: gymnasium.Env[Any, Any],
        starts: Sequence[Start],
        *,
        truth: gymnasium.Env[Any, Any] | None = None,
        names: CodeNames | None = None,
        seed: int = 0,
    ) -> None:
        """``dream`` takes codes, the last of which lets it run; ``truth`` takes the actions that ``names`` names."""
        if not starts:
            raise ValueError("a dream needs a first picture: give one with --image, or a film with --clip")
        self.dream, self.truth, self.names, self.seed = dream, truth, names, seed
        self.starts = list(starts)
        self.null = int(getattr(dream.action_space, "n", 1)) - 1
        self._place = 0
        self._clock: deque[float] = deque(maxlen=TIMED)
        self._film: list[np.ndarray] | None = None
        self.shown = self.restart()

    def restart(self) -> Shown:
        """Back to the first frames."""
        start = self.starts[self._place]
        frame, _ = self.dream.reset(seed=self.seed, options={"video": start.video})
        self._follows = self.truth is not None and start.state is not None and self.names is not None
        truth = self.truth.reset(options={"state": start.state})[0] if self._follows and self.truth else None
        return self._show(frame, truth, step=0, code=None, seconds=0.0)

    def next_start(self) -> Shown:
        """Begin somewhere else."""
        self._place = (self._place + 1) % len(self.starts)
        return self.restart()

    def begin_from(self, picture: np.ndarray) -> Shown:
        """Begin from a picture, uint8 [h, w, 3]; it joins the places to start from."""
        self.starts.append(Start(video=picture[None]))
        self._place = len(self.starts) - 1
        return self.restart()

    def step(self, code: int) -> Shown:
        """One frame under ``code``."""
        begin = perf_counter()
        frame, *_ = self.dream.step(code)
        seconds = perf_counter() - begin
        self._clock.append(seconds)
        truth = self.truth.step(self._action(code))[0] if self._follows and self.truth else None
        return self._show(frame, truth, step=self.shown.step + 1, code=code, seconds=seconds)

    def record(self) -> None:
        """Film from here on, this frame included."""
        self._film = [self._picture(self.shown)]

    def stop_recording(self) -> np.ndarray | None:
        """The frames since `record`, uint8 [t, h, w, 3]; dream and truth side by side. None: there was no recording."""
        film, self._film = self._film, None
        return None if film is None else np.stack(film)

    def _action(self, code: int) -> int:
        """The true action a code stands for; the first (to stay, in our worlds) where that is not known."""
        assert self.names is not None
        return 0 if code == self.null else max(self.names.action_of_code[code], 0)

    def _show(
        self, dream: np.ndarray, truth: np.ndarray | None, *, step: int, code: int | None, seconds: float
    ) -> Shown:
        self.shown = Shown(
            dream=dream,
            truth=truth,
            step=step,
            code=code,
            milliseconds=1e3 * seconds,
            p95=1e3 * float(np.quantile(self._clock, 0.95)) if self._clock else 0.0,
            recorded=len(self._film or ()),
        )
        if self._film is not None and len(self._film) < LONGEST:
            self._film.append(self._picture(self.shown))
        return self.shown

    def _picture(self, shown: Shown) -> np.ndarray:
        """Dream, and truth beside it where the dream began in the true world."""
        if self.truth is None:
            return shown.dream
        return np.concatenate([shown.dream, shown.dream * 0 if shown.truth is None else shown.truth], axis=1)
