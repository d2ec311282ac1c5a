"""Simulator: true films are at the ceiling, and each way to break a scene is caught, by hand and by known entrants."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import CopyLast, Knower, Storyteller, seat

from threeworlds.score import simulator
from threeworlds.score.exam import GIVEN, differences_of, rows_of
from threeworlds.score.simulator import AFTER, ITEMS, scenes_of
from threeworlds.types import Imagined
from threeworlds.worlds import arena as world


def film_of_states(states, size=32):
    frames = np.stack([world.render(each, size) for each in states])
    return torch.from_numpy(frames).movedim(-1, 2).float() / 127.5 - 1


# ------------------------------------------------------------------------------------------- scenes


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("kind", simulator.MAKERS)
def test_true_films_are_right_at_every_seed_and_scenes_depend_on_it(arena, kind, seed):
    scenes, own = scenes_of(replace(arena, seed=seed), kind)
    for judge in simulator.JUDGES[kind].values():
        assert judge(scenes, own.future).all()
    assert scenes.states.shape[:2] == (ITEMS, GIVEN + AFTER)
    assert np.array_equal(scenes_of(replace(arena, seed=seed), kind)[0].states, scenes.states, equal_nan=True)
    assert not np.array_equal(scenes_of(replace(arena, seed=seed + 1), kind)[0].states, scenes.states, equal_nan=True)
    bodies = scenes.states[..., [0, 1]]
    assert ((bodies > world.AVATAR_RADIUS - 1e-6) & (bodies < 1 - world.AVATAR_RADIUS + 1e-6)).all()
    looks = scenes.states[:, 0, world.shape_columns(0)][:, 6:9].astype(int)
    assert not any(world.is_held_out(*look) for look in looks)


def test_nothing_of_a_covered_shape_is_seen_in_the_last_given_frame_and_all_of_it_in_the_first(arena):
    scenes, own = scenes_of(arena, "covered")
    alone = scenes.states.copy()
    alone[:, :, world.shape_columns(0)][..., -1] = 0
    left = (own.given[:, -1] - film_of_states(alone)[:, GIVEN - 1]).abs()
    assert left.max() < 0.04  # of 2: the rim of a pixel
    seen = simulator._seen(own.test.video, scenes.stays)
    assert np.isfinite(seen[:, 0]).all()
    assert np.isnan(seen[:, GIVEN - 1]).all()


def test_the_avatar_moves_as_its_actions_say(arena):
    for kind in simulator.MAKERS:
        scenes, _ = scenes_of(arena, kind)
        np.testing.assert_allclose(np.diff(scenes.states[..., :2], axis=1), world.MOVES[scenes.actions], atol=1e-5)


def test_the_control_has_the_scenes_of_the_covered_and_nothing_touches(arena):
    covered, beside = (scenes_of(arena, kind)[0] for kind in ("covered", "beside"))
    columns = world.shape_columns(0)
    assert np.array_equal(covered.states[..., columns], beside.states[..., columns])
    far = np.linalg.norm(beside.states[..., columns][..., :2] - beside.states[..., :2], axis=-1)
    assert far.min() > world.AVATAR_RADIUS + world.reach(1, 0)


def test_a_disc_strikes_its_like_within_the_given_frames(arena):
    scenes, _ = scenes_of(arena, "struck")
    first, second = (scenes.states[..., world.shape_columns(i)] for i in range(2))
    np.testing.assert_allclose(np.linalg.norm(first[:, 0, 2:4], axis=-1), world.FAST, rtol=1e-5)
    assert (second[:, 0, 2:4] == 0).all()
    assert (np.linalg.norm(first[:, GIVEN - 1, 2:4], axis=-1) < 1e-2).all()
    np.testing.assert_allclose(np.linalg.norm(second[:, GIVEN - 1, 2:4], axis=-1), world.FAST, rtol=0.05)


# ------------------------------------------------------------------------------------------ judging


def broken(scenes, body, change):
    """The scenes, drawn with the columns of one shape changed after the given frames."""
    states = scenes.states.copy()
    for item in states:
        (i,) = [i for i in range(2) if item[0, world.shape_columns(i)][-1] == 1 and colour(item, i) == body[0]]
        change(item[GIVEN:, world.shape_columns(i)])
        body = body[1:]
    return film_of_states(states)[:, GIVEN:]


def colour(states, i):
    return world.COLOURS[int(states[0, world.shape_columns(i)][6])]


def gone(columns):
    columns[:, -1] = 0


def pushed(columns):
    columns[:, 1] += 0.2 * np.where(columns[:, 1] < 0.5, 1, -1)


def recoloured(columns):
    columns[:, 6] = (columns[:, 6] + 1) % 4


@pytest.mark.parametrize(
    ("change", "metrics"),
    [
        (gone, {"returns": 0, "returns_colour": 0}),
        (pushed, {"returns": 0, "returns_colour": 1}),
        (recoloured, {"returns": 0, "returns_colour": 0}),
    ],
)
def test_a_covered_shape_that_does_not_come_back_as_it_was_is_caught(arena, change, metrics):
    scenes, _ = scenes_of(arena, "covered")
    film = broken(scenes, scenes.stays, change)
    assert {name: judge(scenes, film).mean() for name, judge in simulator.JUDGES["covered"].items()} == metrics


def test_a_change_that_is_undone_is_caught(arena):
    scenes, _ = scenes_of(arena, "struck")
    states = scenes.states.copy()
    states[:, GIVEN:] = states[:, :1]  # all is as before the knock
    assert simulator.lasting(scenes, film_of_states(states)[:, GIVEN:]).mean() == 0
    for body, change in ((scenes.stays, pushed), (scenes.stays, gone), (scenes.leaves, gone)):
        assert simulator.lasting(scenes, broken(scenes, body, change)).mean() == 0


def line(start, step, frames=13):
    return np.asarray(start) + np.arange(frames)[:, None] * np.asarray(step)


def test_reactions_by_hand():
    touch, still = 0.16, line((0.5, 0.5), (0, 0))
    avatar = line((0.1, 0.5), (0.078, 0))
    assert simulator.reaction(avatar, still, touch) is False  # straight through
    moved = still.copy()
    moved[4:, 0] = np.maximum(moved[4:, 0], avatar[4:, 0] + touch)
    assert simulator.reaction(avatar, moved, touch) is True  # pushed along
    unseen = still.copy()
    unseen[4:] = np.nan
    assert simulator.reaction(avatar, unseen, touch) is False  # it vanishes
    assert simulator.reaction(line((0.1, 0.1), (0.078, 0)), still, touch) is None  # they never meet
    assert simulator.reaction(np.full((13, 2), np.nan), still, touch) is None
    assert np.isnan(simulator.part(np.zeros(3), np.zeros(3)))
    assert simulator.part(np.array([1, 0, 2]), np.array([1, 0, 1])) == pytest.approx(2 / 3)


def told(avatar, *colours):
    return {"avatar": avatar, "shapes": [{"colour": name, "size": "small"} for name in colours]}


def test_what_the_avatar_does_by_hand():
    up, red = line((0.5, 0.1), (0, 0.07)), line((0.9, 0.9), (0, 0))
    towards = np.cumsum(np.tile([[0.07, 0.0], [0.0, 0.07]], (7, 1))[:13], axis=0)
    where = {"avatar": np.stack([up, up * 0 + 0.5, towards, up * np.nan]), "red": np.stack([red] * 4)}
    does = [simulator.behaviour(where, item, told("chases red", "red")) for item in range(4)]
    assert does == ["up", "stays", "chases red", None]
    assert simulator.obeyed(
        where, [told("up", "red"), told("up", "red"), told("chases red", "red"), told("up", "red")]
    ).tolist() == [1, 0, 1, 0]


# ----------------------------------------------------------------------------------- whole question


class Remembers:
    """Knows how every scene goes on, and every captioned clip."""

    control = "none"

    def __init__(self, exam):
        films = torch.cat([scenes_of(exam, kind)[1].test.video for kind in simulator.MAKERS])
        self.known = {film[:GIVEN].numpy().tobytes(): film for film in films}
        self.teller = Storyteller(exam)

    def predict(self, context, frames, *, action=None, seed=0):
        films = [self.known[each.numpy().tobytes()][GIVEN : GIVEN + frames] for each in context]
        return Imagined(video=torch.stack(films))

    def generate(self, prompt, *, seed):
        return self.teller.generate(prompt, seed=seed)

    def reconstruct(self, video):
        return video


class Guided(Remembers):
    """The same, and it wants the true actions."""

    control = "action"

    def predict(self, context, frames, *, action=None, seed=0):
        assert action.shape == (len(context), GIVEN - 1 + frames)
        return super().predict(context, frames)


@pytest.fixture(scope="module")
def entrants(arena):
    models = {
        "knows": Remembers(arena),
        "guided": Guided(arena),
        "still": CopyLast(),
        "deaf": Storyteller(arena, shift=1),
        "mute": Knower(arena),
    }
    return [seat(name, model) for name, model in models.items()]


@pytest.fixture(scope="module")
def answers(arena, entrants):
    return simulator.ask(arena, entrants)


@pytest.fixture(scope="module")
def rows(arena, entrants, answers):
    return {(row.metric, row.route): row for m in answers.measured for row in rows_of(m, arena, entrants)}


@pytest.mark.parametrize("metric", simulator.METRICS)
def test_who_knows_the_world_is_at_the_ceiling(metric, rows):
    row = rows[metric, "knows"]
    assert row.value == row.ceiling >= 0.95
    assert row.floor_name
    assert row.floor < 0.5 or metric in ("stays_put", "stays_beside")  # a frozen film does these
    assert rows[metric, "guided"].value == row.value


def test_a_frozen_film_brings_nothing_back_and_lets_nothing_go_on(rows):
    assert rows["returns", "still"].value == rows["returns_colour", "still"].value == rows["lasts", "still"].value == 0
    assert rows["stays_put", "still"].value == rows["stays_beside", "still"].value == 1
    assert rows["lasts", "still"].floor < 0.2


def test_who_does_not_listen_does_not_obey(rows, answers, arena):
    (obeys,) = [m for m in answers.measured if m.metric == "obeys"]
    found = {(d.first, d.second): d.verdict for d in differences_of(obeys, arena)}
    assert found["knows", "deaf"] == "first better"
    assert found["deaf", "shuffled captions"] == "not separable"
    assert rows["obeys", "still"].reason == simulator.NO_WORDS


def test_a_shape_that_takes_no_notice_of_the_avatar_is_the_floor(rows):
    assert rows["gives_way", "knows"].floor_name == "the avatar of another film"
    assert rows["gives_way", "knows"].floor < 0.4


def test_who_cannot_be_asked_is_told_why(arena, rows):
    assert rows["returns", "mute"].reason == "makes no pictures, by design"
    assert rows["returns", "deaf"].status == rows["obeys", "mute"].status == "not_applicable"
    for changed, why in (
        ({"world": None}, "its scenes are the arena's"),
        ({"opening": None}, "these clips have no captions"),
    ):
        exam, teller = replace(arena, **changed), [seat("knows", Storyteller(arena))]
        found = [row for m in simulator.ask(exam, teller).measured for row in rows_of(m, exam, teller)]
        assert {row.metric for row in found} == set(simulator.METRICS)
        assert {row.reason for row in found if row.metric in ("obeys", "gives_way")} == {why}


def test_films_of_every_kind_are_kept(answers):
    kept = [film.item.split(",")[0] for film, _ in answers.films]
    assert {"covered", "beside", "struck"} < set(kept)
    assert {film.kind for film, _ in answers.films} == {"simulator"}
