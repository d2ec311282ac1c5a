"""Hallucination: true films break no rule; each planted event is found, named, and found in its frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import CopyLast, Knower, Oracle, seat
from scipy.ndimage import label

from threeworlds.score import hallucination
from threeworlds.score.exam import GIVEN, rows_of
from threeworlds.score.hallucination import KINDS, ROLL
from threeworlds.types import Imagined
from threeworlds.worlds import WORLDS, arena, motion

BEGINS = 10  # frame of the film in which an event is planted
FRAMES = 20


def arena_states(*, shapes: int = 2) -> np.ndarray:
    """One film's states [GIVEN + FRAMES, s]: a small red disc and a large blue one that move, an avatar that rests."""
    states = np.full((GIVEN + FRAMES, len(arena.STATE_NAMES)), np.nan, np.float32)
    time = np.arange(len(states))
    states[:, :4] = 0.2, 0.8, 0, 0
    for i, (x, y, colour, size) in enumerate([(0.2, 0.2, 0, 0), (0.3, 0.55, 2, 1)][:shapes]):
        states[:, arena.shape_columns(i)] = x, y, 0.02, 0, 0, 0, colour, 0, size, 1
        states[:, arena.shape_columns(i).start] += 0.02 * time
    if shapes == 1:
        states[:, arena.shape_columns(1).start + 9] = 0
    return states


def first_events(states: np.ndarray, world: str = "arena", size: int = 32) -> dict[str, int]:
    """The kinds found in a film, and the frame in which each begins."""
    frames = torch.from_numpy(WORLDS[world].render(states, size)).movedim(-1, 1).float()[None] / 127.5 - 1
    return kinds_in(frames, world)


def kinds_in(video: torch.Tensor, world: str = "arena") -> dict[str, int]:
    found = hallucination.events(WORLDS[world], video[:, :GIVEN], video[:, GIVEN:])
    return {kind: int(when[0]) for kind, when in found.items() if when[0] < video.shape[1] - GIVEN}


def column(i: int, name: str) -> int:
    return arena.shape_columns(i).start + arena.SHAPE_FIELDS.index(name)


def planted(name: str, value: float, *, body: int = 0, frames: int = FRAMES) -> np.ndarray:
    """A film in which a shape's column takes ``value``, from BEGINS on, for ``frames`` frames."""
    states = arena_states()
    states[GIVEN + BEGINS : GIVEN + BEGINS + frames, column(body, name)] = value
    return states


# --------------------------------------------------------------------------------------- one film


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("shapes", [1, 2])
def test_a_film_in_which_nothing_happens_is_clean(shapes, size):
    assert first_events(arena_states(shapes=shapes), size=size) == {}


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize(
    ("states", "kind"),
    [
        (planted("present", 0), "vanish"),
        (planted("present", 0, body=1), "vanish"),
        (planted("colour", 1), "colour_change"),
        (planted("colour", 3, body=1), "colour_change"),
        (planted("size", 1), "size_change"),
        (planted("size", 0, body=1), "size_change"),
        (planted("y", 0.35), None),  # 0.15 of the box in a frame: odd, but a body of the arena may be that fast
        (planted("y", 0.40), "teleport"),
        (planted("x", 0.85, body=1), "teleport"),
    ],
)
def test_each_event_is_found_in_its_frame_and_is_no_other(states, kind, size):
    assert first_events(states, size=size) == ({kind: BEGINS} if kind else {})


def test_a_body_that_comes_is_found():
    states = arena_states()
    states[: GIVEN + BEGINS, column(1, "present")] = 0
    assert first_events(states) == {"appear": BEGINS}


def test_a_body_that_doubles_is_found():
    states = arena_states()
    once = WORLDS["arena"].render(states, 32).astype(float)
    states[:, [column(0, "y"), column(1, "y")]] += 0.2
    twice = np.maximum(once, WORLDS["arena"].render(states, 32).astype(float))
    video = np.concatenate([once[: GIVEN + BEGINS], twice[GIVEN + BEGINS :]])
    film = torch.from_numpy(video).movedim(-1, 1).float()[None] / 127.5 - 1
    assert kinds_in(film)["appear"] == BEGINS


def test_one_vanishes_while_another_appears_elsewhere_is_no_change_of_colour():
    states = planted("present", 0)
    states[: GIVEN + BEGINS, column(1, "present")] = 0
    assert first_events(states) == {"vanish": BEGINS, "appear": BEGINS}


@pytest.mark.parametrize(("name", "value"), [("present", 0), ("colour", 1), ("size", 1)])
def test_a_flicker_of_one_frame_is_no_event(name, value):
    assert first_events(planted(name, value, frames=1)) == {}


