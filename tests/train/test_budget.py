"""Budgets, and ledgers that add up."""

from __future__ import annotations

import pytest

from threeworlds.train import Budget
from threeworlds.train.ledger import total_ledger
from threeworlds.types import Ledger


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("4m", "seconds", 240),
        ("90s", "seconds", 90),
        ("2h", "seconds", 7200),
        ("2e13flops", "flops", 2e13),
        ("50000clips", "clips", 50000),
        ("300steps", "steps", 300),
        (" 1.5 M ", "seconds", 90),
    ],
)
def test_parse(text: str, kind: str, amount: float) -> None:
    assert Budget.parse(text) == Budget(kind=kind, amount=amount)
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text)


@pytest.mark.parametrize("text", ["", "4", "m", "-4m", "0s", "4 weeks", "1e999flops", "nan steps", "3m 2s"])
def test_parse_says_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="expected a positive number and one of s, m, h, flops, clips, steps"):
        Budget.parse(text)


def test_progress_is_a_part_of_the_budget() -> None:
    spent = Ledger(clips=10, steps=2, flops=100.0, seconds=6.0)
    given = {"clips": 40, "steps": 8, "flops": 400.0, "seconds": 24.0}
    assert [Budget(kind=kind, amount=amount).progress(spent) for kind, amount in given.items()] == [0.25] * 4


def test_total_ledger() -> None:
    first = Ledger(clips=1, unique_clips=5, steps=2, flops=3.0, seconds=4.0, peak_memory_mb=9.0, supervision=("video",))
    second = Ledger(clips=10, unique_clips=4, steps=20, flops=30.0, seconds=40.0, supervision=("video", "action"))
    total = total_ledger([first, second], 7)
    assert total == Ledger(
        clips=11,
        unique_clips=5,
        steps=22,
        flops=33.0,
        seconds=44.0,
        peak_memory_mb=9.0,
        parameters=7,
        supervision=("video", "action"),
    )
