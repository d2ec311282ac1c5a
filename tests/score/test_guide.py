"""The guide: whom it names follows from rows, differences and what each route learnt from."""

from threeworlds.score.guide import guide
from threeworlds.types import Difference, Result, Row

LEARNT = {"sora": ("video", "caption"), "genie": ("video",), "jepa": ("video", "action")}


def result_of(values, verdicts, *, question="prediction", metric="mse_h8", direction="lower", floor=0.5):
    """Rows of one metric; ``verdicts`` (first, second) -> verdict."""
    rows = [
        Row(
            route=route, question=question, metric=metric, unit="", direction=direction, value=value, low=value - 0.1,
            high=value + 0.1, n=50, floor=floor, floor_name="floor",
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


def advice(result, need="the next second, under known actions"):
    (line,) = (line for line in guide([result]) if line.need == need)
    return line


ALL_BEAT = {(route, "floor"): "first better" for route in ("genie", "jepa")}


def test_the_best_that_beats_its_floor_is_taken():
    line = advice(result_of({"genie": 0.3, "jepa": 0.2}, {**ALL_BEAT, ("genie", "jepa"): "second better"}))
    assert line.take == "jepa"
    assert line.why == "jepa 0.2 [0.1, 0.3], floor 0.5; genie 0.3 [0.2, 0.4], floor 0.5"


def test_routes_that_cannot_be_told_apart_are_named_together():
    line = advice(result_of({"genie": 0.3, "jepa": 0.2}, {**ALL_BEAT, ("genie", "jepa"): "not separable"}))
    assert line.take == "jepa or genie"


def test_the_best_value_is_not_taken_where_it_does_not_beat_its_floor():
    verdicts = {("genie", "floor"): "first better", ("jepa", "floor"): "not separable"}
    assert advice(result_of({"genie": 0.3, "jepa": 0.2}, verdicts)).take == "genie"
    assert advice(result_of({"genie": 0.3, "jepa": 0.2}, {})).take == "none"


def test_a_route_that_learnt_from_what_is_not_there_is_left_out():
    """Sora learnt from captions: who has video and actions cannot train it so."""
    verdicts = {(route, "floor"): "first better" for route in LEARNT}
    assert advice(result_of({"sora": 0.1, "jepa": 0.2}, verdicts)).take == "jepa"


def test_what_nobody_measured_is_not_tested():
    line = advice(result_of({"jepa": 0.2}, ALL_BEAT), need="a goal that is reached")
    assert line.take == "not tested"
    assert "planning/success_25_50" in line.why
