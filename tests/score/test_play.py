"""The question of play: a known clock gives known figures."""

import gymnasium as gym
import numpy as np
import pytest
from planted import CopyLast, make_exam, seat

from threeworlds.score import play
from threeworlds.score.exam import rows_of


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
    (measured, latency) = play.ask(exam, entrants).measured
    (fps,), (p95,) = (rows_of(m, exam, entrants) for m in (measured, latency))
    assert fps.value == pytest.approx(1 / 0.014)
    assert p95.value == pytest.approx(50)
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
    assert set(Counting.asked) == {(4, 1)}
    assert rows[0].value > 0
    assert (rows[1].status, rows[1].reason) == ("not_applicable", "makes no pictures, by design")
