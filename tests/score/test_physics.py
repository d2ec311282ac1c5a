"""Physics: errors known beforehand, by formulas on paper and by planted models."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import CodePlayer, CopyLast, DeafOracle, Knower, Player, seat

from threeworlds.score import physics
from threeworlds.score.exam import rows_of
from threeworlds.types import Imagined
from threeworlds.worlds import motion as law


class Newton(CopyLast):
    """Reads place and speed off the given pictures and goes on with them, by the law of uniform motion."""

    def __init__(self, exam, limit=np.inf):
        self.size, self.limit = exam.spec.height, limit

    def predict(self, context, frames, *, action=None, seed=0):
        seen = physics.bodies(law.locate, context)["red"]
        mass = law.masses(physics.to_uint8(context[:, -1]))["red"]
        states = np.full((len(context), frames, 10), np.nan, np.float32)
        step = np.clip((seen[:, -1] - seen[:, 0]) / (context.shape[1] - 1), -self.limit, self.limit)
        states[..., :2] = seen[:, None, -1] + step[:, None] * np.arange(1, frames + 1)[:, None]
        states[..., 4] = np.sqrt(mass / np.pi)[:, None] * law.WORLD
        video = np.stack([law.render(film, self.size) for film in states])
        return Imagined(video=torch.from_numpy(video).movedim(-1, 2).float() / 127.5 - 1)

    def reconstruct(self, video):
        return video


@pytest.fixture(scope="module")
def rows(motion):
    entrants = [seat("still", CopyLast()), seat("newton", Newton(motion)), seat("mute", Knower(motion))]
    answers = physics.ask(motion, entrants)
    assert {film.kind for film, _ in answers.films} == {"physics"}
    return {(r.metric, r.route): r for m in answers.measured for r in rows_of(m, motion, entrants)}


def test_every_task_is_asked_in_and_out_of_range_by_both_formulas(rows):
    expected = {
        f"{task}_{span}{end}" for task in law.TASKS for span in ("in", "out") for end in ("", "_code")
    }  # fmt: skip
    assert {metric for metric, _ in rows} == expected
    assert all(rows[metric, "mute"].status == "not_applicable" for metric in expected)


@pytest.mark.parametrize("task", ["uniform", "parabola"])
def test_a_frozen_film_errs_by_the_speed_and_scores_its_floor(rows, task, motion):
    states, truth = physics.draw_episodes(motion, task, "in", 5)
    seen = physics.bodies(law.locate, truth)
    frozen = physics.naive_centres(seen, states, clamped=False)["freeze"]
    errors = physics.per_film(law.velocity_error, frozen, states)
    speeds = [
        np.linalg.norm(np.diff(s[:, :2], axis=0) / 0.1, axis=-1)[used].mean() if used.any() else np.nan
        for s in states
        for used in [law.counted(s, 0, law.GIVEN)]
    ]
    np.testing.assert_allclose(errors, speeds, rtol=1e-4)
    row = rows[f"{task}_in", "still"]
    assert row.value > 1
    assert row.floor < row.value  # constant velocity is the better floor in every task with a single ball


def test_who_knows_the_law_is_near_the_ceiling_in_and_out_of_range(rows):
    for span in ("in", "out"):
        row = rows[f"uniform_{span}", "newton"]
        assert row.ceiling < 0.05
        assert row.value < 4 * row.ceiling
    assert rows["parabola_in", "newton"].value > 0.5  # it knows no gravity
    assert rows["uniform_in_code", "newton"].value < rows["uniform_in", "newton"].value


def test_the_floor_outside_of_the_range_knows_the_law_but_not_the_speeds(motion):
    """A model that has learnt the range by heart errs by what the speed exceeds it, no more and no less."""
    states, truth = physics.draw_episodes(motion, "uniform", "out", 5)
    seen = physics.bodies(law.locate, truth)
    clamped = physics.naive_centres(seen, states, clamped=True)["clamp to the range of training"]
    errors = physics.per_film(law.velocity_error, clamped, states)
    speed = states[:, 0, 2]
    excess = np.maximum(speed - 4, 0) + np.maximum(1 - speed, 0)
    known = ~np.isnan(errors)
    np.testing.assert_allclose(errors[known], excess[known], atol=1e-4)
    assert excess.max() > 0.2


# ---------------------------------------------------------------------------------------- left alone


@pytest.fixture(scope="module")
def alone(arena):
    entrants = [seat("still", CopyLast()), seat("player", Player(arena)), seat("codes", CodePlayer(arena))]
    return {(r.metric, r.route): r for m in physics.ask(arena, entrants).measured for r in rows_of(m, arena, entrants)}


@pytest.mark.parametrize("horizon", physics.HORIZONS)
def test_the_world_itself_runs_on_without_action_and_a_still_does_not(alone, horizon):
    metric = f"passive_error_h{horizon}"
    assert alone[metric, "player"].value < 0.005
    assert alone[metric, "codes"].value < 0.005  # told by the code that means "stay"
    still = alone[metric, "still"]
    assert still.value > 0.05
    assert still.floor <= still.value


def test_nothing_is_known_of_video_from_outside(arena):
    answers = physics.ask(replace(arena, world=None), [seat("deaf", DeafOracle(arena))])
    assert [m.absent["deaf"] for m in answers.measured] == ["the true law of these clips is not known"]
