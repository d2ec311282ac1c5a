"""What was equal in training is told from the ledger."""

from dataclasses import replace

import pytest
from report_sample import ledger, sample_result

from threeworlds.report.fairness import fairness, left_out
from threeworlds.report.view import _budget
from threeworlds.report.write import write_report
from threeworlds.score.result import write_result

PAGES = ("report.md", "report.html")


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return sample_result(tmp_path_factory.mktemp("films"))


def given(result, **totals):
    return fairness(replace(result, ledger={route: {"total": total} for route, total in totals.items()}))


def test_within_five_per_cent_is_equal(result):
    found = given(result, sora=ledger(2.0e13, 100.0, 1, ["video"]), genie=ledger(2.05e13, 150.0, 1, ["video"]))
    assert found.equal == ("FLOPs (20.0 T for sora to 20.5 T for genie)", "distinct episodes (512)")
    assert found.unequal == ("seconds (100 for sora to 150 for genie)",)
    assert found.sentence.startswith("Equal: FLOPs")
    assert found.sentence.endswith("Not equal: seconds (100 for sora to 150 for genie).")
    assert found.in_short == "not equal: seconds"


def test_other_supervision_is_not_equal(result):
    found = given(result, sora=ledger(1.0, 1.0, 1, ["video", "caption"]), genie=ledger(1.0, 1.0, 1, ["video"]))
    assert found.unequal == ("what they learn from (sora: video, caption; genie: video)",)


TRIED = [
    {"factor": 1.0, "error": 0.0213, "flops": 1e12, "seconds": 20.0},
    {"factor": 0.5, "error": 0.0198, "flops": 1e12, "seconds": 20.0},
    {"factor": 2.0, "error": None, "flops": 1e12, "seconds": 20.0},
]
TRIALS = {"chosen": 0.5, "tried": TRIED, "flops": 3e12, "seconds": 60.0}


def tried(result, **routes):
    return fairness(replace(result, routes={name: {**result.routes[name], **more} for name, more in routes.items()}))


def test_trials_are_told_where_there_were_some(result):
    plain = fairness(result)
    found = tried(result, sora={"trials": TRIALS}, genie={"trials": TRIALS}, jepa={"trials": TRIALS})
    assert found.head == (*plain.head, "tuning trials, on top")
    cell = "learning rates × 1: error 0.021; × 0.5: error 0.020, taken; × 2: error –; 3.00 T FLOPs, 60.0 seconds in all"
    assert found.lines == tuple((*line, cell) for line in plain.lines)
    assert found.equal == (*plain.equal, "tuning trials (3)")
    assert found.unequal == plain.unequal


def test_a_route_that_was_not_tried_was_not_given_the_same(result):
    found = tried(result, sora={"trials": TRIALS}, genie={}, jepa={})
    assert found.unequal[-1] == "tuning trials (0 or 3)"
    assert [line[-1] for line in found.lines if line[0] != "sora"] == ["none", "none"]


def test_the_page_has_a_column_for_trials_only_where_there_were_some(result, tmp_path):
    told = []
    for trials in ({}, {"trials": TRIALS}):
        routes = {name: {**facts, **trials} for name, facts in result.routes.items()}
        write_result(replace(result, routes=routes), tmp_path / "result.json")
        write_report(tmp_path)
        told.append([(tmp_path / name).read_text().count("tuning trials, on top") for name in PAGES])
    assert told == [[0, 0], [1, 1]]


def test_one_route_has_nobody_to_be_equal_to(result):
    found = given(result, sora=ledger(1.0, 1.0, 1, ["video"]))
    assert (found.sentence, found.in_short) == ("", "")
    assert found.lines[0][0] == "sora"


def test_models_that_were_trained_elsewhere_say_so_at_the_top(result):
    """A comparison states its budget; scores of kept models have none, so the page says what differs."""
    assert _budget(replace(result, data={"budget": "4m"})) == "4m a route"
    assert _budget(result) == "not equal: what they learn from"


def test_a_head_on_top_is_what_the_total_leaves_out():
    world, head = ledger(3.0, 1.0, 1, ["video"]), {**ledger(2.0, 1.0, 1, ["video"]), "steps": 7}
    assert left_out({"decoder": head, "world": world, "total": world}) == ("decoder",)
    both = {**world, "flops": 5.0, "steps": world["steps"] + 7}
    assert left_out({"decoder": head, "world": world, "total": both}) == ()
    assert left_out({"total": world}) == ()


def test_the_report_names_it(result):
    world, head = ledger(3.0, 1.0, 1, ["video"]), {**ledger(2.0e12, 1.0, 1, ["video"]), "steps": 7}
    found = fairness(replace(result, ledger={"jepa": {"decoder": head, "world": world, "total": world}}))
    assert found.lines[0][-1] == "decoder: 2.00 T FLOPs"
