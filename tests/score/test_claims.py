"""Claims: each rule on hand-made differences, in either order of the pair."""

from dataclasses import replace

import pytest

from threeworlds.score.claims import CLAIMS, judge_claims
from threeworlds.types import Difference, Result, Row

# claim -> (route, question, metric, whom it must beat)
NEEDS = {
    "C3": ("sora", "prediction", "alone_psnr_h1", ("genie", "jepa")),
    "C5": ("genie", "control", "action_following", ("no command",)),
    "C6": ("genie", "control", "nmi", ("shuffled labels", "one code for all")),
    "C7b": ("jepa", "hallucination", "clean_fraction", ("sora", "genie")),
    "C7": ("jepa", "understanding", "velocity_r2", ("sora", "genie", "untrained encoder")),
    "C8": ("jepa", "planning", "success_25_50", ("random policy", "stay policy")),
    "C10": ("jepa", "prediction", "mse_h8", ("copy the last frame",)),
    "C12": ("genie", "physics", "passive_error_h8", ("copy the last frame",)),
}
PAIRS = {  # claim -> what must win, over what, in which questions: routes that a comparison holds twice
    "C1": ("sora", "sora-pixels", (("prediction", "mse_h4"), ("prediction", "position_error_h4"))),
    "C2": ("genie", "genie-one-code", (("control", "action_following"), ("prediction", "mse_h4"))),
    "C9": ("jepa-second-order", "jepa-free", (("physics", "uniform_out"), ("physics", "uniform_out_code"))),
}
ABOVE_FLOOR = Difference(  # without it, C3 is not tested
    question="prediction", metric="alone_mse_h1", first="sora", second="copy the last frame", value=-0.1, low=-0.2,
    high=-0.05, n=200, verdict="first better",
)  # fmt: skip
EACH = pytest.mark.parametrize("claim", NEEDS)
ANY_RIVAL = pytest.mark.parametrize(
    ("claim", "rival"), [(claim, rival) for claim, (*_, rivals) in NEEDS.items() for rival in rivals]
)


def result_of(differences=(), rows=()):
    empty = {"command": "", "version": "", "machine": {}, "data": {}, "ledger": {}, "routes": {}}
    return Result(schema="threeworlds.result/1", differences=tuple(differences), rows=tuple(rows), **empty)


def difference(claim, rival, verdict, value=0.5):
    route, question, metric, _ = NEEDS[claim]
    return Difference(
        question=question,
        metric=metric,
        first=route,
        second=rival,
        value=value,
        low=value - 0.1,
        high=value + 0.1,
        n=200,
        verdict=verdict,
    )


def swapped(d):
    verdict = {"first better": "second better", "second better": "first better"}.get(d.verdict, d.verdict)
    return replace(d, first=d.second, second=d.first, value=-d.value, low=-d.high, high=-d.low, verdict=verdict)


def wins(claim):
    return [difference(claim, rival, "first better") for rival in NEEDS[claim][3]]


def verdict(claim, differences, rows=()):
    known = [*differences, ABOVE_FLOOR] if differences else []
    (found,) = (v for v in judge_claims(result_of(known, rows)) if v.claim == claim)
    return found


def test_pictures_that_do_not_beat_the_last_frame_test_no_quality():
    level = replace(ABOVE_FLOOR, verdict="not separable")
    (found,) = (v for v in judge_claims(result_of([*wins("C3"), level])) if v.claim == "C3")
    assert found.verdict == "not tested"
    assert "copy the last frame" in found.evidence[0]


def test_every_claim_with_a_rule_is_judged_once_and_states_its_rule():
    verdicts = judge_claims(result_of())
    assert [v.claim for v in verdicts] == [claim for claim, *_ in CLAIMS]
    assert {v.claim for v in verdicts} == {*NEEDS, *PAIRS, "C4", "C11"}
    assert all(v.text and v.rule for v in verdicts)
    assert {(v.verdict, v.evidence) for v in verdicts} == {("not tested", ())}


@EACH
def test_better_than_all_is_supported_whatever_the_order_of_the_pair(claim):
    assert verdict(claim, wins(claim)).verdict == "supported"
    assert verdict(claim, [swapped(d) for d in wins(claim)]).verdict == "supported"


@ANY_RIVAL
def test_worse_than_one_is_refuted(claim, rival):
    found = [replace(d, verdict="second better") if d.second == rival else d for d in wins(claim)]
    assert verdict(claim, found).verdict == "refuted"
    assert verdict(claim, [swapped(d) for d in found]).verdict == "refuted"


@ANY_RIVAL
def test_level_with_one_is_not_separable(claim, rival):
    found = [replace(d, verdict="not separable") if d.second == rival else d for d in wins(claim)]
    assert verdict(claim, found).verdict == "not separable"


@ANY_RIVAL
def test_without_one_of_them_it_is_not_tested(claim, rival):
    found = verdict(claim, [d for d in wins(claim) if d.second != rival])
    assert (found.verdict, found.evidence) == ("not tested", ())


@EACH
def test_other_metrics_questions_and_pairs_do_not_count(claim):
    changes = [{"metric": "other"}, {"question": "other"}]
    changes += [{"first": "other"}] if claim != "C12" else []  # which asks every route there is
    for change in changes:
        assert verdict(claim, [replace(d, **change) for d in wins(claim)]).verdict == "not tested"


