"""Physics-IQ's score against closed forms: squares that move by hand, and models whose score is known."""

import numpy as np
import pytest
from planted import CopyLast, Oracle, Player, seat

from threeworlds.score import physics_iq as question
from threeworlds.score.exam import rows_of
from threeworlds.score.physics_iq import iou, motion_masks, opened_and_closed, physics_iq, second_take


def test_iou_of_masks_and_of_weights():
    a, b = np.zeros((3, 4, 4), bool), np.zeros((3, 4, 4), bool)
    a[0, :2], b[0, 1:3] = True, True  # rows 0, 1 and rows 1, 2
    a[1] = True
    assert iou(a, b).tolist() == [1 / 3, 0, 1]  # both empty: nothing moved, and rightly
    assert iou(a[:1] * 0.5, b[:1] * 1.0)[0] == pytest.approx(0.2)  # 4 of 0.5 over 4 of 0.5 and 8 of 1


def test_a_still_film_has_no_motion_and_a_jump_has_it_at_both_ends():
    video = np.zeros((1, 3, 32, 32, 3), np.uint8)
    video[:, 0, 8:16, 4:12] = video[:, 1:, 8:16, 20:28] = 255
    assert not motion_masks(np.repeat(video[:, :1], 3, 1)).any()
    masks = motion_masks(video)
    assert not masks[0, 0].any()
    assert masks[0, 1, 10:14, 6:10].all() and masks[0, 1, 10:14, 22:26].all()
    assert not masks[0, 1, 20:].any()


def test_the_running_mean_forgets_at_the_published_pace():
    """White that comes and stays is 0.7^k of a full step off, in whole levels: more than 10 of 255 for 8 frames."""
    video = np.zeros((1, 14, 16, 16, 3), np.uint8)
    video[:, 1:] = 255
    seen = motion_masks(video)[0, :, 8, 8]
    assert seen.tolist() == [False] + [255 - round(255 * (1 - 0.7**k)) > 10 for k in range(1, 14)]
    assert seen.sum() == 8


def test_specks_are_opened_away_and_gaps_closed():
    masks = np.zeros((1, 1, 24, 24), bool)
    masks[0, 0, 6:16, 6:16] = True
    whole = masks.copy()
    masks[0, 0, 20, 20] = True  # a speck
    assert (opened_and_closed(masks, 5) == whole).all()
    apart = whole.copy()
    apart[0, 0, 6:16, 10:12] = False  # a gap of two
    assert opened_and_closed(apart, 3)[0, 0, 6:16, 6:16].all()
    assert (opened_and_closed(masks, 1) == masks).all()


def test_the_score_by_hand():
    half, full, zero = np.array([0.4, 0.6]), np.ones(2), np.zeros(2)
    second = (full, full, full, zero)
    assert physics_iq(half, half, half, zero, *second) == pytest.approx(50)
    assert physics_iq(half, half, half, full * 0.1, *second) == pytest.approx(40)
    assert physics_iq(half, half, half, full * 0.1, half, half, half, full * 0.1) == pytest.approx(100)
    assert physics_iq(full, full, full, zero, half, half, half, zero) == 100  # no more than all
    assert physics_iq(zero, zero, zero, full, *second) == 0


def test_the_second_take_is_nearly_the_first(arena):
    error = (second_take(arena)[:, :1] - arena.future[:, :1]).abs().mean()
    assert 0 < error < 0.05


def test_the_world_scores_all_and_a_still_picture_little(arena):
    entrants = [seat("world", Player(arena)), seat("oracle", Oracle(arena)), seat("still", CopyLast())]
    measured = {m.metric: m for m in question.ask(arena, entrants).measured}
    score = {row.route: row for row in rows_of(measured["score"], arena, entrants)}
    assert score["world"].value == score["oracle"].value == 100
    assert score["still"].value <= score["still"].floor
    assert score["still"].value < 50
    parts = {row.route: row for row in rows_of(measured["spatiotemporal"], arena, entrants)}
    assert parts["world"].value > 0.98 and 0.3 < parts["world"].ceiling < 1
