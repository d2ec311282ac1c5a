"""A small collection of clips."""

from pathlib import Path

import pytest
from made_clips import make_clip, write

from threeworlds.data import ClipStore


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    """40 episodes of 10 to 49 frames in several shards."""
    return write(tmp_path / "store", [make_clip(i, 10 + i) for i in range(40)], shard_frames=200)
