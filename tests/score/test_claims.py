"""Claims: each rule on hand-made differences, in either order of the pair; and what several results say together."""

from dataclasses import replace

import pytest

from threeworlds.score.claims import CLAIMS, decide, judge_claims, judged_anew, least_trained
from threeworlds.types import Difference, Result, Row

AHEAD = (1, 4, 8, 16)
# claim -> (route, whom it must beat, in which questions and metrics)
NEEDS = {
    "C1": ("sora", ("sora-pixels",), (("prediction", "mse_h4"), ("prediction", "position_error_h4"))),
    "C2": ("genie", ("genie-one-code",), (("control", "action_following"), ("prediction", "mse_h4"))),
    "C3": ("sora", ("genie", "jepa"), tuple(("prediction", f"alone_psnr_h{h}") for h in AHEAD)),
    "C5": ("genie", ("no command",), (("control", "action_following"),)),
    "C6": ("genie", ("shuffled labels", "one code for all"), (("control", "nmi"),)),
    "C6b": ("genie", ("random policy",), tuple(("imitation", f"return_ratio_{n}") for n in (10, 50, 200, 1000))),
    "C7": ("jepa", ("sora", "genie", "untrained encoder"), (("understanding", "velocity_r2"),)),
    "C7b": ("jepa", ("sora", "genie"), (("hallucination", "clean_fraction"),)),
    "C8": (
        "jepa",
        ("random policy", "stay policy"),
        (("planning", "success_25_50"), ("planning", "success_25_50_actor")),
    ),
    "C9": ("jepa-second-order", ("jepa-free",), (("physics", "uniform_out"), ("physics", "uniform_out_code"))),
    "C10": ("jepa", ("copy the last frame",), (("prediction", "mse_h8"),)),
    "C12": ("genie", ("copy the last frame",), (("physics", "passive_error_h8"),)),
}
LAST = "copy the last frame"
# claim -> what must have been learnt for it to be judged: (who, above what, question, metric), any of each list
GATES = {
    "C1": [
        [(route, LAST, "prediction", metric) for route in ("sora", "sora-pixels")]
        for metric in ("mse_h4", "position_error_h4")
    ],
    "C2": [[("genie", "no command", "control", "action_following")]],
    "C3": [[("sora", LAST, "prediction", "alone_mse_h1")]],
    "C5": [[("genie", LAST, "prediction", "mse_h1")]],
    "C7b": [[(route, LAST, "prediction", "mse_h1")] for route in ("sora", "genie", "jepa")],
    "C9": [
        [(route, "freeze", "physics", metric) for route in ("jepa-second-order", "jepa-free")]
        for metric in ("uniform_in", "uniform_in_code")
    ],
    "C10": [[("jepa", LAST, "prediction", "mse_h1")]],
    "C12": [[("genie", LAST, "prediction", "mse_h1")]],
}
EACH = pytest.mark.parametrize("claim", NEEDS)
GATED = pytest.mark.parametrize("claim", GATES)
PAIRS = [(claim, place) for claim, (_, rivals, asked) in NEEDS.items() for place in range(len(rivals) * len(asked))]
ANY_PAIR = pytest.mark.parametrize(("claim", "place"), PAIRS)


def result_of(differences=(), rows=(), ledger=None):
    empty = {"command": "", "version": "", "machine": {}, "data": {}, "routes": {}}
    whole = {"ledger": ledger or {}, **empty}
    return Result(schema="threeworlds.result/1", differences=tuple(differences), rows=tuple(rows), **whole)


def pair(first, second, question, metric, verdict="first better", **changes):
    given = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 200, "p": 0.01, **changes}
    return Difference(question=question, metric=metric, first=first, second=second, verdict=verdict, **given)


def swapped(d):
    verdict = {"first better": "second better", "second better": "first better"}.get(d.verdict, d.verdict)
    return replace(d, first=d.second, second=d.first, value=-d.value, low=-d.high, high=-d.low, verdict=verdict)


def wins(claim):
    route, rivals, asked = NEEDS[claim]
    return [pair(route, rival, *each) for each in asked for rival in rivals]


def above(claim):
    """What was learnt: of each gate, the last that would do."""
    return [pair(*any_of[-1]) for any_of in GATES.get(claim, [])]


def verdict(claim, differences, rows=()):
    (found,) = (v for v in judge_claims(result_of(differences, rows)) if v.claim == claim)
    return found


def row(route, question, metric, value=0.5, **changes):
    given = {"low": value - 0.1, "high": value + 0.1, "n": 100, **changes}
    return Row(route=route, question=question, metric=metric, unit="", direction="higher", value=value, **given)


def drawn(route, floor=0.2, ceiling=0.1):
    """What a model errs when bodies are left alone, and when it redraws the true frames (the ceiling)."""
    return row(route, "physics", "passive_error_h8", 0.3, floor=floor, ceiling=ceiling)


