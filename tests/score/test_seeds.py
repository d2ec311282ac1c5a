"""Several seeds on one scorecard: pooling by hand, and `compare --seeds` from end to end."""

import json
from dataclasses import replace

import numpy as np
import pytest
from planted import CopyLast, Deaf, Oracle, seat

from threeworlds.cli import main
from threeworlds.score import scorecard
from threeworlds.score.exam import Exam, Measured, differences_of, rows_of
from threeworlds.score.seeds import merged, pooled, teams_of
from threeworlds.types import Batch, ClipSpec


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr("threeworlds.score.exam.RESAMPLES", 100)
    monkeypatch.setattr("threeworlds.score.seeds.RESAMPLES", 100)


@pytest.fixture
def desk() -> Exam:
    """An exam that only lends its seed and its name."""
    return Exam(spec=ClipSpec(height=8, width=8, fps=10), world=None, test=Batch(), train=Batch(), seed=3)


def measured_of(**values) -> Measured:
    return Measured(
        question="prediction", metric="mse_h1", unit="", direction="lower", protocol="said", values=values,
        floors={"nothing": np.full(4, 9.0)},
    )  # fmt: skip


def test_a_row_is_the_mean_over_seeds_and_items(desk):
    first, second = measured_of(sora=np.array([1.0, 2, 3, 4])), measured_of(sora=np.array([5.0, 6, np.nan, 8]))
    (row,) = rows_of(merged([first, second], "0,1"), desk, [seat("sora", None)])
    assert row.value == pytest.approx((2.5 + 19 / 3) / 2)
    assert (row.n, row.seeds, row.floor, row.floor_name) == (4, "0,1", 9, "nothing")
    assert row.low < 2.6 and row.high > 6.3  # either seed alone
    assert (row.references["nothing"].value, row.references["nothing"].low) == (9, 9)


def test_differences_are_paired_by_seed_and_item(desk):
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=4) * 10 + 10 * seed for seed in range(3)]
    both = merged([measured_of(sora=part, jepa=part + 1) for part in parts], "0,1,2")
    (between,) = [d for d in differences_of(both, desk) if (d.first, d.second) == ("sora", "jepa")]
    assert (between.value, between.low, between.high) == pytest.approx((-1, -1, -1))
    assert between.verdict == "first better"


def test_a_statistic_is_taken_seed_by_seed(desk):
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=30), rng.normal(size=30)) for _ in range(2)]
    parts = [
        replace(measured_of(sora=pair), floors={}, statistic=lambda a, b: np.corrcoef(a, b)[0, 1]) for pair in pairs
    ]
    (row,) = rows_of(merged(parts, "0,1"), desk, [seat("sora", None)])
    assert row.value == pytest.approx(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))


def with_sibling(first, second):
    return replace(first, siblings=(replace(second, seed=1),))


def test_the_same_model_twice_scores_as_once_and_is_never_better_than_itself(arena, tmp_path):
    once = [seat("sora", CopyLast()), seat("jepa", Oracle(arena))]
    twice = [with_sibling(entrant, entrant) for entrant in once]
    single, _, _ = scorecard.ask_all(arena, once, ("prediction",), tmp_path)
    rows, _, _ = scorecard.ask_all(arena, twice, ("prediction",), tmp_path)
    told = {(row.route, row.metric): row for row in rows if row.question == "prediction"}
    assert {key: row.value for key, row in told.items()} == pytest.approx(
        {(r.route, r.metric): r.value for r in single}
    )
    assert {row.seeds for row in rows} == {"0,1"}
    better = {(row.route, row.metric): row.value for row in rows if row.question == "seeds"}
    assert better["jepa", "next_frame_error_better_than_sora"] > 0.9
    assert all(row.floor_name in row.references for row in rows if row.floor is not None)
    assert better["jepa", "next_frame_error_iqm"] < better["sora", "next_frame_error_iqm"]
    copied = next(row for row in rows if (row.route, row.metric) == ("sora", "next_frame_error_iqm"))
    assert (copied.floor, copied.floor_name) == (pytest.approx(copied.value), "copy the last frame")
    assert len(copied.references) == 2 and copied.floor == min(r.value for r in copied.references.values())


def test_a_seed_that_breaks_costs_its_route_alone(arena, tmp_path):
    class Broken(CopyLast):
        def predict(self, context, frames, *, action=None, seed=0):
            raise KeyError("gone")

    entrants = [
        with_sibling(seat("sora", CopyLast()), seat("sora", Broken())),
        with_sibling(seat("jepa", Deaf()), seat("jepa", Deaf())),
    ]
    rows, _, _ = scorecard.ask_all(arena, entrants, ("prediction",), tmp_path)
    assert {row.route for row in rows if row.status == "failed"} == {"sora"}
    assert {row.route for row in rows if row.status == "ok"} == {"jepa"}


def test_one_seed_is_left_as_it_is_and_unequal_numbers_are_refused(desk):
    answers = [object()]
    assert pooled(answers, desk, "") is answers[0]
    with pytest.raises(ValueError, match=r"as many seeds: got \[1, 2\]"):
        teams_of([with_sibling(seat("sora", None), seat("sora", None)), seat("jepa", None)])


def test_compare_trains_a_model_of_each_seed_and_reports_all(tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setattr("threeworlds.score.compare.EPISODES", 40)
    monkeypatch.setattr("threeworlds.score.compare.QUESTIONS", ("prediction", "cost"))
    words = f"compare --routes genie,jepa --seeds 0,5 --recipe debug --budget 2steps --items 4 --out {tmp_path}"
    assert main(words.split()) == 0
    assert {folder.name for folder in (tmp_path / "models").iterdir()} == {
        "genie",
        "genie-seed-5",
        "jepa",
        "jepa-seed-5",
    }
    result = json.loads((tmp_path / "result.json").read_text())
    assert "--seeds 0,5" in result["command"]
    assert {row["seeds"] for row in result["rows"] if row["status"] == "ok"} == {"0,5"}
    assert "next_frame_error_better_than_jepa" in {row["metric"] for row in result["rows"]}
    assert "Interquartile" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("seeds", ["0,0", "a,b", "-1,2"])
def test_seeds_are_different_whole_numbers(seeds, tmp_path, capsys):
    words = ["compare", f"--seeds={seeds}", "--recipe", "debug", "--budget", "2steps", "--out", str(tmp_path / "out")]
    assert main(words) != 0
    assert "different whole numbers" in capsys.readouterr().err
