"""Planted copies are found whatever was done to them; distinct clips are not called copies."""

from pathlib import Path

import numpy as np
import pytest
from made_clips import write

from threeworlds.data import ClipStore, near_duplicates
from threeworlds.data.duplicates import frame_hashes
from threeworlds.types import Clip, ClipSpec

SPEC = ClipSpec(height=32, width=32, fps=10.0)


def drifting(seed: int, frames: int = 40) -> np.ndarray:
    """A smooth random picture that moves: uint8 [t, 32, 32, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(20, 200, (1, 10, 10, 1)).repeat(12, 1).repeat(12, 2)
    dx, dy = rng.integers(1, 3, 2)
    wide = np.broadcast_to(coarse, (frames, 120, 120, 3))
    return np.stack([wide[t, t * dy : t * dy + 32, t * dx : t * dx + 32] for t in range(frames)]).astype(np.uint8)


def small_disc(seed: int, frames: int = 40) -> np.ndarray:
    """A bright square that crosses a plain background: most of every frame is the same in all clips."""
    rng = np.random.default_rng(seed)
    x, y, vx, vy = rng.uniform(0, 24, 2).tolist() + rng.uniform(-2, 2, 2).tolist()
    video = np.full((frames, 32, 32, 3), 40, np.uint8)
    for t in range(frames):
        left, top = (round(abs((p + v * t + 24) % 48 - 24)) for p, v in ((x, vx), (y, vy)))  # it bounces
        video[t, top : top + 8, left : left + 8] = 220
    return video


def planted(tmp_path: Path, videos: list[np.ndarray], *copies: np.ndarray) -> ClipStore:
    """A store of the videos, and of copies on the test side."""
    clips = [Clip(video=video) for video in videos] + [Clip(video=copy, tags=("heldout",)) for copy in copies]
    return write(tmp_path / "store", clips, SPEC)


ORIGINAL = 4  # an episode that trains

PLANTED = {
    "brighter": lambda video: np.clip(video * 1.15 + 10, 0, 255).astype(np.uint8),
    "later": lambda video: video[7:],
    "earlier and shorter": lambda video: video[:-11],
    "noisy": lambda video: np.clip(video + np.random.default_rng(9).normal(0, 4, video.shape), 0, 255).astype(np.uint8),
    "one pixel": lambda video: np.where(np.arange(video.size).reshape(video.shape) == 5, 0, video).astype(np.uint8),
}


@pytest.mark.parametrize("make", [drifting, small_disc])
@pytest.mark.parametrize("change", PLANTED)
def test_planted_copies_are_found(tmp_path: Path, make: object, change: str) -> None:
    videos = [make(seed) for seed in range(20)]
    store = planted(tmp_path, videos, PLANTED[change](videos[ORIGINAL]))
    assert ORIGINAL in store.split("train")
    assert [(pair.train, pair.test) for pair in near_duplicates(store)] == [(ORIGINAL, 20)]


@pytest.mark.parametrize("make", [drifting, small_disc])
def test_distinct_clips_are_not_copies(tmp_path: Path, make: object) -> None:
    assert near_duplicates(planted(tmp_path, [make(seed) for seed in range(200)])) == []


def test_exact_copies_never_part(tmp_path: Path) -> None:
    videos = [drifting(seed % 30) for seed in range(60)]
    assert near_duplicates(planted(tmp_path, videos)) == []  # each copy is on the side of its original


def test_hash_is_that_of_the_definition() -> None:
    """Against a plain loop over cells of a frame that divides evenly."""
    video = np.random.default_rng(0).integers(0, 256, (2, 16, 18, 3), dtype=np.uint8)
    for frame, value in zip(video, frame_hashes(video), strict=True):
        grey = frame.mean(axis=2)
        cell = [[grey[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for j in range(9)] for i in range(8)]
        bits = [cell[i][j + 1] - cell[i][j] > 2 for i in range(8) for j in range(8)]
        assert np.packbits(bits).view(np.uint64)[0] == value


@pytest.mark.parametrize("size", [1, 5, 8, 9, 31])
def test_any_size_has_a_hash(size: int) -> None:
    assert frame_hashes(np.zeros((3, size, size, 3), np.uint8)).tolist() == [0, 0, 0]
