"""Text: headings by hand, true clips judged right, and storytellers that do not listen."""

from dataclasses import replace

import numpy as np
import pytest
from planted import CopyLast, SameFilm, Storyteller, seat

from threeworlds.score import text
from threeworlds.score.exam import differences_of, rows_of
from threeworlds.score.prediction import bodies

# --------------------------------------------------------------------------------------- closed forms


def path(dx, dy, frames=8):
    return np.array([0.5, 0.5]) + np.arange(frames)[:, None] / text.SPAN * np.array([dx, dy])


@pytest.mark.parametrize(
    ("dx", "dy", "says"),
    [
        (0.1, 0.05, "right"),
        (-0.1, 0.05, "left"),
        (0.05, 0.1, "up"),
        (0.05, -0.1, "down"),
        (0.02, -0.02, "rest"),
        (0.0, 0.0, "rest"),
    ],
)
def test_heading_is_the_longer_axis_over_the_first_frames(dx, dy, says):
    where = path(dx, dy)
    assert text.heading(where) == says
    where[text.SPAN + 1 :] = 0.5 - 10 * (where[text.SPAN + 1 :] - 0.5)  # what comes later does not matter
    assert text.heading(where) == says


def test_heading_of_the_unseen_is_unknown_and_of_few_frames_is_what_they_show():
    assert text.heading(np.full((8, 2), np.nan)) is None
    assert text.heading(path(0.1, 0)[:3]) == "right"


def said(*shapes):
    return [{"colour": colour, "direction": direction} for colour, direction in shapes]


@pytest.fixture
def seen():
    """Two films: red goes right and blue is there; then red alone, for half of the frames."""
    gone = np.full((8, 2), np.nan)
    half = path(0.1, 0)
    half[4:] = np.nan
    return {
        "avatar": np.stack([path(0, 0)] * 2),
        "red": np.stack([path(0.1, 0), half]),
        "blue": np.stack([path(0, -0.1), gone]),
    }


def test_exactly_the_colours_named_must_be_there_in_most_frames(seen):
    assert text.colours_right(seen, [said(("red", "up"), ("blue", "up")), said(("red", "up"))]).tolist() == [1, 0]
    assert text.colours_right(seen, [said(("red", "up")), said(("blue", "up"))]).tolist() == [0, 0]


def test_directions_are_counted_shape_by_shape_and_the_absent_are_wrong(seen):
    right = [said(("red", "right"), ("blue", "down")), said(("red", "rest"))]
    assert text.directions_right(seen, right).tolist() == [1, 0]
    partly = [said(("red", "right"), ("blue", "up")), said(("blue", "rest"))]
    assert text.directions_right(seen, partly).tolist() == [0.5, 0]


def test_true_clips_are_judged_right(arena):
    told = [arena.world.parse_caption(caption)["shapes"] for caption in arena.opening.caption]
    where = bodies(arena.world.locate, arena.opening.video)
    assert text.colours_right(where, told).mean() > 0.95
    assert text.directions_right(where, told).mean() > 0.8  # some bounce at once


# ----------------------------------------------------------------------------------- planted entrants


@pytest.fixture(scope="module")
def entrants(arena):
    models = {
        "teller": Storyteller(arena),
        "deaf": Storyteller(arena, shift=1),
        "same": SameFilm(arena),
        "copier": CopyLast(),
    }
    return [seat(name, model) for name, model in models.items()]


@pytest.fixture(scope="module")
def answers(arena, entrants):
    return text.ask(arena, entrants)


@pytest.fixture(scope="module")
def found(arena, answers):
    return {m.metric: {(d.first, d.second): d.verdict for d in differences_of(m, arena)} for m in answers.measured}


@pytest.fixture(scope="module")
def rows(arena, entrants, answers):
    return {(row.metric, row.route): row for measured in answers.measured for row in rows_of(measured, arena, entrants)}


@pytest.mark.parametrize("metric", ["colour", "direction"])
def test_who_shows_the_true_clips_scores_the_ceiling(metric, rows, found):
    row = rows[metric, "teller"]
    assert row.value == row.ceiling > 0.8
    assert (row.ceiling_name, row.floor_name) == ("the true clips", "shuffled captions")
    assert found[metric]["teller", "shuffled captions"] == "first better"


@pytest.mark.parametrize("metric", ["colour", "direction"])
@pytest.mark.parametrize("route", ["deaf", "same"])
def test_who_does_not_listen_is_no_better_than_with_shuffled_captions(metric, route, rows, found):
    assert found[metric][route, "shuffled captions"] == "not separable"
    assert found[metric]["teller", route] == "first better"


def test_shuffled_captions_make_no_difference_to_one_film_for_all(rows):
    for metric in ("colour", "direction"):
        assert rows[metric, "same"].value == pytest.approx(rows[metric, "same"].floor)


def test_who_takes_no_words_is_told_so(rows):
    assert (rows["colour", "copier"].status, rows["colour", "copier"].reason) == ("not_applicable", text.NO_WORDS)


@pytest.mark.parametrize(
    ("change", "why"), [({"opening": None}, "have no captions"), ({"world": None}, "no exact parser")]
)
def test_without_captions_or_a_parser_nothing_is_asked(change, why, arena, entrants):
    exam = replace(arena, **change)
    rows = [row for m in text.ask(exam, entrants).measured for row in rows_of(m, exam, entrants)]
    assert {row.status for row in rows} == {"not_applicable"}
    assert all(why in row.reason for row in rows if row.route == "teller")
    assert all(row.reason == text.NO_WORDS for row in rows if row.route == "copier")


def test_films_carry_their_caption(answers, arena):
    first = [film for film, _ in answers.films if film.item == arena.opening.caption[0]]
    assert [film.route for film in first] == ["truth", "teller", "deaf", "same"]
