"""The models in zoo/ load with today's code and are small enough to keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from threeworlds.score.zoo import kept_models
from threeworlds.train import load_model

ZOO = Path(__file__).parents[2] / "zoo"
KEPT = kept_models(ZOO)


def test_there_are_some() -> None:
    assert {kept.route for kept in KEPT} >= {"sora", "genie", "jepa"}


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.path.name)
def test_a_kept_model_loads_and_says_how_it_was_made(kept) -> None:
    _, card = load_model(kept.path)
    assert kept.path.name == f"{card.spec.world}-{card.route}-{card.recipe}"
    assert card.command.startswith("threeworlds train")
    assert card.ledger["total"].flops > 0
    assert (kept.path / "model.safetensors").stat().st_size < 12e6
