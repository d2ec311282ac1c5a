"""The example of a model from outside: a fourth route, trained for a moment and asked everything."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from threeworlds.cli import main
from threeworlds.score.check import check_route
from threeworlds.score.scorecard import QUESTIONS

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(
    find_spec("stable_worldmodel") is None or find_spec("einops") is None, reason="stable-worldmodel is not installed"
)


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(sys.modules)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    yield
    for name in sys.modules.keys() - before.keys():
        if name.startswith("stable_worldmodel"):  # hollow packages: nobody else should find them
            del sys.modules[name]


def test_it_keeps_the_contract() -> None:
    assert [finding for finding in check_route("lewm") if finding.problem] == []


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of two or three items, a resample may hold one alone
def test_it_is_compared_like_a_route_of_ours_and_gets_every_question_it_can_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threeworlds.score.compare.EPISODES", 24)
    words = f"compare --routes lewm --recipe debug --budget 3steps --items 4 --out {tmp_path}"
    assert main(words.split()) == 0
    rows = json.loads((tmp_path / "result.json").read_text())["rows"]
    assert [row["reason"] for row in rows if row["status"] == "failed"] == []
    asked = {row["question"] for row in rows if row["status"] == "ok"}
    no_words_no_goals = {"text", "planning"}
    assert asked == set(QUESTIONS) - no_words_no_goals
    assert "lewm" in (tmp_path / "report.md").read_text()


def test_it_plans_where_actions_are_continuous() -> None:
    assert [finding for finding in check_route("lewm", world="rooms") if finding.problem] == []