def test_fading_out_is_vanishing_and_nothing_else():
    video = torch.from_numpy(WORLDS["arena"].render(arena_states(), 32)).movedim(-1, 1).float()[None] / 127.5 - 1
    background = torch.tensor(arena.BACKGROUND / 127.5 - 1).float()[:, None, None]
    light = torch.linspace(1, 0, FRAMES)[:, None, None, None]
    video[:, GIVEN:] = background + light * (video[:, GIVEN:] - background)
    found = kinds_in(video)
    assert found.keys() == {"vanish"}
    assert 0.2 < light[found["vanish"], 0, 0, 0] < 0.7


def ball(speed: float) -> np.ndarray:
    """A red ball of radius 1 that crosses the world from x = 1, in units a second."""
    states = np.full((GIVEN + FRAMES, len(motion.STATE_NAMES)), np.nan, np.float32)
    states[:, :5] = 1, 5, speed, 0, 1.0
    states[:, 0] += speed * motion.FRAME * np.arange(len(states))
    return states


@pytest.mark.parametrize("speed", [1.0, 4.0, 8.0])
def test_a_ball_may_leave_an_open_view(speed):
    assert first_events(ball(speed), "motion") == {}


def test_a_ball_may_not_vanish_within_the_view():
    states = ball(4.0)
    states[GIVEN + BEGINS :, 4] = 1e-3  # a radius that nothing shows
    assert states[GIVEN + BEGINS, 0] < 7
    assert first_events(states, "motion") == {"vanish": BEGINS}


def test_second_pieces_are_those_of_each_picture_labelled_by_itself():
    rng = np.random.default_rng(0)
    weights = (rng.random((5, 3, 12, 12)) > 0.75).astype(np.float32)
    weights[0, 0] = 0  # no piece at all
    weights[1, 1] = 0
    weights[1, 1, 2:4, 2:4] = 1  # one piece
    found = hallucination.second_pieces(weights)
    for n, k in np.ndindex(found.shape):
        pieces, count = label(weights[n, k] > 0.5, np.ones((3, 3)))
        areas = sorted((pieces == i + 1).sum() for i in range(count))
        assert found[n, k] == pytest.approx(areas[-2] / 144 if count > 1 else 0)


# ----------------------------------------------------------------------------------- whole question


class Dissolving(CopyLast):
    """Its films are gone after eight frames."""

    def predict(self, context, frames, *, action=None, seed=0):
        video = super().predict(context, frames).video.clone()
        video[:, 8:] = torch.tensor(arena.BACKGROUND / 127.5 - 1).float()[:, None, None]
        return Imagined(video=video)

    def reconstruct(self, video):
        return video


@pytest.fixture(scope="module")
def rows(arena):
    entrants = [seat("still", CopyLast()), seat("gone", Dissolving()), seat("mute", Knower(arena))]
    answers = hallucination.ask(arena, entrants)
    assert {film.kind for film, _ in answers.films} == {"hallucination"}
    return {(r.metric, r.route): r for m in answers.measured for r in rows_of(m, arena, entrants)}


def test_the_simulator_is_clean_and_another_clip_is_not(rows):
    row = rows["clean_fraction", "still"]
    assert (row.ceiling, row.ceiling_name) == (1.0, "the simulator")
    assert row.floor_name == "another clip"
    assert row.floor < 0.1


def test_a_frozen_film_is_clean(rows):
    assert rows["clean_fraction", "still"].value == 1
    assert rows["clean_frames", "still"].value == ROLL


def test_films_that_dissolve_are_caught(rows):
    assert rows["clean_fraction", "gone"].value == rows["kept", "gone"].value == 0
    assert rows["vanish", "gone"].value == 1
    assert rows["clean_frames", "gone"].value == 8
    assert {kind for kind in KINDS if rows[kind, "gone"].value > 0} == {"vanish"}


def test_who_makes_no_pictures_is_told_so(rows):
    assert rows["clean_fraction", "mute"].status == "not_applicable"


def test_without_a_parser_nobody_is_asked(arena):
    for changed in (replace(arena, world=None), replace(arena, test=replace(arena.test, state=None))):
        answers = hallucination.ask(changed, [seat("still", CopyLast())])
        assert all(m.absent["still"] == "no exact parser of the bodies in these clips" for m in answers.measured)


def test_the_true_clips_are_clean_though_an_avatar_pushes(arena):
    found = hallucination.events(arena.world, arena.given, arena.future)
    assert all((when == arena.future.shape[1]).all() for when in found.values())


def test_an_oracle_is_asked_for_more_frames_than_it_knows(arena):
    """A model that gives fewer frames than asked is an error, not a clean film."""
    with pytest.raises(ValueError, match="16 frames"):
        hallucination.ask(arena, [seat("short", Oracle(arena))])