# ------------------------------------------------------------------------------------- all claims


def test_every_claim_with_a_rule_is_judged_once_and_states_its_rule():
    verdicts = judge_claims(result_of())
    assert [v.claim for v in verdicts] == [claim for claim, *_ in CLAIMS]
    assert {v.claim for v in verdicts} == {*NEEDS, "C4", "C5b", "C11"}
    assert all(v.text and v.rule for v in verdicts)
    assert {(v.verdict, v.evidence) for v in verdicts} == {("not tested", ())}


@EACH
def test_better_in_all_is_supported_whatever_the_order_of_the_pair(claim):
    found = wins(claim) + above(claim)
    assert verdict(claim, found).verdict == "supported"
    assert verdict(claim, [swapped(d) for d in found]).verdict == "supported"


@ANY_PAIR
def test_worse_in_one_is_refuted(claim, place):
    found = [replace(d, verdict="second better") if i == place else d for i, d in enumerate(wins(claim))]
    assert verdict(claim, found + above(claim)).verdict == "refuted"
    assert verdict(claim, [swapped(d) for d in found + above(claim)]).verdict == "refuted"


@ANY_PAIR
def test_level_in_one_is_not_separable(claim, place):
    found = [replace(d, verdict="not separable") if i == place else d for i, d in enumerate(wins(claim))]
    assert verdict(claim, found + above(claim)).verdict == "not separable"


@ANY_PAIR
def test_without_one_of_them_it_is_not_tested(claim, place):
    found = verdict(claim, [d for i, d in enumerate(wins(claim)) if i != place] + above(claim))
    assert (found.verdict, found.evidence) == ("not tested", ())


@EACH
def test_a_difference_that_nobody_corrected_decides_nothing(claim):
    found = verdict(claim, [replace(d, p=None) for d in wins(claim)] + above(claim))
    assert found.verdict == "not separable"
    assert all("no p" in text for text in found.evidence if " - " in text)


@EACH
def test_other_metrics_questions_and_pairs_do_not_count(claim):
    for change in ({"metric": "other"}, {"question": "other"}, {"first": "other"}):
        assert verdict(claim, [replace(d, **change) for d in wins(claim)] + above(claim)).verdict == "not tested"


@EACH
def test_a_claim_bears_on_no_other(claim):
    found = judge_claims(result_of(wins(claim) + above(claim)))
    assert {v.claim for v in found if v.verdict != "not tested"} == {claim}


@GATED
def test_what_has_not_learnt_yet_decides_nothing(claim):
    """The numbers stand, and beside them what was not learnt."""
    for shut in range(len(GATES[claim])):
        level = [replace(d, verdict="not separable") if i == shut else d for i, d in enumerate(above(claim))]
        found = verdict(claim, wins(claim) + level)
        assert found.verdict == "not tested"
        assert sum("not learnt: " in text for text in found.evidence) == 1
        assert len(found.evidence) >= len(wins(claim))
    assert verdict(claim, wins(claim)).verdict == "not tested"


@GATED
def test_of_a_gate_for_two_either_will_do(claim):
    for place in (0, -1):
        known = [pair(*any_of[place]) for any_of in GATES[claim]]
        assert verdict(claim, wins(claim) + known).verdict == "supported"


@pytest.mark.parametrize("claim", ["C7b", "C10", "C12"])
def test_who_cannot_draw_the_bodies_is_not_asked_about_them(claim):
    route, *_ = NEEDS[claim]
    known = wins(claim) + above(claim)
    assert verdict(claim, known, [drawn(route)]).verdict == "supported"
    found = verdict(claim, known, [drawn(route, ceiling=0.25)])
    assert found.verdict == "not tested"
    assert f"{route} cannot draw the bodies" in found.evidence[-1]


# --------------------------------------------------------------------------------------- evidence


def test_the_evidence_is_the_numbers_that_were_looked_at():
    known = row("genie", "control", "nmi", 0.4123, low=0.38, high=0.45, n=200, floor=0.01, floor_name="shuffled labels")
    known = replace(known, ceiling=0.77, ceiling_name="seeing it move")
    found = [wins("C6")[0], replace(wins("C6")[1], p=0.0002)]
    assert verdict("C6", found, [known]).evidence == (
        "genie, control/nmi: 0.412 [0.38, 0.45], n 200, floor 0.01 (shuffled labels), ceiling 0.77 (seeing it move)",
        "control/nmi: genie - shuffled labels = 0.5 [0.4, 0.6], n 200, p 0.01: genie better",
        "control/nmi: genie - one code for all = 0.5 [0.4, 0.6], n 200, p < 0.001: genie better",
    )
    failed = replace(known, value=None, status="failed")
    assert len(verdict("C6", found, [failed]).evidence) == 2


