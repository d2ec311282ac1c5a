"""The question of play: a known clock gives known figures, and worlds that come apart at known steps are seen to."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from planted import CodePlayer, CopyLast, Player, make_exam, seat

from threeworlds.score import play
from threeworlds.score.exam import GIVEN, NO_FLOOR, rows_of
from threeworlds.types import Imagined


class Clock:
    """Every tenth step takes 50 ms, the others 10."""

    def __init__(self):
        self.now, self.reads = 0.0, 0

    def __call__(self):
        self.reads += 1
        if self.reads % 2 == 0:
            self.now += 0.05 if (self.reads // 2 - play.WARM) % 10 == 0 else 0.01
        return self.now


class Dreamer:
    """A model that is a world; it counts its steps and sees the given frames."""

    def as_world(self):
        outer = self

        class World(gym.Env):
            action_space = gym.spaces.Discrete(3)

            def reset(self, *, seed=None, options=None):
                outer.given, outer.steps = options["video"], []
                return outer.given[-1], {}

            def step(self, action):
                outer.steps.append(int(action))
                return outer.given[-1], 0.0, False, False, {}

        return World()


@pytest.fixture(scope="module")
def exam():
    return make_exam("arena", items=4)


def test_figures_are_those_of_the_clock(exam, monkeypatch):
    monkeypatch.setattr(play, "perf_counter", Clock())
    model = Dreamer()
    entrants = [seat("genie", model)]
    (fps,), (p95,), *_ = (rows_of(m, exam, entrants) for m in play.ask(exam, entrants).measured)
    assert fps.value == pytest.approx(1 / 0.014)
    assert p95.value == pytest.approx(50)
    assert {(row.floor, row.floor_name) for row in (fps, p95)} == {(None, NO_FLOOR)}
    assert "No floor, by design: " in fps.protocol
    assert fps.low < fps.value < fps.high
    assert model.given.dtype == np.uint8 and model.given.shape == (4, 32, 32, 3)
    assert len(model.steps) == play.WARM + play.TIMED and len(set(model.steps)) == 3


def test_a_model_that_is_no_world_predicts_one_frame_each_time(exam):
    class Counting(CopyLast):
        asked: list[tuple[int, int]] = []  # noqa: RUF012

        def predict(self, context, frames, *, action=None, seed=0):
            self.asked.append((context.shape[1], frames))
            return super().predict(context, frames, action=action, seed=seed)

    entrants = [seat("sora", Counting()), seat("jepa", object())]
    answers = play.ask(exam, entrants)
    rows = rows_of(answers.measured[0], exam, entrants)
    assert set(Counting.asked) == {(4, 1), (4, 64)}
    assert rows[0].value > 0
    assert (rows[1].status, rows[1].reason) == ("not_applicable", "makes no pictures, by design")


# ------------------------------------------------------------------------------------------- drift


class Fading(Player):
    """The true world until step 20; then the picture goes black, all of it."""

    def predict(self, context, frames, *, action=None, seed=0):
        video = super().predict(context, frames, action=action, seed=seed).video.clone()
        video[:, 20:] = -1
        return Imagined(video=video)


class Commanded(CopyLast):
    """Remembers what it was told."""

    control = "action"
    told: list[torch.Tensor] = []  # noqa: RUF012

    def predict(self, context, frames, *, action=None, seed=0):
        self.told.append(action)
        return super().predict(context, frames, action=action, seed=seed)


@pytest.fixture(scope="module")
def drifts():
    exam = make_exam("arena", items=play.FILMS)
    entrants = [seat("genie", CodePlayer(exam)), seat("jepa", Fading(exam)), seat("sora", CopyLast())]
    measured = [*play._looks(exam, films := _films(exam, entrants), {}), *play._kept(exam, films, {})]
    return {(row.metric, row.route): row for m in measured for row in rows_of(m, exam, entrants)}


def _films(exam, entrants):
    return {entrant.route: play.free_play(entrant, exam) for entrant in entrants}


def test_a_world_that_keeps_itself_drifts_no_farther_than_true_frames(drifts):
    for step in play.DRIFT:
        kept, drift = drifts[f"bodies_kept_h{step}", "genie"], drifts[f"drift_h{step}", "genie"]
        assert (kept.value, kept.ceiling) == (1, 1)
        assert kept.floor < 0.8 and kept.floor_name == "another clip"
        assert drift.value < 0.25 * drift.floor and drift.floor_name == "the mean frame"
        assert drift.value < 3 * drift.ceiling


def test_the_step_at_which_a_world_goes_is_seen(drifts):
    for step in play.DRIFT:
        kept, drift = drifts[f"bodies_kept_h{step}", "jepa"], drifts[f"drift_h{step}", "jepa"]
        still = drifts[f"drift_h{step}", "genie"]
        assert kept.value == (1 if step < 20 else 0)
        assert (drift.value > 5 * still.value) == (step > 20)
        assert drift.low <= drift.value <= drift.high


def test_commands_are_drawn_at_random_after_what_led_through_the_given_frames():
    exam = make_exam("arena", items=3)
    play.free_play(seat("jepa", Commanded()), exam)
    (told,) = Commanded.told
    assert torch.equal(told[:, : GIVEN - 1], exam.test.action[:, : GIVEN - 1])
    drawn = told[:, GIVEN - 1 :]
    assert drawn.shape == (3, play.DRIFT[-1])
    assert set(drawn.flatten().tolist()) == set(range(exam.spec.action.size))
    steps = play.at_random(torch.zeros(3, GIVEN - 1, 2), seat("jepa", Commanded()), exam)
    assert steps.shape == (3, GIVEN - 1 + play.DRIFT[-1], 2)
    assert -1 <= steps.min() < -0.5 and 0.5 < steps.max() <= 1


def test_without_a_parser_only_the_look_is_asked():
    exam = replace(make_exam("arena", items=3), world=None)
    entrants = [seat("sora", CopyLast()), seat("jepa", object())]
    measured = play.ask(exam, entrants).measured
    found = {(row.metric, row.route): row for m in measured for row in rows_of(m, exam, entrants)}
    assert found["drift_h64", "sora"].status == "ok"
    assert found["bodies_kept_h8", "sora"].reason == "no exact parser of the bodies in these clips"
    assert found["bodies_kept_h8", "jepa"].reason == "makes no pictures, by design"
