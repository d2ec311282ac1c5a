"""No action: an oracle is right, a frozen world and a wandering avatar are caught."""

import numpy as np
import pytest
import torch
from planted import CopyLast, Player, make_exam, seat

from threeworlds.score import passive
from threeworlds.score.exam import differences_of, rows_of
from threeworlds.types import Imagined


class Runner(Player):
    """Knows the world; under no action its avatar stays."""

    control = "code"


class Restless(Player):
    """Knows the world, but under no action its avatar goes on to the left."""

    control = "code"

    def predict(self, context, frames, *, action=None, seed=0):
        told = torch.ones(len(context), context.shape[1] - 1 + frames, dtype=torch.long)
        return super().predict(context, frames, action=told, seed=seed)


class Nothing(CopyLast):
    def predict(self, context, frames, *, action=None, seed=0):
        return Imagined(video=torch.full((len(context), frames, *context.shape[2:]), -1.0))


@pytest.fixture(scope="module")
def exam():
    return make_exam("arena", items=24)


def rows(exam, **models):
    entrants = [seat(route, model) for route, model in models.items()]
    measured = passive.ask(exam, entrants).measured
    return {(row.route, row.metric): row for m in measured for row in rows_of(m, exam, entrants)}, measured


def test_the_simulator_is_right_in_all_of_it(exam):
    found, measured = rows(exam, genie=Runner(exam), jepa=Player(exam))
    for route in ("genie", "jepa"):
        assert found[route, "psnr_h8"].value > 55
        assert found[route, "avatar_rests"].value == 1
        assert found[route, "psnr_h8"].floor < 40
        assert found[route, "avatar_rests"].floor < 0.5
    verdicts = [d.verdict for d in differences_of(measured[0], exam) if d.second == "frozen world"]
    assert verdicts == ["first better"] * 2


def test_a_frozen_world_scores_its_floor(exam):
    found, _ = rows(exam, sora=CopyLast())
    row = found["sora", "psnr_h8"]
    assert row.value == pytest.approx(row.floor)
    assert row.floor_name == "frozen world"
    rests = found["sora", "avatar_rests"]
    assert (rests.value, rests.floor_name) == (1, "another clip")  # it rests without fail: no floor of that


def test_an_avatar_that_moves_by_itself_and_one_that_is_gone_are_caught(exam):
    found, _ = rows(exam, genie=Restless(exam), sora=Nothing())
    assert found["genie", "avatar_rests"].value < 0.4  # it rests where a wall stops it
    assert found["sora", "avatar_rests"].value == 0
    assert found["sora", "psnr_h8"].value < found["sora", "psnr_h8"].floor


def test_where_the_other_bodies_are_is_asked_once(exam):
    """By physics: two questions with one name disagreed, since one of them lost every faint body."""
    assert {metric for _, metric in rows(exam, sora=CopyLast())[0]} == {"psnr_h8", "avatar_rests"}


def test_where_nothing_can_stay_it_is_not_asked():
    exam = make_exam("motion", items=3)
    found, _ = rows(exam, sora=CopyLast(), jepa=object())
    assert {row.reason for row in found.values()} == {
        "no simulator in which an avatar can stay",
        "makes no pictures, by design",
    }
    assert np.all([row.status == "not_applicable" for row in found.values()])
