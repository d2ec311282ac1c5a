"""Text: headings by hand, true clips judged right, and storytellers that do not listen."""

from dataclasses import replace

import numpy as np
import pytest
from planted import CopyLast, SameFilm, Storyteller, seat

from threeworlds.score import text
from threeworlds.score.exam import differences_of, rows_of

# --------------------------------------------------------------------------------------- closed forms


def path(dx, dy, frames=8):
    return np.array([0.5, 0.5]) + np.arange(frames)[:, None] * np.array([dx, dy])


@pytest.mark.parametrize(
    ("dx", "dy", "says"),
    [
        (0.02, 0.01, "right"),
        (-0.02, 0.01, "left"),
        (0.01, 0.02, "up"),
        (0.01, -0.02, "down"),
        (0.005, -0.005, "rest"),
        (0.0, 0.0, "rest"),
    ],
)
def test_heading_is_the_longer_axis_over_the_first_frames(dx, dy, says):
    where = path(dx, dy)
    assert text.heading(where) == says
    where[text.SPAN + 1 :] = 0.5 - 10 * (where[text.SPAN + 1 :] - 0.5)  # what comes later does not matter
    assert text.heading(where) == says


def test_heading_ends_at_the_first_knock():
    where = path(0.02, 0)
    where[2:] = where[1] + np.arange(1, 7)[:, None] * np.array([-0.05, 0])
    assert text.heading(where) == "right"
    assert where[text.SPAN, 0] < where[0, 0]


def test_heading_of_the_unseen_is_unknown_and_of_few_frames_is_what_they_show():
    assert text.heading(np.full((8, 2), np.nan)) is None
    assert text.heading(path(0.1, 0)[:3]) == "right"
    half = path(0.1, 0)
    half[2:] = np.nan
    assert text.heading(half) == "right"


def said(*shapes):
    return [{"colour": colour, "shape": shape, "direction": direction} for colour, shape, direction in shapes]


@pytest.fixture
def seen():
    """Two films: red goes right and blue is there; then red alone, for half of the frames. Red is more of a square."""
    gone = np.full((8, 2), np.nan)
    half = path(0.1, 0)
    half[4:] = np.nan
    where = {
        "avatar": np.stack([path(0, 0)] * 2),
        "red": np.stack([path(0.1, 0), half]),
        "blue": np.stack([path(0, -0.1), gone]),
    }
    likeness = {"red": np.array([[0.8, 0.9]] * 2), "blue": np.array([[0.9, 0.8], [0, 0]])}
    return text.Seen(where=where, likeness=likeness, shapes=("disc", "square"))


RED, BLUE = ("red", "square", "right"), ("blue", "disc", "down")


def test_exactly_the_colours_named_must_be_there_in_most_frames(seen):
    assert text.colours_right(seen, [said(RED, BLUE), said(RED)]).tolist() == [1, 0]
    assert text.colours_right(seen, [said(RED), said(BLUE)]).tolist() == [0, 0]


def test_directions_and_shapes_are_counted_one_by_one_and_the_absent_are_wrong(seen):
    right = [said(RED, BLUE), said(("red", "disc", "rest"))]
    partly = [said(RED, ("blue", "square", "up")), said(BLUE)]
    for judge in (text.directions_right, text.shapes_right):
        assert judge(seen, right).tolist() == [1, 0]
        assert judge(seen, partly).tolist() == [0.5, 0]
    assert text.all_right(seen, right).tolist() == [1, 0]
    assert text.all_right(seen, partly).tolist() == [0, 0]


def test_true_clips_are_judged_right(arena):
    told = [arena.world.parse_caption(caption)["shapes"] for caption in arena.opening.caption]
    seen = text.look(arena.world, arena.opening.video)
    assert text.colours_right(seen, told).mean() > 0.95
    assert text.shapes_right(seen, told).mean() > 0.95
    assert text.directions_right(seen, told).mean() > 0.9  # some are knocked at once


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


@pytest.mark.parametrize("metric", list(text.JUDGES))
def test_who_shows_the_true_clips_scores_the_ceiling(metric, rows, found):
    row = rows[metric, "teller"]
    assert row.value == row.ceiling > 0.8
    assert (row.ceiling_name, row.floor_name) == ("the true clips", "shuffled captions")
    assert found[metric]["teller", "shuffled captions"] == "first better"


@pytest.mark.parametrize("metric", ["colour", "direction", "full_match"])  # shapes are few: neighbours share them
@pytest.mark.parametrize("route", ["deaf", "same"])
def test_who_does_not_listen_is_no_better_than_with_shuffled_captions(metric, route, rows, found):
    assert found[metric][route, "shuffled captions"] == "not separable"
    assert found[metric]["teller", route] == "first better"


def test_shuffled_captions_make_no_difference_to_one_film_for_all(rows):
    for metric in text.JUDGES:
        assert rows[metric, "same"].value == pytest.approx(rows[metric, "same"].floor)


def test_who_takes_no_words_is_told_so(rows):
    assert (rows["colour", "copier"].status, rows["colour", "copier"].reason) == ("not_applicable", text.NO_WORDS)


@pytest.mark.parametrize(
    ("change", "why"), [({"opening": None}, "have no captions"), ({"world": None}, "exact parser of the words")]
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