def test_continuous_controls_are_judged_by_what_codes_tell_of_them():
    known = row("genie", "control", "code_r2", 0.7)
    told = [replace(d, metric="code_r2") for d in wins("C6")]
    assert verdict("C6", told, [known]).verdict == "supported"
    assert verdict("C6", told, [known]).evidence[0].startswith("genie, control/code_r2: 0.7")
    assert verdict("C6", told).verdict == "not tested"  # no row: these are somebody else's
    level = [told[0], replace(told[1], verdict="not separable")]
    assert verdict("C6", level, [known]).verdict == "not separable"


def test_an_interval_without_zero_is_told_with_the_p_that_overrules_it():
    found = [replace(d, verdict="not separable", p=0.12) for d in wins("C7")]
    assert verdict("C7", found).evidence[0].endswith("[0.4, 0.6], n 200, p 0.12: not separable")


@pytest.mark.parametrize("claim", ["C5", "C6", "C6b", "C8"])
def test_a_row_whose_interval_does_not_exist_is_told_without_one(claim):
    """One item: a value, no bounds."""
    route, _, ((question, metric), *_) = NEEDS[claim]
    known = row(route, question, metric, n=1, low=None, high=None)
    found = verdict(claim, wins(claim) + above(claim), [known])
    assert found.verdict == "supported"
    assert found.evidence[0] == f"{route}, {question}/{metric}: 0.5 [unknown, unknown], n 1"


# ------------------------------------------------------------------------------ rules of other kinds


@pytest.mark.parametrize("horizon", AHEAD)
def test_the_best_pictures_are_best_at_every_horizon_and_the_others_are_named(horizon):
    level = [replace(d, verdict="not separable") if d.metric.endswith(f"_h{horizon}") else d for d in wins("C3")]
    found = verdict("C3", level + above("C3"))
    rest = ", ".join(str(h) for h in AHEAD if h != horizon)
    assert found.evidence[0] == f"best at {rest} frames ahead, not at {horizon}"
    assert found.verdict == "not separable"


def test_short_clips_are_asked_as_far_as_they_go():
    near = [d for d in wins("C3") if d.metric in ("alone_psnr_h1", "alone_psnr_h4")]
    found = verdict("C3", near + above("C3"))
    assert (found.verdict, found.evidence[0]) == ("supported", "best at 1, 4 frames ahead")


def test_what_sora_cannot_be_asked_and_what_it_learnt_from_is_told():
    control = replace(row("sora", "control", "action_following"), status="not_applicable", reason="no")
    ledger = {"sora": {"total": {"supervision": ["video", "caption"]}}}
    (found,) = (v for v in judge_claims(result_of(wins("C3") + above("C3"), [control], ledger)) if v.claim == "C3")
    assert found.evidence[-2:] == ("sora, control/action_following: n/a, no", "sora learnt from video, caption")


def clean(route, high, ceiling=1.0):
    return row(route, "hallucination", "clean_fraction", high - 0.05, low=high - 0.1, high=high, ceiling=ceiling)


SEEN = [pair(route, LAST, "prediction", "mse_h1") for route in ("sora", "genie")]  # these have learnt


@pytest.mark.parametrize(
    ("sora", "genie", "word"),
    [(0.5, 0.9, "supported"), (0.5, 1.0, "not separable"), (1.0, 1.0, "refuted")],
)
def test_films_that_break_support_that_generative_models_hallucinate(sora, genie, word):
    found = verdict("C4", SEEN, [clean("sora", sora), clean("genie", genie)])
    assert found.verdict == word
    assert [text[:6] for text in found.evidence] == ["sora, ", "genie,"]


@pytest.mark.parametrize("gate", ["foresees", "draws"])
def test_films_of_a_model_that_has_not_learnt_break_nothing(gate):
    rows = [clean("sora", 0.5), clean("genie", 1.0)] + ([drawn("sora", ceiling=0.25)] if gate == "draws" else [])
    found = verdict("C4", SEEN if gate == "draws" else SEEN[1:], rows)
    assert found.verdict == "refuted"  # by genie alone
    assert found.evidence[0].startswith("not judged: sora, hallucination/clean_fraction: 0.45 ")
    assert "not learnt: " in found.evidence[0]
    assert verdict("C4", [], rows).verdict == "not tested"


def velocity(law, within, beyond):
    return [row("sora", "physics", f"{law}_{span}", v) for span, v in (("in", within), ("out", beyond))]


RANGE = [pair("sora", "freeze", "physics", f"{law}_in") for law in ("uniform", "collision", "parabola")]


