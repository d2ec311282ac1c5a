"""Windows of clips, as a trainable sees them.

The batch of a step is a function of (seed, step) alone, so the position in the data is the step number: saved and
resumed as one integer. Legend: b batch, t frames, c channels, h height, w width, a action size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from threeworlds.data.clips import DataError
from threeworlds.data.store import ClipStore
from threeworlds.types import EMPTY, Batch, Caption

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = ("video", "action", "state", "caption")


class Windows:
    """Batches of equally long windows from one split of a store.

    An epoch visits every episode once per non-overlapping window that fits into it, in shuffled order; the starts are
    drawn anew each epoch, one in each equal part of the episode. Windows never cross an episode's end; episodes
    shorter than a window, or without actions when these are asked for, are left out and counted in
    ``skipped_episodes``.

    With ``stride`` k a window takes every k-th frame. A continuous action is then the mean of the k actions between
    two taken frames; discrete actions have no mean, and are refused.

    Args:
        store: the clips.
        split: "train", "val" or "test".
        frames: frames t of a window.
        stride: take every stride-th frame.
        batch_size: windows b of a batch.
        seed: of the order and the starts.
        columns: of "video", "action", "state", "caption", and names in ``cached``.
        cached: arrays [store.total_frames, ...] made once per frame; batches bring their windows.
        at_captions: part of the windows, in [0, 1], whose start is moved to that of the nearest caption, so that words
            speak of the window's first frames.
        among: take only these episodes of the split; None: all.
    """

    def __init__(
        self,
        store: ClipStore,
        *,
        split: str = "train",
        frames: int,
        stride: int = 1,
        batch_size: int,
        seed: int = 0,
        columns: Sequence[str] = ("video",),
        cached: Mapping[str, np.ndarray] = EMPTY,
        at_captions: float = 0.0,
        among: np.ndarray | None = None,
    ) -> None:
        _check_numbers(frames=frames, stride=stride, batch_size=batch_size)
        _check_columns(store, columns, cached, stride)
        if not 0 <= at_captions <= 1:
            raise DataError(f"at_captions {at_captions} given; it is a part, 0 to 1")
        self.store = store
        self.split = split
        self.frames = frames
        self.stride = stride
        self.batch_size = batch_size
        self.seed = seed
        self.columns = tuple(columns)
        self.cached = cached
        self.at_captions = at_captions
        self._episodes, self.skipped_episodes = self._usable(among)
        parts = store.lengths[self._episodes] // self.span
        self._slot = np.repeat(np.arange(len(parts)), parts)  # windows of an epoch -> position in _episodes
        self._part = np.arange(len(self._slot)) - np.repeat(np.cumsum(parts) - parts, parts)
        self._parts = parts
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)

    def _usable(self, among: np.ndarray | None) -> tuple[np.ndarray, int]:
        """(episodes long enough, and with actions where these are asked for; how many are not)."""
        split = self.store.split(self.split)
        split = split if among is None else split[np.isin(split, among)]
        known = split[self.store.has_action[split]] if "action" in self.columns else split
        usable = known[self.store.lengths[known] >= self.span]
        if not len(usable):
            longest = max(self.store.lengths[known], default=0)
            raise DataError(
                f"split {self.split!r}: none of {len(split)} episodes ({len(known)} with the columns asked for) "
                f"has the {self.span} frames of a window ({self.frames} frames, stride {self.stride}); "
                f"the longest has {longest}"
            )
        return usable, len(split) - len(usable)

    @property
    def span(self) -> int:
        """Stored frames that a window covers."""
        return (self.frames - 1) * self.stride + 1

    @property
    def unique_episodes(self) -> int:
        """Distinct episodes that the windows come from."""
        return len(self._episodes)

    @property
    def epoch_windows(self) -> int:
        """Windows of one epoch."""
        return len(self._slot)

    def index(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(episode numbers [b], first frames [b]) of the batch of a step: a pure function of (seed, step)."""
        if step < 0:
            raise DataError(f"step {step} given; it must be 0 or more")
        numbers = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(numbers, self.epoch_windows)
        drawn = [self._epoch(int(epoch)) for epoch in epochs]
        pairs = [(episodes[place], starts[place]) for (episodes, starts), place in zip(drawn, places, strict=True)]
        episodes, starts = np.array(pairs, np.int64).T
        return episodes, starts

    def batch(self, step: int) -> Batch:
        """The batch of a training step. Its tensors are its own: nothing overwrites them later."""
        return self.read(*self.index(step))

    def fixed_index(self, items: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(episodes, first frames) for evaluation: one window an episode, at most ``items``, all distinct.

        Fewer items with the same seed are the first of more items.
        """
        _check_numbers(items=items)
        rng = np.random.default_rng([seed, 1])
        episodes = rng.permutation(self._episodes)
        starts = rng.random(len(episodes)) * (self.store.lengths[episodes] - self.span + 1)
        return episodes[:items], starts.astype(np.int64)[:items]

    def fixed(self, items: int, seed: int) -> Batch:
        """The windows of :meth:`fixed_index` as one batch."""
        return self.read(*self.fixed_index(items, seed))

    def read(self, episodes: np.ndarray, starts: np.ndarray) -> Batch:
        """The windows at the given places, as a batch of that size."""
        import torch

        first = self.store.offsets[episodes] + starts
        taken = first[:, None] + np.arange(self.frames) * self.stride  # global frame numbers [b, t]
        return Batch(
            video=self._video(episodes, starts) if "video" in self.columns else None,
            action=self._action(first) if "action" in self.columns else None,
            state=_tensor(self.store.state, taken) if "state" in self.columns else None,
            caption=self._captions(episodes, starts) if "caption" in self.columns else None,
            cached={name: torch.from_numpy(np.ascontiguousarray(array[taken])) for name, array in self.cached.items()},
        )

    def _draw_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, 0, epoch])
        room = self.store.lengths[self._episodes] - self.span + 1
        starts = (self._part + rng.random(len(self._slot))) / self._parts[self._slot] * room[self._slot]
        order = rng.permutation(len(self._slot))
        episodes, starts = self._episodes[self._slot[order]], starts.astype(np.int64)[order]
        moved = rng.random(len(starts)) < self.at_captions if self.at_captions else np.zeros(len(starts), bool)
        starts[moved] = self._to_captions(episodes[moved], starts[moved])
        return episodes, starts

    def _to_captions(self, episodes: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """The nearest start of a caption from which a whole window fits; as it was, where there is none."""
        moved = []
        for episode, start in zip(episodes.tolist(), starts.tolist(), strict=True):
            last = self.store.length(episode) - self.span
            firsts = [caption.start for caption in self.store.captions[episode] if caption.start <= last]
            moved.append(min(firsts, key=lambda first: abs(first - start), default=start))
        return np.array(moved, np.int64)

    def _video(self, episodes: np.ndarray, starts: np.ndarray) -> Tensor:
        """float32 [b, t, c, h, w] in [-1, 1]: one gather of bytes, one conversion."""
        import torch

        pixels = self.store.gather(episodes.tolist(), starts.tolist(), self.frames, self.stride)
        pixels_btchw = torch.from_numpy(pixels).permute(0, 1, 4, 2, 3)
        return torch.empty(pixels_btchw.shape).copy_(pixels_btchw).mul_(2 / 255).sub_(1)

    def _action(self, first: np.ndarray) -> Tensor:
        """[b, t - 1] or [b, t - 1, a]: the mean of the stride actions between two taken frames."""
        steps = first[:, None] + np.arange((self.frames - 1) * self.stride)
        action = _tensor(self.store.action, steps)
        if self.stride > 1:
            action = action.unflatten(1, (self.frames - 1, self.stride)).mean(dim=2)
        return action

    def _captions(self, episodes: np.ndarray, starts: np.ndarray) -> tuple[str, ...]:
        captions = self.store.captions
        return tuple(
            window_caption(captions[episode], start, start + self.span)
            for episode, start in zip(episodes.tolist(), starts.tolist(), strict=True)
        )


class Turns:
    """Batches of windows of several shapes, one shape a step: each is taken once a round, in shuffled order.

    As with one kind of windows, the batch of a step is a function of (seed, step) alone.

    Args:
        windows: one for each shape, at least one.
        seed: of the order.
    """

    def __init__(self, windows: Sequence[Windows], seed: int = 0) -> None:
        if not windows:
            raise DataError("no windows given to take turns")
        self.windows = tuple(windows)
        self.seed = seed

    def turn(self, step: int) -> tuple[int, int]:
        """(whose turn the step is, how many it had before)."""
        lap, place = divmod(step, len(self.windows))
        order = np.random.default_rng([self.seed, 3, lap]).permutation(len(self.windows))
        return int(order[place]), lap

    def index(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(episode numbers [b], first frames [b]) of the batch of a step."""
        which, lap = self.turn(step)
        return self.windows[which].index(lap)

    def batch(self, step: int) -> Batch:
        """The batch of a training step."""
        which, lap = self.turn(step)
        return self.windows[which].batch(lap)

    def clips(self, step: int) -> int:
        """Windows b in the batch of a step."""
        return self.windows[self.turn(step)[0]].batch_size

    def episodes_seen(self, steps: int) -> int:
        """Distinct episodes in the batches of the first steps; the first epoch of each shape has all of its own."""
        laps = max(-(-each.epoch_windows // each.batch_size) for each in self.windows)
        episodes = [self.index(step)[0] for step in range(min(steps, laps * len(self.windows)))]
        return len(np.unique(np.concatenate(episodes))) if episodes else 0


def window_caption(captions: Sequence[Caption], start: int, stop: int) -> str:
    """The text that covers most of the frames start <= t < stop, and at least half of them; else "".

    Among equals the caption nearest in length to the window, then the one that starts nearest to it, then the first.
    """
    overlap = [min(c.stop, stop) - max(c.start, start) for c in captions]
    best = max(
        range(len(captions)),
        key=lambda i: (
            overlap[i],
            -(captions[i].stop - captions[i].start),
            -abs(captions[i].start - start),
            -i,
        ),
        default=None,
    )
    return captions[best].text if best is not None and 2 * overlap[best] >= stop - start else ""


def _tensor(array: np.ndarray | None, taken: np.ndarray) -> Any:
    import torch

    assert array is not None, "columns were checked against the spec"
    return torch.from_numpy(array[taken])


def _check_numbers(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise DataError(f"{name} {number} given; it must be at least 1")


def _check_columns(store: ClipStore, columns: Sequence[str], cached: Mapping[str, Any], stride: int) -> None:
    spec = store.spec
    present = {"video", *(["action"] * (spec.action.kind != "none")), *(["state"] * bool(spec.state_names))}
    present |= {"caption"} if spec.captioned else set()
    for name in columns:
        if name not in present | set(cached):
            raise DataError(f"column {name!r} asked for; these clips have: {', '.join(sorted(present | set(cached)))}")
    if "action" in columns and spec.action.kind == "discrete" and stride > 1:
        raise DataError(f"stride {stride} with discrete actions: they have no mean; use stride 1, or leave them out")
    for name, array in cached.items():
        if name in COLUMNS or len(array) != store.total_frames:
            raise DataError(f"cached {name!r}: {len(array)} rows for {store.total_frames} frames")
