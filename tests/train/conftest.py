"""Clips and a finished run, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy_route import toy_store, train_toy

from threeworlds.data import ClipStore
from threeworlds.train import TrainedRun


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return toy_store(tmp_path_factory.mktemp("data") / "clips")


@pytest.fixture(scope="session")
def run(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    torch.set_num_threads(1)
    return train_toy(store, tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"
