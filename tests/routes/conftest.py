"""Small clips on disk, shared by the routes' tests."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from threeworlds.data import ClipStore, ClipWriter
from threeworlds.types import ActionSpec, ClipSpec
from threeworlds.worlds import WORLDS, collect


@pytest.fixture(scope="session")
def arena_store(tmp_path_factory) -> ClipStore:
    """24 episodes of arena."""
    path = tmp_path_factory.mktemp("clips") / "arena"
    with ClipWriter(path, WORLDS["arena"].spec()) as writer:
        for clip in collect("arena", episodes=24, seed=0, workers=1):
            writer.add(clip)
    return ClipStore.open(path)


@pytest.fixture(scope="session")
def video_spec() -> ClipSpec:
    """Video from outside: no actions, no captions, no state, not square."""
    return ClipSpec(height=16, width=32, fps=10)


@pytest.fixture(scope="session")
def rooms_spec() -> ClipSpec:
    """Continuous actions."""
    return ClipSpec(height=16, width=16, fps=10, action=ActionSpec(kind="continuous", size=2))


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.fixture
def fit() -> Callable[..., tuple[float, dict]]:
    """Train an objective on ``batches(step)`` for some steps -> its last loss and metrics."""

    def run(objective, batches, steps, learning_rate=3e-3):
        weights = [p for p in objective.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=learning_rate)
        for step in range(steps):
            loss, metrics = objective(batches(step))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item(), metrics

    return run
