"""What holds for every test."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _subnormal_numbers() -> None:
    """A command that ran in this process set it up for training: no subnormal numbers. Properties draw them."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
