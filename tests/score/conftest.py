"""Exams made once. Nobody changes them."""

import pytest
import torch
from planted import make_exam

from threeworlds.score.exam import Exam


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def arena() -> Exam:
    """40 held-out openings of arena."""
    return make_exam("arena", items=40)


@pytest.fixture(scope="session")
def rooms() -> Exam:
    """20 held-out openings of rooms."""
    return make_exam("rooms", items=20, frames=6)


@pytest.fixture(scope="session")
def motion() -> Exam:
    """A world without actions or captions."""
    return make_exam("motion", items=6)
