"""The words follow the numbers: each test changes a number and expects another word."""

from dataclasses import replace

import pytest
from report_sample import difference, missing, row, sample_result

from threeworlds.report.findings import evidence, headline, pros_and_cons, questions_of, standing, takeaways


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return sample_result(tmp_path_factory.mktemp("films"))


def psnr(route, value):
    return row(route, "prediction", "psnr_h1", "dB", value=value, half=0.5, floor=22.0, floor_name="copy")


def takeaway(result, *rows, differences=()):
    return dict(takeaways(replace(result, rows=rows, differences=differences)))["prediction"]


@pytest.mark.parametrize(
    ("value", "direction", "expected"),
    [
        (23.0, "higher", "above"),
        (23.0, "lower", "below"),
        (21.0, "higher", "below"),
        (21.0, "lower", "above"),
        (22.2, "higher", "not separable"),
    ],
)
def test_standing_by_its_own_interval(value, direction, expected):
    assert standing(replace(psnr("sora", value), direction=direction), ()) == expected


def test_a_paired_difference_decides_over_the_rows_own_interval():
    close = psnr("sora", 22.2)
    assert standing(close, [difference("prediction", "psnr_h1", "sora", "copy", 0.2, 0.1)]) == "above"
    assert standing(close, [difference("prediction", "psnr_h4", "sora", "copy", 0.2, 0.1)]) == "not separable"


def test_the_headline_is_one_metric_for_all_routes(result):
    assert {r.metric for r in headline(result, "prediction").values()} == {"psnr_h1"}
    assert {r.metric for r in headline(result, "novel_question").values()} == {"some_metric"}


def test_the_headline_skips_a_metric_nobody_could_measure(result):
    rows = (missing("sora", "control", "action_following", "no"), row("genie", "control", "nmi", value=0.4))
    assert list(headline(replace(result, rows=rows), "control")) == ["genie"]


def test_questions_stand_in_order_unknown_last(result):
    assert questions_of(result) == [
        "prediction", "control", "text", "understanding", "planning", "cost", "novel_question",
    ]  # fmt: skip


def test_takeaway_names_the_best_and_how_sure_that_is(result):
    rows = (psnr("sora", 27.0), psnr("genie", 26.0), psnr("jepa", 25.0))
    pairs = [
        difference("prediction", "psnr_h1", "sora", "genie", 1.0, 2.0),
        difference("prediction", "psnr_h1", "jepa", "sora", -2.0, 1.0),
    ]
    sentence = takeaway(result, *rows, differences=pairs)
    assert sentence.startswith("Next-frame PSNR (higher is better): sora 27.0 [26.5, 27.5] dB, ")
    assert "ahead of jepa, not separable from genie." in sentence
    assert "Better than the floor (copy): sora, genie and jepa." in sentence


def test_takeaway_of_a_metric_where_less_is_better(result):
    rows = [replace(psnr(route, v), direction="lower", floor=None) for route, v in (("sora", 3.0), ("genie", 2.0))]
    assert takeaway(result, *rows) == "Next-frame PSNR (lower is better): genie 2.00 [1.50, 2.50] dB, sora 3.00."


def test_one_route_is_ranked_against_nobody(result):
    assert takeaway(result, replace(psnr("sora", 27.0), floor=None)) == "Next-frame PSNR: sora 27.0 [26.5, 27.5] dB."


def test_prediction_is_headed_by_what_every_route_does_from_frames_alone(result):
    """Under its own controls genie is given codes inferred from the true future."""
    rows = [row("genie", "prediction", metric, value=0.1) for metric in ("mse_h1", "alone_mse_h1", "psnr_h1")]
    assert headline(replace(result, rows=tuple(rows)), "prediction")["genie"].metric == "alone_mse_h1"


def test_what_shows_scores_of_other_questions_is_no_finding_of_its_own(result):
    rows = (row("sora", "budget", "colour_matched_500", value=0.5), row("sora", "text", "colour", value=0.5))
    assert [question for question, _ in takeaways(replace(result, rows=rows))] == ["text"]
    assert pros_and_cons(replace(result, rows=rows), "sora") == ([], [])


def test_evidence_of_a_story_comes_from_the_first_result_that_has_it(result):
    own = replace(result, rows=(row("sora", "text", "colour", "of captions", value=0.9, half=0.1, floor=0.1),))
    more = (row("sora", "text", "colour", value=0.1), row("sora", "planning", "success_25_50_each", value=0.5))
    found = evidence([own, replace(result, rows=more)], "sora", "use")
    assert found[0] == "colour matched 0.90 [0.80, 1.00] of captions (floor 0.100)"
    assert found[1].startswith("success, goal 25 steps away")
    assert evidence([own], "genie", "use") == []


def test_what_a_latent_keeps_is_its_reconstruction(result):
    kept = row("sora", "prediction", "psnr_h1", "dB", value=20.0, ceiling=36.0, ceiling_name="its own reconstruction")
    assert evidence([replace(result, rows=(kept,))], "sora", "video_latent") == [
        "next-frame PSNR of its own reconstruction 36.0 dB"
    ]


def test_takeaway_tells_what_did_not_beat_its_floor_and_what_is_missing(result):
    rows = (psnr("sora", 22.1), *(missing(r, "prediction", "psnr_h1", "no decoder") for r in ("genie", "jepa")))
    sentence = takeaway(result, *rows)
    assert "Not better than the floor: sora." in sentence
    assert sentence.endswith("genie and jepa: n/a: no decoder.")


def test_for_and_against(result):
    pros, cons = pros_and_cons(result, "genie")
    assert "next-frame PSNR 26.0 dB (floor 22.3)" in pros
    assert "next-frame PSNR behind sora" in cons
    assert "Text: it takes no words" in cons
    assert "Planning failed: the planner ran out of memory" in cons
    pros, cons = pros_and_cons(result, "jepa")
    assert "seconds per generated second 0.0040 s, best of 3" in pros
    assert "action following 0.220, not separable from its floor 0.200" in cons


def test_for_and_against_below_the_floor_and_in_the_middle(result):
    rows = (psnr("sora", 20.0), *(row(r, "cost", "seconds_per_second", "s", "lower", v) for r, v in
            (("genie", 1.0), ("sora", 2.0), ("jepa", 3.0))))  # fmt: skip
    assert pros_and_cons(replace(result, rows=rows), "sora") == (
        [],
        ["next-frame PSNR 20.0 dB, worse than its floor 22.0"],
    )


def test_a_question_that_the_clips_do_not_allow_is_against_nobody(result):
    rows = [missing(route, "text", "colour", "no captions") for route in ("sora", "genie")]
    assert pros_and_cons(replace(result, rows=tuple(rows)), "sora") == ([], [])
    answered = (rows[0], row("genie", "text", "colour", value=0.5))
    assert pros_and_cons(replace(result, rows=answered), "sora") == ([], ["Text: no captions"])
