"""Reward: who knows the task earns as the expert does, who does not as the floor, and the others are told why not."""

import numpy as np
import pytest
import torch
from planted import CopyLast, seat

from threeworlds.score import reward
from threeworlds.score.exam import rows_of
from threeworlds.score.imitation import EPISODES
from threeworlds.worlds import arena as game


class Hunter:
    """Heads for the shape that it sees."""

    can_earn = True

    def earn(self, context):
        frames = ((context[:, -1].movedim(1, -1) + 1) * 127.5).round().byte().numpy()
        places = game.locate(frames)
        colours = np.stack([places[name] for name in game.COLOURS], axis=1)
        shape = np.nanmean(colours, axis=1)
        offset = shape - places["avatar"]
        moves = np.array([(0, 0), (-1, 0), (1, 0), (0, 1), (0, -1)])
        return torch.from_numpy((np.nan_to_num(offset) @ moves.T).argmax(-1))


class Sleeper:
    can_earn = True

    def earn(self, context):
        return torch.zeros(len(context), dtype=torch.int64)


class Untaught(Sleeper):
    can_earn = False


@pytest.fixture(scope="module")
def rows(arena):
    seats = [seat(name, model()) for name, model in (("hunter", Hunter), ("sleeper", Sleeper), ("copier", CopyLast))]
    seats.append(seat("untaught", Untaught()))
    (measured,) = reward.ask(arena, seats).measured
    return {row.route: row for row in rows_of(measured, arena, seats)}


def test_who_hunts_earns_nearly_what_the_expert_does(rows):
    row = rows["hunter"]
    assert row.n == EPISODES
    assert (row.floor_name, row.ceiling_name) in {("random policy", "the expert"), ("stay policy", "the expert")}
    assert row.low > 2 * row.floor
    assert row.value > 0.6 * row.ceiling


def test_who_stays_earns_what_staying_earns(rows):
    assert rows["sleeper"].value <= rows["sleeper"].floor


def test_who_learnt_none_is_told_so(rows):
    assert {rows[name].status for name in ("copier", "untaught")} == {"not_applicable"}
    assert "recipe `reward`" in rows["untaught"].reason


def test_elsewhere_there_is_no_task(rooms):
    (measured,) = reward.ask(rooms, [seat("hunter", Hunter())]).measured
    (row,) = rows_of(measured, rooms, [seat("hunter", Hunter())])
    assert (row.status, row.reason) == ("not_applicable", "no task with a return in these clips")
