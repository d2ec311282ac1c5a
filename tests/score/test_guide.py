"""The guide: whom it names follows from rows, differences and what each route learnt from."""

from dataclasses import replace

import pytest

from threeworlds.score.guide import NEEDS, PRODUCTS, guide
from threeworlds.types import Difference, Result, Row

LEARNT = {"sora": ("video", "caption"), "genie": ("video",), "jepa": ("video", "action")}
FILM, GAME, ROBOT = (need.text for need in PRODUCTS)
SECOND = "the next second, under known actions"


def result_of(values, verdicts=None, *, question="prediction", metric="mse_h8", direction="lower", floor=0.5, unit=""):
    """Rows of one metric; ``verdicts`` (first, second) -> verdict. Without them all beat the floor, and no other."""
    verdicts = {(route, "floor"): "first better" for route in values} if verdicts is None else verdicts
    rows = [
        Row(
            route=route, question=question, metric=metric, unit=unit, direction=direction, value=value,
            low=value - 0.1, high=value + 0.1, n=50, floor=floor, floor_name="floor" if floor is not None else "",
        )
        for route, value in values.items()
    ]  # fmt: skip
    differences = [
        Difference(
            question=question, metric=metric, first=a, second=b, value=0, low=0, high=0, n=50, verdict=verdict,
        )
        for (a, b), verdict in verdicts.items()
    ]  # fmt: skip
    ledger = {route: {"total": {"supervision": list(LEARNT[route])}} for route in values}
    empty = {"command": "", "version": "", "machine": {}, "data": {}, "routes": {}}
    return Result(
        schema="threeworlds.result/1", rows=tuple(rows), differences=tuple(differences), ledger=ledger, **empty
    )


def joined(*results):
    rows = tuple(row for result in results for row in result.rows)
    differences = tuple(d for result in results for d in result.differences)
    ledger = {route: stages for result in results for route, stages in result.ledger.items()}
    return replace(results[0], rows=rows, differences=differences, ledger=ledger)


def measured(question, metric, values, verdicts=None, **more):
    return result_of(values, verdicts, question=question, metric=metric, direction="higher", **({"floor": 0.0} | more))


def advice(*results, need=SECOND):
    return next(line for line in guide(results) if line.need == need)


ALL_BEAT = {(route, "floor"): "first better" for route in ("genie", "jepa")}


def test_the_best_that_beats_its_floor_is_taken():
    line = advice(result_of({"genie": 0.3, "jepa": 0.2}, {**ALL_BEAT, ("genie", "jepa"): "second better"}))
    assert (line.take, line.learns_from) == ("jepa", "video, actions")


def test_why_names_the_metric_in_words_its_unit_its_floor_and_every_value():
    line = advice(result_of({"genie": 0.3, "jepa": 0.2}, unit="squared error"))
    assert line.why[0] == (
        "Squared error, 8 frames ahead: jepa 0.2 [0.1, 0.3], genie 0.3 [0.2, 0.4] squared error "
        "(floor, floor: 0.5; n 50)"
    )


def test_routes_that_cannot_be_told_apart_are_named_together():
    line = advice(result_of({"genie": 0.3, "jepa": 0.2}, {**ALL_BEAT, ("genie", "jepa"): "not separable"}))
    assert line.take == "jepa or genie"
    assert line.learns_from == "jepa: video, actions; genie: video"


def test_the_best_value_is_not_taken_where_it_does_not_beat_its_floor():
    verdicts = {("genie", "floor"): "first better", ("jepa", "floor"): "not separable"}
    line = advice(result_of({"genie": 0.3, "jepa": 0.2}, verdicts))
    assert line.take == "genie"
    assert line.why[0].endswith("This leaves out jepa: not separably better than the floor")
    assert advice(result_of({"genie": 0.3, "jepa": 0.2}, {})).take == "none"


def test_a_route_that_learnt_from_what_is_not_there_is_left_out():
    """Sora learnt from captions: who has video and actions cannot train it so."""
    assert advice(result_of({"sora": 0.1, "jepa": 0.2})).take == "jepa"


def test_what_nobody_measured_is_not_tested_and_the_reason_is_told():
    line = advice(result_of({"jepa": 0.2}, ALL_BEAT), need=ROBOT)
    assert line.take == "not tested"
    assert line.why == ("Success, goal 25 steps away, 50 allowed: not measured here",)
    silent = result_of({"jepa": 0.2}, {}, question="planning", metric="success_25_50")
    rows = (replace(silent.rows[0], value=None, status="not_applicable", reason="no goals in these clips"),)
    assert advice(replace(silent, rows=rows), need=ROBOT).why[0].endswith("not measured here; no goals in these clips")


# ------------------------------------------------------------------------------------ the products

OBEYS = measured("control", "action_following", {"genie": 0.9, "jepa": 1.0})
CLEAN = measured("hallucination", "clean_fraction", {"genie": 0.7, "jepa": 0.0}, {("genie", "floor"): "first better"})


def fps(**values):
    return measured("play", "fps", values, {}, floor=None, unit="frames/s")


def test_the_three_products_come_first_in_the_guide():
    assert [line.need for line in guide([OBEYS])] == [FILM, GAME, ROBOT, *(need.text for need in NEEDS)]


def test_a_route_whose_films_are_never_clean_cannot_be_played():
    assert advice(OBEYS, need=GAME).take == "jepa or genie"
    line = advice(joined(OBEYS, CLEAN), need=GAME)
    assert line.take == "genie"
    assert "Films without an impossible event" in line.why[1]
    assert line.why[1].endswith("This leaves out jepa: not separably better than the floor")
    assert line.why[2] == "Frames per second: not measured"


@pytest.mark.parametrize(("speed", "take"), [(9.0, "none"), (10.0, "genie")])
def test_a_game_needs_ten_frames_a_second_where_they_were_measured(speed, take):
    line = advice(joined(OBEYS, CLEAN, fps(genie=speed, jepa=200.0)), need=GAME)
    assert line.take == take
    assert line.why[2].startswith("Frames per second: genie")
    assert "frames/s (at least 10 asked; n 50)" in line.why[2]
    assert line.why[2].endswith("This leaves out genie: less than 10") == (take == "none")


def test_a_condition_is_not_put_to_nobody():
    nobody = measured("hallucination", "clean_fraction", {"genie": 0.0, "jepa": 0.0}, {})
    line = advice(joined(OBEYS, nobody, fps(genie=30.0)), need=GAME)
    assert line.take == "none"
    assert len(line.why) == 2


def test_a_text_to_film_product_is_told_what_the_route_does_not_do():
    colour = measured("text", "colour", {"sora": 0.9})
    whole = measured("text", "full_match", {"sora": 0.1}, {("sora", "floor"): "not separable"})
    line = advice(joined(colour, whole, measured("hallucination", "clean_fraction", {"sora": 0.6})), need=FILM)
    assert (line.take, line.learns_from) == ("sora", "video, captions")
    assert line.but == (
        "Whole caption matched: sora 0.1 [0, 0.2] (floor, floor: 0; n 50): not separably better than the floor",
    )
    assert line.why[1].startswith("Films without an impossible event")


def test_a_goal_is_judged_by_every_routes_own_way_and_else_by_its_own_plans():
    own = measured("planning", "success_25_50", {"jepa": 1.0})
    each = measured("planning", "success_25_50_each", {"genie": 0.9, "jepa": 0.8})
    assert advice(own, need=ROBOT).take == "jepa"
    line = advice(own, each, need=ROBOT)
    assert line.take == "genie or jepa"
    assert line.why[0].startswith("Success, goal 25 steps away, 50 allowed, every route in its own way")