@pytest.mark.parametrize(
    ("uniform", "parabola", "word"),
    [((1, 2), (1, 2), "supported"), ((1, 2), (1, 1.1), "not separable"), ((2, 1), (2, 1), "refuted")],
)
def test_velocities_that_are_worse_out_of_range_support_it_as_well(uniform, parabola, word):
    rows = velocity("uniform", *uniform) + velocity("parabola", *parabola)
    assert verdict("C4", RANGE, rows).verdict == word
    assert verdict("C4", RANGE[:2], velocity("uniform", 1, 2) + velocity("parabola", 2, 1)).verdict == "supported"
    assert verdict("C4", [], rows).verdict == "not tested"


def test_films_and_velocities_that_disagree_are_not_separable():
    assert verdict("C4", SEEN + RANGE, [clean("sora", 1.0), *velocity("uniform", 1, 2)]).verdict == "not separable"


def grown(*values):
    return [row("genie", "budget", f"next_frame_error_{10 ** (12 + i)}", v) for i, v in enumerate(values)]


BETTER = [pair("sora", "genie", "prediction", "alone_psnr_h1"), pair("genie", LAST, "prediction", "mse_h1")]


def test_more_training_must_lessen_the_error_and_sora_be_the_better_one():
    assert verdict("C5b", BETTER, grown(0.9, 0.8, 0.5)).verdict == "supported"
    assert verdict("C5b", BETTER, grown(0.5, 0.9)).verdict == "refuted"
    assert verdict("C5b", BETTER, grown(0.6, 0.5)).verdict == "not separable"
    assert (
        verdict("C5b", [replace(BETTER[0], verdict="second better"), BETTER[1]], grown(0.9, 0.5)).verdict == "refuted"
    )


def test_one_budget_or_a_genie_that_has_not_learnt_says_nothing_of_scale():
    assert verdict("C5b", BETTER, grown(0.5)).verdict == "not tested"
    found = verdict("C5b", BETTER[:1], grown(0.9, 0.5))
    assert (found.verdict, len(found.evidence)) == ("not tested", 4)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("first better", "first better"), "supported"),
        (("second better", "second better"), "refuted"),
        (("first better", "not separable"), "not separable"),
    ],
)
def test_every_route_must_run_on_without_action_and_variants_are_none(words, expected):
    made = [
        pair(r, LAST, "physics", "passive_error_h8", word) for r, word in zip(("sora", "genie"), words, strict=True)
    ]
    variant = [pair("sora-pixels", LAST, "physics", "passive_error_h8", "second better")]
    learnt = [pair("sora-pixels", LAST, "prediction", "mse_h1")]
    assert verdict("C12", made + SEEN + variant + learnt).verdict == expected


def test_only_two_predict_where_both_beat_the_joint_one():
    asked = ("understanding", "position_r_h8")
    predictive, generative = (pair(one, "jepa-joint", *asked) for one in ("jepa", "jepa-generative"))
    assert verdict("C11", [predictive, generative]).verdict == "supported"
    assert verdict("C11", [predictive, replace(generative, verdict="second better")]).verdict == "refuted"
    assert verdict("C11", [replace(predictive, verdict="not separable"), generative]).verdict == "not separable"
    assert verdict("C11", [predictive]).verdict == "not tested"


# ------------------------------------------------------------------------------- several results


def trained_for(flops, differences):
    ledger = {"genie": {"total": {"flops": flops}, "actions": {"flops": 1.0}}, "jepa": {"total": {"flops": 9e20}}}
    return result_of(differences, ledger=ledger)


def test_the_result_whose_least_trained_model_was_trained_most_decides():
    level = [replace(d, verdict="not separable") for d in wins("C6")]
    results = {"small": trained_for(1e12, level), "large": trained_for(1e13, wins("C6")), "none": trained_for(1e15, [])}
    assert least_trained(results["small"]) == 1e12
    found = decide(results, "C6")
    assert (found.word, found.result, found.others) == ("supported", "large", {"small": "not separable"})
    again = decide({"first": results["large"], "second": results["large"]}, "C6")
    assert (again.result, again.others) == ("first", {})


def test_where_none_tests_a_claim_none_decides():
    found = decide({"small": trained_for(1e12, [])}, "C6")
    assert (found.word, found.result, found.others) == ("not tested", "", {})


def test_old_verdicts_give_way():
    held = result_of(wins("C6"))
    assert {v.claim: v.verdict for v in judged_anew(held).verdicts}["C6"] == "supported"
    assert judged_anew(judged_anew(held)) == judged_anew(held)


def test_a_jepa_that_is_second_order_by_its_recipe_stands_for_the_variant():
    plain = [replace(d, first="jepa") if d.first == "jepa-second-order" else d for d in wins("C9") + above("C9")]
    assert verdict("C9", plain).verdict == "supported"
    lost = [replace(d, verdict="second better") for d in plain if d.metric.startswith("uniform_out")]
    assert verdict("C9", lost + above("C9")).verdict == "refuted"
