"""Surprise: statistics against scikit-free oracles, and planted models that see all, nothing or the wrong thing."""

import numpy as np
import pytest
import torch
from planted import CopyLast, seat
from scipy import stats

from threeworlds.score import surprise
from threeworlds.score.exam import rows_of
from threeworlds.worlds.impossible import EARLIEST, KINDS, make_twins


def test_auroc_is_the_mann_whitney_statistic_of_the_peaks():
    rng = np.random.default_rng(0)
    possible, impossible = rng.integers(0, 9, (30, 5)), rng.integers(2, 11, (40, 5))
    expected = stats.mannwhitneyu(impossible.max(1), possible.max(1)).statistic / (30 * 40)
    assert surprise.auroc(possible, impossible) == pytest.approx(expected)


def test_relative_accuracy_by_hand():
    possible = np.array([[1.0, 1], [2, 2], [5, 1], [0, 0]])
    impossible = np.array([[1.0, 2], [2, 2], [3, 1], [0, 9]])
    assert surprise.relative_accuracy(possible, impossible) == (1 + 0.5 + 0 + 1) / 4


class Judge:
    """Knows every impossible film by heart; ``sign`` -1 finds the possible ones surprising."""

    def __init__(self, exam, sign=1):
        self.sign, self.known = sign, set()
        for kind in KINDS:
            twins = make_twins(kind, pairs=40, seed=exam.seed + surprise.EXAM_SEEDS)
            self.known |= {film.tobytes() for film in surprise._as_video(twins.impossible).numpy()}

    def surprise(self, video, action=None):
        assert action.shape == (len(video), video.shape[1] - 1)
        found = torch.tensor([film.numpy().tobytes() in self.known for film in video])
        scores = torch.zeros(video.shape[:2])
        scores[:, EARLIEST] = self.sign * (2.0 * found - 1)
        scores[:, :EARLIEST] = torch.nan
        return scores


class Calm:
    """Nothing surprises it."""

    def surprise(self, video, action=None):
        return torch.ones(video.shape[:2])


@pytest.fixture(scope="module")
def rows(arena):
    entrants = [
        seat("judge", Judge(arena)),
        seat("fool", Judge(arena, -1)),
        seat("calm", Calm()),
        seat("copier", CopyLast()),
    ]
    found = surprise.ask(arena, entrants).measured
    return {(row.metric, row.route): row for m in found for row in rows_of(m, arena, entrants)}


@pytest.mark.parametrize("kind", KINDS)
def test_planted_judges_score_what_they_must(rows, kind):
    assert rows[f"auroc_{kind}", "judge"].value == rows[f"relative_{kind}", "judge"].value == 1
    assert rows[f"relative_{kind}", "fool"].value == 0
    assert rows[f"auroc_{kind}", "fool"].value < 0.5
    assert rows[f"auroc_{kind}", "calm"].value == rows[f"relative_{kind}", "calm"].value == 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_floor_is_the_change_of_the_picture(rows, kind):
    row = rows[f"auroc_{kind}", "calm"]
    assert row.floor_name == "change of the picture"
    assert (0.5 < row.floor < 1) if kind in ("teleport", "vanish", "appear") else (0 < row.floor < 1)


def test_what_cannot_be_surprised_does_not_apply(rows):
    row = rows["auroc_vanish", "copier"]
    assert (row.status, row.reason) == ("not_applicable", "does not say how surprised it is")


def test_a_world_without_twins_says_so(motion):
    entrants = [seat("calm", Calm())]
    rows = [row for m in surprise.ask(motion, entrants).measured for row in rows_of(m, motion, entrants)]
    assert {row.status for row in rows} == {"not_applicable"}
    assert "arena" in rows[0].reason