@EACH
def test_a_claim_bears_on_no_other(claim):
    spoken = {v.claim for v in judge_claims(result_of([*wins(claim), ABOVE_FLOOR])) if v.verdict != "not tested"}
    assert spoken == {claim}


def test_the_evidence_is_the_numbers_that_were_looked_at():
    row = Row(
        route="genie",
        question="control",
        metric="nmi",
        unit="0 to 1",
        direction="higher",
        value=0.4123,
        low=0.38,
        high=0.45,
        n=200,
    )
    found = verdict("C6", wins("C6"), [row])
    assert found.evidence == (
        "control/nmi: 0.412 [0.38, 0.45], n 200",
        "control/nmi: genie - shuffled labels = 0.5 [0.4, 0.6], n 200",
        "control/nmi: genie - one code for all = 0.5 [0.4, 0.6], n 200",
    )
    failed = replace(row, value=None, status="failed")
    assert len(verdict("C6", wins("C6"), [failed]).evidence) == 2


@pytest.mark.parametrize("claim", ["C5", "C6", "C8"])
def test_a_row_whose_interval_does_not_exist_is_told_without_one(claim):
    """One item: a value, no bounds."""
    route, question, metric, _ = NEEDS[claim]
    row = Row(route=route, question=question, metric=metric, unit="", direction="higher", value=0.5, n=1)
    found = verdict(claim, wins(claim), [row])
    assert found.verdict == "supported"
    assert found.evidence[0] == f"{question}/{metric}: 0.5 [unknown, unknown], n 1"


# ------------------------------------------------------------------------------ rules of other kinds


def clean(route, high, ceiling=1.0):
    return Row(
        route=route, question="hallucination", metric="clean_fraction", unit="", direction="higher", value=high - 0.05,
        low=high - 0.1, high=high, n=100, ceiling=ceiling,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sora", "genie", "word"),
    [(0.5, 0.9, "supported"), (0.5, 1.0, "not separable"), (1.0, 1.0, "refuted")],
)
def test_films_that_break_support_that_generative_models_hallucinate(sora, genie, word):
    found = verdict("C4", [], [clean("sora", sora), clean("genie", genie)])
    assert found.verdict == word
    assert len(found.evidence) == 2


def test_one_generative_route_alone_tests_nothing():
    assert verdict("C4", [], [clean("sora", 0.5)]).verdict == "not tested"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("first better", "first better"), "supported"),
        (("second better", "second better"), "refuted"),
        (("first better", "not separable"), "not separable"),
    ],
)
def test_every_route_must_run_on_without_action(words, expected):
    made = [replace(difference("C12", "copy the last frame", word), first=f"r{i}") for i, word in enumerate(words)]
    assert verdict("C12", made).verdict == expected


def pair(first, second, question, metric, verdict="first better"):
    return Difference(
        question=question, metric=metric, first=first, second=second, value=0.5, low=0.4, high=0.6, n=200,
        verdict=verdict,
    )  # fmt: skip


LEARNT = {  # claim -> what must be above its floor for the pair to decide anything
    "C1": [("sora-pixels", "copy the last frame", "prediction", "mse_h4"),
           ("sora", "copy the last frame", "prediction", "position_error_h4")],
    "C2": [("genie", "no command", "control", "action_following")],
    "C9": [("jepa-second-order", "freeze", "physics", "uniform_in"),
           ("jepa-free", "freeze", "physics", "uniform_in_code")],
}  # fmt: skip


@pytest.mark.parametrize("claim", PAIRS)
def test_what_has_not_learnt_yet_decides_nothing(claim):
    one, other, asked = PAIRS[claim]
    won = [pair(one, other, *each) for each in asked]
    above = [pair(*each) for each in LEARNT[claim]]
    level = [*above[:-1], replace(above[-1], verdict="not separable")]
    assert verdict(claim, won + above).verdict == "supported"
    found = verdict(claim, won + level)
    assert found.verdict == "not tested"
    assert len(found.evidence) == 2


@pytest.mark.parametrize("claim", PAIRS)
def test_a_route_held_twice_must_win_everywhere(claim):
    one, other, asked = PAIRS[claim]
    won, above = [pair(one, other, *each) for each in asked], [pair(*each) for each in LEARNT[claim]]
    assert verdict(claim, won + above).verdict == "supported"
    assert verdict(claim, [swapped(d) for d in won + above]).verdict == "supported"
    assert verdict(claim, [won[0], replace(won[1], verdict="second better"), *above]).verdict == "refuted"
    assert verdict(claim, [won[0], replace(won[1], verdict="not separable"), *above]).verdict == "not separable"
    assert verdict(claim, [replace(d, second="another") for d in won] + above).verdict == "not tested"


def test_only_two_predict_where_both_beat_the_joint_one():
    asked = ("understanding", "position_r_h8")
    predictive, generative = (pair(one, "jepa-joint", *asked) for one in ("jepa", "jepa-generative"))
    assert verdict("C11", [predictive, generative]).verdict == "supported"
    assert verdict("C11", [predictive, replace(generative, verdict="second better")]).verdict == "refuted"
    assert verdict("C11", [replace(predictive, verdict="not separable"), generative]).verdict == "not separable"
    assert verdict("C11", [predictive]).verdict == "not tested"
