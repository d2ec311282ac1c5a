"""Understanding: statistics by hand, the probe against closed forms, and states that hold all or nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import Constant, CopyLast, Knower, Noise, Seer, seat
from scipy import stats

from threeworlds.score import probes, understanding
from threeworlds.score.exam import GIVEN, differences_of, rows_of
from threeworlds.types import Batch, State

FEW = ("position_r_labels_5", "position_r_labels_20")

# ----------------------------------------------------------------------------------------- statistics


def test_correlation_is_pearsons_mean_over_variables():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(6, 5, 2))
    read = true * [2, -1] + rng.normal(size=true.shape)
    expected = [stats.pearsonr(read[..., v].ravel(), true[..., v].ravel()).statistic for v in range(2)]
    assert understanding.correlation(read, true) == pytest.approx(np.mean(expected))


def test_correlation_of_a_constant_is_zero():
    true = np.random.default_rng(0).normal(size=(6, 5, 1))
    assert understanding.correlation(np.full_like(true, 0.1), true) == pytest.approx(0, abs=1e-12)


def test_r_squared_by_hand():
    true = np.array([[[1.0], [2], [3]]])
    assert understanding.r_squared(true, true) == 1
    assert understanding.r_squared(np.full_like(true, 2), true) == 0  # the mean
    assert understanding.r_squared(true + 1, true) == pytest.approx(1 - 1 / (2 / 3))


def test_accuracy_by_hand():
    true = np.array([[[0.0, 1], [2, 1]], [[1, 0], [1, 1]]])
    read = np.array([[[0.0, 1], [2, 0]], [[1, 1], [0, 0]]])
    assert understanding.accuracy(read, true) == (3 / 4 + 1 / 4) / 2


@pytest.mark.parametrize("statistic", [understanding.correlation, understanding.r_squared, understanding.accuracy])
def test_what_does_not_apply_is_left_out(statistic):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, (8, 5, 2)).astype(float)
    read = np.where(rng.random(true.shape) < 0.5, true, 1)
    gappy, wild = true.copy(), read.copy()
    gappy[:4, :, 1] = np.nan
    wild[:4, :, 1] = 1e6  # read where there is nothing to be read
    parts = statistic(read[..., :1], true[..., :1]), statistic(read[4:, :, 1:], true[4:, :, 1:])
    assert statistic(wild, gappy) == pytest.approx(np.mean(parts))


# --------------------------------------------------------------------------------------------- probes


def standard(rng, *shape):
    x = rng.normal(size=shape)
    return (x - x.mean((0, 1))) / x.std((0, 1))


def test_the_probe_recovers_a_linear_map():
    rng = np.random.default_rng(0)
    train, test, weights = standard(rng, 200, 6, 4), standard(rng, 50, 6, 4), np.array([[1.0, -2, 0.5, 0]]).T
    read = probes.linear(train, train @ weights + 7, test)
    np.testing.assert_allclose(read, test @ weights + 7, atol=0.02)


def test_the_probe_is_the_solution_of_ridge_regression_with_a_free_intercept():
    """Of features whose mean is not 0, as those of a part of the frames are."""
    rng = np.random.default_rng(0)
    x, y, new = standard(rng, 10, 3, 4) + 2, rng.normal(size=(10, 3, 2)), rng.normal(size=(2, 3, 4))
    rows = np.hstack([np.sqrt(probes.RIDGE * 30) * np.eye(4), np.zeros((4, 1))])  # as extra samples of least squares
    ones = np.hstack([x.reshape(30, 4), np.ones((30, 1))])
    weights = np.linalg.lstsq(np.vstack([ones, rows]), np.vstack([y.reshape(30, 2), np.zeros((4, 2))]), rcond=None)[0]
    np.testing.assert_allclose(probes.linear(x, y, new), new @ weights[:4] + weights[4])


def test_the_probe_leaves_out_what_does_not_apply():
    rng = np.random.default_rng(0)
    x, new = standard(rng, 20, 5, 3), standard(rng, 4, 5, 3)
    y = x @ np.array([[1.0, 2, 3], [3, 2, 1], [0, 1, 0]]).T
    whole, part = probes.linear(x, y, new), probes.linear(x[:5], y[:5], new)
    y[5:, :, 1] = np.nan
    read = probes.linear(x, y, new)
    np.testing.assert_allclose(read[..., [0, 2]], whole[..., [0, 2]])
    np.testing.assert_allclose(read[..., 1], part[..., 1])


def test_what_no_label_tells_is_not_read():
    rng = np.random.default_rng(0)
    x, new = standard(rng, 20, 5, 3), standard(rng, 4, 5, 3)
    y = np.stack([x[..., 0], np.full((20, 5), np.nan)], axis=-1)
    read = probes.linear(x, y, new)
    np.testing.assert_allclose(read[..., 0], new[..., 0], atol=0.01)
    assert not read[..., 1].any()


def test_more_features_than_samples_are_no_error():
    rng = np.random.default_rng(0)
    assert np.isfinite(
        probes.linear(rng.normal(size=(2, 2, 30)), np.eye(2)[..., None], rng.normal(size=(3, 2, 30)))
    ).all()


def test_a_small_network_reads_what_a_line_cannot():
    rng = np.random.default_rng(0)
    train, test = standard(rng, 200, 6, 3), standard(rng, 60, 6, 3)
    targets = np.stack([train[..., 0] * train[..., 1], train[..., 2]], axis=-1)
    targets[:50, :, 1] = np.nan
    truth = np.stack([test[..., 0] * test[..., 1], test[..., 2]], axis=-1)
    bent, straight = (probe(train, targets, test) for probe in (probes.small_network, probes.linear))
    assert understanding.r_squared(bent[..., :1], truth[..., :1]) > 0.9
    assert understanding.r_squared(straight[..., :1], truth[..., :1]) < 0.1
    assert min(understanding.r_squared(read[..., 1:], truth[..., 1:]) for read in (bent, straight)) > 0.95
    np.testing.assert_array_equal(bent, probes.small_network(train, targets, test))  # no hidden draws


def test_the_attentive_probe_reads_the_token_that_matters():
    """One token of four is marked, and what it holds is asked: no line tells whose value counts."""
    rng = np.random.default_rng(0)

    def scene(n):
        held, where = rng.normal(size=(n, 6, 4)), rng.integers(0, 4, (n, 6))
        marked = (where[..., None] == np.arange(4)) * 2.0 - 1
        states = np.stack([held, marked], axis=-1).reshape(n, 6, 8)
        return states, np.stack([np.take_along_axis(held, where[..., None], -1)[..., 0], where / 3], axis=-1)

    (train, targets), (test, truth) = scene(400), scene(60)
    targets[:50, :, 1] = np.nan
    read, straight = (probe(train, targets, test) for probe in (probes.attentive(4), probes.linear))
    assert understanding.r_squared(read[..., :1], truth[..., :1]) > 0.9
    assert understanding.r_squared(straight[..., :1], truth[..., :1]) < 0.4
    assert understanding.r_squared(read[..., 1:], truth[..., 1:]) > 0.9  # each token knows its place
    np.testing.assert_array_equal(read, probes.attentive(4)(train, targets, test))


def test_tokens_are_attended_to_and_a_vector_is_not(arena):
    class Tokens(Knower):
        def represent(self, video):
            return replace(super().represent(video), tokens=4)

    entrants = [seat("tokens", Tokens(arena), Noise()), seat("knower", Knower(arena), Noise())]
    found = {m.metric: m for m in understanding.ask(arena, entrants).measured}
    asked = found["position_r_attentive"]
    assert set(asked.values) == {"tokens"} and "one vector" in asked.absent["knower"]
    assert understanding.correlation(*asked.values["tokens"]) > 0.9
    assert abs(understanding.correlation(*asked.own_floors["tokens"][1])) < 0.3
    alone = understanding.ask(arena, entrants[1:]).measured
    assert not [m for m in alone if "attentive" in m.metric]


def test_states_are_standardised_by_the_training_windows_alone(arena):
    (train, test), untouched = understanding._states(Knower(arena), arena), arena.test.state.clone()
    assert train.shape == (40, 17, 24)  # the given frames but the last lack their past
    np.testing.assert_allclose(train.mean((0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(train.std((0, 1)), 1, atol=1e-3)
    assert np.abs(test.mean((0, 1))).max() > 0.01
    torch.testing.assert_close(arena.test.state, untouched, equal_nan=True)


# ----------------------------------------------------------------------------------- planted entrants


@pytest.fixture(scope="module")
def entrants(arena):
    return [
        seat("knower", Knower(arena), Noise()),
        seat("constant", Constant(), Constant()),
        seat("noise", Noise(), Noise()),
        seat("seer", Seer(arena), Noise()),
        seat("copier", CopyLast(), CopyLast()),
    ]


@pytest.fixture(scope="module")
def measured(arena, entrants):
    return {measured.metric: measured for measured in understanding.ask(arena, entrants).measured}


@pytest.fixture(scope="module")
def rows(arena, entrants, measured):
    return {(row.metric, row.route): row for m in measured.values() for row in rows_of(m, arena, entrants)}


@pytest.fixture(scope="module")
def differences(arena, measured):
    """metric -> (first, second) -> Difference."""
    linear = {name: measured[name] for name in ("position_r", "velocity_r2", "attributes")}
    return {name: {(d.first, d.second): d for d in differences_of(m, arena)} for name, m in linear.items()}


def test_a_state_that_is_the_truth_is_read_wholly(rows, differences):
    assert rows["position_r", "knower"].value > 0.99
    assert rows["velocity_r2", "knower"].value > 0.98
    assert rows["attributes", "knower"].value > 0.8  # one number for four colours: the middle ones are hard to tell
    for metric, found in differences.items():
        assert found["knower", "untrained encoder"].verdict == "first better", metric
        assert found["knower", "constant"].verdict == "first better", metric


def test_a_constant_state_tells_nothing(rows, differences):
    assert rows["position_r", "constant"].value == pytest.approx(0, abs=1e-6)
    assert rows["velocity_r2", "constant"].value <= 0
    assert rows["attributes", "constant"].value < 0.75  # the commonest colour, shape and size
    assert differences["position_r"]["constant", "untrained encoder"].verdict == "not separable"


def test_noise_tells_no_more_than_its_untrained_twin(rows, differences):
    assert abs(rows["position_r", "noise"].value) < 0.2
    assert rows["position_r", "noise"].floor == rows["position_r", "noise"].value
    for found in differences.values():
        twin = found["noise", "untrained encoder"]
        assert (twin.value, twin.verdict) == (0, "not separable")


def test_a_small_network_reads_the_truth_too(rows):
    assert rows["position_r_mlp", "knower"].value > 0.95
    assert rows["position_r_mlp", "noise"].value < 0.3
    assert rows["attributes_mlp", "knower"].value > rows["attributes", "constant"].value


def test_few_labels_read_less_than_many_and_a_number_that_is_not_there_is_left_out(rows, arena):
    """The state is linear in the truth, so that labels are all that is wanting."""
    assert {metric for metric, _ in rows if "labels" in metric} == {"position_r_labels_5", "position_r_labels_20"}
    few, more, all_of_them = (rows[metric, "knower"] for metric in (*FEW, "position_r"))
    assert 0.3 < few.value < more.value <= all_of_them.value
    assert few.floor_name == "untrained encoder" and abs(few.floor) < 0.3
    assert "labels of 5 windows" in few.protocol
    for metric in FEW:
        assert rows[metric, "constant"].value == pytest.approx(0, abs=1e-6)
        assert rows[metric, "noise"].floor == rows[metric, "noise"].value
        assert rows[metric, "copier"].reason == "keeps no state"


def test_labels_are_those_of_the_first_training_windows(arena):
    other = arena.train.state.clone()
    other[5:] = other[5:].flip(0, 1) + 1
    changed = replace(arena, train=replace(arena.train, state=other))
    entrant = seat("knower", Knower(arena), Noise())
    before, after = (
        {m.metric: m.values["knower"][0] for m in understanding.ask(exam, [entrant]).measured if m.values}
        for exam in (arena, changed)
    )
    np.testing.assert_array_equal(before["position_r_labels_5"], after["position_r_labels_5"])
    assert not np.allclose(before["position_r_labels_20"], after["position_r_labels_20"])


def test_foreseen_states_are_read_and_their_error_told(rows):
    """The seer knows the future under the right actions and sees nothing under others."""
    for horizon in (1, 16):
        assert rows[f"position_r_h{horizon}", "seer"].value > 0.99
        assert rows[f"position_r_h{horizon}", "seer"].floor_name == "no change"
        error = rows[f"rollout_error_h{horizon}", "seer"]
        assert (error.value, error.floor, error.floor_name) == (pytest.approx(0, abs=1e-9), 1, "no change")
    assert rows["action_shuffle_h8", "seer"].value > 100
    assert rows["action_shuffle_h8", "seer"].floor_name == "actions ignored"
    row = rows["rollout_error_h4", "knower"]
    assert (row.status, row.reason) == ("not_applicable", "predicts no states")


def test_attributes_are_read_from_foreseen_states_as_from_seen_ones(arena, rows, measured):
    """The seer foresees the true states, so the probe reads of each what it reads of the state itself."""
    seen, true = measured["attributes"].values["seer"]
    for horizon in arena.horizons:
        read, truth = measured[f"attributes_h{horizon}"].values["seer"]
        np.testing.assert_array_equal(read, seen[:, horizon : horizon + 1])
        np.testing.assert_array_equal(truth, true[:, horizon : horizon + 1])
        row = rows[f"attributes_h{horizon}", "seer"]
        assert row.value > 0.8
        assert "colour, shape and size" in row.protocol and "states predicted that far" in row.protocol
        assert rows[f"attributes_h{horizon}", "knower"].reason == "predicts no states"


def test_the_floor_of_what_is_foreseen_is_that_nothing_changes(arena):
    """A model that foresees no change scores the floor; positions run away from it, the farther the more."""

    class Still(Knower):
        def imagine(self, context, frames, action=None):
            whole = self.video[self.items(context)]
            return State(z=self.represent(whole).z[:, GIVEN - 1 : GIVEN].expand(-1, frames, -1))

    model = Still(arena)
    ahead, (train, _) = understanding.Ahead(model, arena), understanding._states(model, arena)
    for metric in understanding._metrics(arena)[:2]:
        for horizon in arena.horizons:
            same, still = ahead.read(metric, arena, train, horizon), ahead.read_still(metric, arena, train, horizon)
            assert np.allclose(same[0], still[0])
            assert np.array_equal(same[1], still[1], equal_nan=True)
    place = understanding._metrics(arena)[0]
    far_sighted = understanding.Ahead(Seer(arena), arena).read_still(place, arena, train, 16)
    assert np.allclose(far_sighted[0], ahead.read_still(place, arena, train, 16)[0])
    near, far = (place.statistic(*ahead.read_still(place, arena, train, h)) for h in (1, 16))
    assert near > 0.9 and far < 0.8


def test_who_keeps_no_state_is_told_so(rows):
    assert (rows["position_r", "copier"].status, rows["position_r", "copier"].reason) == (
        "not_applicable",
        "keeps no state",
    )


def test_without_a_true_state_there_is_nothing_to_read(arena):
    spec = replace(arena.spec, state_names=(), world="")
    exam = replace(arena, spec=spec, test=Batch(video=arena.test.video), train=Batch(video=arena.train.video))
    entrants = [seat("constant", Constant(), Constant()), seat("copier", CopyLast())]
    rows = [row for m in understanding.ask(exam, entrants).measured for row in rows_of(m, exam, entrants)]
    assert {(row.metric, row.status) for row in rows} == {
        ("position_r", "not_applicable"),
        ("velocity_r2", "not_applicable"),
        *((f"rollout_error_h{h}", "not_applicable") for h in exam.horizons),
    }
    assert all("not known" in row.reason for row in rows if row.metric.endswith(("_r", "_r2")))


@pytest.mark.parametrize("name", ["rooms", "motion"])
def test_every_world_can_be_asked(name, request):
    exam = request.getfixturevalue(name)
    measured = understanding.ask(exam, [seat("knower", Knower(exam), Constant())]).measured
    rows = {row.metric: row for m in measured for row in rows_of(m, exam, [seat("knower", None)])}
    assert rows["position_r"].value > 0.9
    assert {"position_r", "position_r_mlp"} <= set(rows)
    assert ("velocity_r2" in rows) == (name == "motion")


def test_of_two_shapes_none_is_the_first(arena):
    names = arena.spec.state_names
    truth = understanding._truth(arena.test.state, arena)
    crowded = arena.test.state[:, GIVEN - 1 :, names.index("shape1_present")].numpy() == 1
    assert 0.2 < crowded.mean() < 0.8
    first = [i for i, name in enumerate(names) if name.startswith("shape0")]
    assert np.isnan(truth[crowded][:, first]).all()
    assert not np.isnan(truth[~crowded][:, first]).any()
    assert not np.isnan(truth[..., names.index("avatar_x")]).any()
    probed = [names[i] for i in understanding._columns(arena, "x", "y")]
    assert probed == ["avatar_x", "avatar_y", "shape0_x", "shape0_y"]
