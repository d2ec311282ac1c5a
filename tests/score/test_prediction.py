"""Prediction: known errors, bodies that get lost, and entrants whose score is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import CopyLast, Fader, Knower, Oracle, Player, seat

from threeworlds.score import prediction
from threeworlds.score.exam import GIVEN, Entrant, Exam, Measured, differences_of, rows_of
from threeworlds.types import Batch, ClipSpec, Imagined
from threeworlds.worlds.arena import BACKGROUND

LAST_POSITION = "position_error_h16"
PERFECT = 10 * np.log10(12 * 255**2)  # the error of rounding to 8 bits, in dB


# -------------------------------------------------------------------------------------- closed forms


def test_squared_error_counts_white_against_black_as_one():
    black = -torch.ones(2, 3, 3, 4, 4)
    assert prediction.squared_error(-black, black).tolist() == [[1] * 3] * 2
    halfway = black.clone()
    halfway[0, 1] = 0  # grey: half of the scale
    assert prediction.squared_error(halfway, black).tolist() == [[0, 0.25, 0], [0, 0, 0]]


@pytest.mark.parametrize(("error", "decibels"), [(1.0, 0.0), (0.1, 10.0), (1e-3, 30.0), (0.0, PERFECT)])
def test_psnr_of_known_errors(error, decibels):
    assert prediction.psnr(np.array([error])) == pytest.approx(decibels)


def test_psnr_is_that_of_the_bytes_of_an_image():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 1, 1, 3, 8, 8)).astype(np.float32)
    mse = ((first - second) ** 2).mean()
    ours = prediction.squared_error(*(torch.from_numpy(x) / 127.5 - 1 for x in (first, second)))
    assert prediction.psnr(ours)[0, 0] == pytest.approx(10 * np.log10(255**2 / mse), abs=1e-4)


def test_position_error_is_the_mean_distance_and_a_lost_body_is_half_a_box_away():
    nowhere = [np.nan, np.nan]
    truth = {
        "a": np.array([[[0.5, 0.5], [0.5, 0.5], [0.1, 0.1], nowhere]]),
        "b": np.array([[[0, 0], nowhere, [0, 0], nowhere]]),
    }
    found = {
        "a": np.array([[[0.8, 0.9], nowhere, [0.9, 0.9], [0, 0]]]),
        "b": np.array([[[0, 0.1], [0, 0], [0, 0], [0, 0]]]),
    }
    error = prediction.position_error(found, truth)
    # both seen; b not in the truth and a lost; a as far off as lost; nothing to be seen
    assert error[0, :3] == pytest.approx([(0.5 + 0.1) / 2, 0.5, (0.5 + 0) / 2])
    assert np.isnan(error[0, 3])


def test_bodies_are_found_where_they_are(arena):
    where = prediction.bodies(arena.world.locate, arena.test.video)
    truth = arena.test.state[..., :2].numpy()
    seen = ~np.isnan(where["avatar"]).any(-1)
    assert seen.mean() > 0.99
    assert np.abs(where["avatar"] - truth)[seen].max() < 0.03


@pytest.mark.parametrize("kept", [0.5, 0.25])
def test_a_film_that_fades_is_not_lost(arena, kept):
    """Every colour moves towards the background: positions stay, though the dead zone of a clear body hides them."""
    background = torch.tensor(BACKGROUND / 127.5 - 1)[:, None, None].float()
    faded = background + kept * (arena.test.video - background)
    truth = prediction.places(arena.world.weights, arena.test.video)
    error = prediction.position_error(prediction.places(arena.world.weights, faded), truth)
    assert np.nanmean(error) < 0.005
    seen = prediction.bodies(arena.world.locate, faded)
    assert np.isnan(seen["avatar"]).all() == (kept < 0.3)


def test_what_is_not_there_at_all_is_lost(arena):
    truth = prediction.places(arena.world.weights, arena.test.video)
    empty = torch.tensor(BACKGROUND / 127.5 - 1).float()[:, None, None].expand_as(arena.test.video)
    error = prediction.position_error(prediction.places(arena.world.weights, empty), truth)
    assert np.nanmin(error) == prediction.LOST


def test_positions_are_in_box_units_in_every_world(motion):
    where = prediction.places(motion.world.weights, motion.test.video)["red"]
    truth = motion.test.state[..., :2].numpy() / 10
    assert np.nanmedian(np.abs(where - truth)) < 0.01


def test_floors_copy_and_extrapolate():
    ramp = torch.arange(8).reshape(1, 8, 1, 1, 1) * 0.1 - 0.9
    exam = _exam_of(ramp.expand(1, 8, 3, 2, 2).contiguous())
    floors = prediction.floors_of(exam)
    assert torch.equal(floors["copy the last frame"], exam.given[:, -1:].expand_as(exam.future))
    torch.testing.assert_close(floors["extrapolate each pixel"], exam.future)


def test_extrapolation_stays_in_range():
    steep = torch.linspace(-1, 1, 8).reshape(1, 8, 1, 1, 1).expand(1, 8, 3, 2, 2).contiguous()
    steep[:, 4:] = 1
    assert prediction.floors_of(_exam_of(steep))["extrapolate each pixel"].max() == 1


def _exam_of(video):
    spec = ClipSpec(height=video.shape[-2], width=video.shape[-1], fps=10)
    return Exam(spec=spec, world=None, test=Batch(video=video), train=Batch(video=video), seed=0)


# ----------------------------------------------------------------------------------- planted entrants


@pytest.fixture(scope="module")
def entrants(arena):
    return [
        seat("copier", CopyLast()),
        seat("oracle", Oracle(arena)),
        seat("player", Player(arena)),
        seat("mute", Knower(arena)),
    ]


@pytest.fixture(scope="module")
def answers(arena, entrants):
    return prediction.ask(arena, entrants)


@pytest.fixture(scope="module")
def rows(arena, entrants, answers):
    return {(row.metric, row.route): row for measured in answers.measured for row in rows_of(measured, arena, entrants)}


def measure(answers, metric) -> Measured:
    (found,) = (measured for measured in answers.measured if measured.metric == metric)
    return found


@pytest.mark.parametrize("metric", ["mse", "psnr", "position_error", "alone_mse", "alone_psnr", "alone_position_error"])
@pytest.mark.parametrize("horizon", [1, 4, 8, 16])
def test_a_copier_scores_its_floor_exactly_and_beats_nothing(metric, horizon, answers, arena):
    measured = measure(answers, f"{metric}_h{horizon}")
    np.testing.assert_array_equal(measured.values["copier"], measured.floors["copy the last frame"])
    (against,) = (
        d for d in differences_of(measured, arena) if (d.first, d.second) == ("copier", "copy the last frame")
    )
    assert (against.value, against.verdict) == (0, "not separable")


@pytest.mark.parametrize("horizon", [1, 4, 8, 16])
def test_an_oracle_scores_its_ceiling(horizon, rows):
    decibels = rows[f"psnr_h{horizon}", "oracle"]
    assert decibels.value == decibels.ceiling == pytest.approx(PERFECT)
    assert decibels.ceiling_name == "its own reconstruction"
    assert rows[f"mse_h{horizon}", "oracle"].value == 0
    assert rows[f"position_error_h{horizon}", "oracle"].value == 0
    assert decibels.floor < 40  # a copy is far from perfect


def test_the_world_itself_predicts_perfectly_only_when_told_the_actions(rows):
    assert rows["psnr_h16", "player"].value > 40
    assert rows["alone_psnr_h16", "player"].value < rows["psnr_h16", "player"].value - 5
    assert "the true actions" in rows["psnr_h16", "player"].protocol
    assert "nothing else" in rows["alone_psnr_h16", "player"].protocol


def test_an_oracle_is_separably_better_than_a_copier_in_either_direction(answers, arena):
    for metric in ("mse_h8", "psnr_h8", "position_error_h8"):
        found = {(d.first, d.second): d.verdict for d in differences_of(measure(answers, metric), arena)}
        assert found["copier", "oracle"] == "second better"
        assert found["oracle", "copy the last frame"] == "first better"


def test_constant_velocity_is_a_better_floor_than_a_copy_for_the_next_position(answers):
    floors = measure(answers, "position_error_h1").floors
    assert np.nanmean(floors["constant velocity"]) < np.nanmean(floors["copy the last frame"])


def test_constant_velocity_is_exact_where_nothing_pushes(motion):
    (measured,) = (
        m for m in prediction.ask(motion, [seat("copier", CopyLast())]).measured if m.metric == LAST_POSITION
    )
    steady, still = (np.nanmedian(measured.floors[name]) for name in ("constant velocity", "copy the last frame"))
    assert steady < 0.003 < 0.05 < still


def test_a_ceiling_is_the_reconstruction_of_the_frame_that_is_asked_for(arena):
    answers = prediction.ask(arena, [seat("fader", Fader(arena))])
    for horizon in arena.horizons:
        _, items = measure(answers, f"mse_h{horizon}").own_ceilings["fader"]
        np.testing.assert_allclose(items, (0.01 * (GIVEN + horizon - 1)) ** 2 / 4, rtol=1e-3)


def test_who_makes_no_pictures_is_told_so(rows):
    row = rows["psnr_h1", "mute"]
    assert (row.status, row.value) == ("not_applicable", None)
    assert "makes no pictures" in row.reason


def test_films_begin_with_the_given_frames_and_show_the_truth_beside(answers, arena):
    films = {(film.item, film.route): (film, frames) for film, frames in answers.films}
    assert {route for _, route in films} == {"truth", "copier", "oracle", "player"}
    film, frames = films["held-out clip 1", "oracle"]
    assert (film.given, film.frames, film.kind) == (GIVEN, 20, "prediction")
    np.testing.assert_array_equal(frames, films["held-out clip 1", "truth"][1])
    copied = films["held-out clip 1", "copier"][1]
    np.testing.assert_array_equal(copied[:GIVEN], frames[:GIVEN])
    assert all(np.array_equal(copied[GIVEN - 1], later) for later in copied[GIVEN:])


def test_items_are_asked_in_parts_that_fit_together_again(arena, monkeypatch):
    whole = prediction.predict(seat("oracle", Oracle(arena)), arena, None)
    monkeypatch.setattr(prediction, "CHUNK", 7)
    assert torch.equal(prediction.predict(seat("oracle", Oracle(arena)), arena, None), whole)
    assert torch.equal(whole, arena.future)


def test_without_a_locator_only_pixels_are_compared(arena):
    outside = replace(arena, world=None)
    metrics = {measured.metric for measured in prediction.ask(outside, [seat("copier", CopyLast())]).measured}
    assert "psnr_h1" in metrics
    assert not any("position" in metric for metric in metrics)


def test_a_route_is_not_scored_by_its_own_reconstruction(arena):
    """The ceiling is another film than the prediction, and has another position error."""
    entrant = Entrant(route="still", model=StillWithPerfectDecoder())
    answers = prediction.ask(arena, [entrant])
    found = {m.metric: m for m in answers.measured}["position_error_h4"]
    still = np.asarray(found.values["still"])
    np.testing.assert_allclose(still, found.floors["copy the last frame"])
    assert np.nanmean(found.own_ceilings["still"][1]) < np.nanmean(still) / 2


class StillWithPerfectDecoder:
    """Copies the last frame, yet shows every frame it is given as it is."""

    control = "none"

    def predict(self, context, frames, *, action=None, seed=0):
        return Imagined(video=context[:, -1:].expand(-1, frames, -1, -1, -1))

    def reconstruct(self, video):
        return video
