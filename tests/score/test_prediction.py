"""Prediction: known errors, bodies that get lost, and entrants whose score is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import CopyLast, Fader, Knower, Oracle, Player, seat
from skimage.metrics import structural_similarity

from threeworlds.score import prediction
from threeworlds.score.exam import GIVEN, Entrant, Exam, Measured, differences_of, rows_of
from threeworlds.score.seeds import merged
from threeworlds.types import Batch, ClipSpec, Imagined
from threeworlds.worlds.arena import BACKGROUND

METRICS = ("mse", "psnr", "ssim", "position_error")
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


def test_similarity_is_that_of_the_library_at_the_horizons_asked_for():
    first, second = torch.rand(2, 3, 4, 3, 16, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = prediction.similarity(first, second, (1, 4))
    assert found.shape == (3, 4) and np.isnan(found[:, 1:3]).all()
    a, b = (((x[2, 3] + 1) / 2).movedim(0, -1).double().numpy() for x in (first, second))
    expected = structural_similarity(a, b, win_size=7, channel_axis=-1, data_range=1.0)
    assert found[2, 3] == pytest.approx(expected) and expected < 0.5
    assert prediction.similarity(first, first, (1,))[:, 0].tolist() == [1, 1, 1]


@pytest.mark.parametrize(("size", "window"), [((6, 9), 5), ((3, 3), 3), ((2, 8), 1), ((8, 8), 7)])
def test_a_small_frame_has_a_small_window(size, window, monkeypatch):
    asked = []

    def compare(a, b, **how):
        asked.append(how["win_size"])
        return structural_similarity(a, b, **how)

    monkeypatch.setattr(prediction, "structural_similarity", compare)
    frames = torch.rand(2, 1, 3, *size) * 2 - 1
    assert prediction.similarity(frames, frames, (1,)).tolist() == [[1], [1]]
    assert asked == [window] * 2


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


@pytest.mark.parametrize("metric", [alone + m for alone in ("", "alone_") for m in METRICS])
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
    assert rows[f"ssim_h{horizon}", "oracle"].value == rows[f"ssim_h{horizon}", "oracle"].ceiling == 1
    assert rows[f"position_error_h{horizon}", "oracle"].value == 0
    assert decibels.floor < 40  # a copy is far from perfect


def test_the_world_itself_predicts_perfectly_only_when_told_the_actions(rows):
    assert rows["psnr_h16", "player"].value > 40
    assert rows["alone_psnr_h16", "player"].value < rows["psnr_h16", "player"].value - 5
    assert "the true actions" in rows["psnr_h16", "player"].protocol
    assert "nothing else" in rows["alone_psnr_h16", "player"].protocol


def test_an_oracle_is_separably_better_than_a_copier_in_either_direction(answers, arena):
    for metric in ("mse_h8", "psnr_h8", "ssim_h8", "position_error_h8", "frechet_h8"):
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


@pytest.mark.parametrize("metric", ["psnr_h1", "ssim_h1", "frechet_h8"])
def test_who_makes_no_pictures_is_told_so(metric, rows):
    row = rows[metric, "mute"]
    assert (row.status, row.value) == ("not_applicable", None)
    assert "makes no pictures" in row.reason


@pytest.mark.parametrize("horizon", [8, 16])
def test_frechet_distances_of_the_copier_and_the_oracle_are_known(horizon, rows, answers, arena):
    copier, oracle = rows[f"frechet_h{horizon}", "copier"], rows[f"frechet_h{horizon}", "oracle"]
    assert copier.value == copier.floor > oracle.value == oracle.ceiling == 0
    assert (copier.floor_name, oracle.ceiling_name) == ("copy the last frame", "its own reconstruction")
    assert 0 <= copier.low < copier.value < copier.high
    assert "random-conv-1" in copier.protocol
    found = {(d.first, d.second): d for d in differences_of(measure(answers, f"frechet_h{horizon}"), arena)}
    assert found["copier", "copy the last frame"].verdict == "not separable"


def test_frechet_distances_are_asked_far_ahead_and_with_own_controls_alone(rows):
    assert {metric for metric, _ in rows if "frechet" in metric} == {"frechet_h8", "frechet_h16"}


def test_frechet_distances_of_several_seeds_are_averaged(answers, arena):
    one = measure(answers, "frechet_h8")
    other = replace(one, values={**one.values, "copier": one.values["oracle"]})
    row = rows_of(merged([one, other], "0,1"), arena, [seat("copier", None)])[0]
    assert row.value == pytest.approx(row.floor / 2)
    assert (row.n, row.seeds) == (40, "0,1")
    assert 0 <= row.low < row.value < row.high


def test_a_film_that_two_protocols_share_is_compared_once(arena, monkeypatch):
    calls, compare = [], prediction.similarity
    monkeypatch.setattr(prediction, "similarity", lambda video, **how: calls.append(video) or compare(video, **how))
    prediction.ask(arena, [seat("copier", CopyLast())])
    assert len(calls) == 3  # its film and two floors


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
