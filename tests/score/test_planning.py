"""Planning: an expert succeeds, chance fails, and no task is solved before it begins."""

from dataclasses import replace

import numpy as np
import pytest
from planted import Aimless, CopyLast, Expert, seat

from threeworlds.score import planning
from threeworlds.score.exam import differences_of, rows_of
from threeworlds.types import Clip
from threeworlds.worlds.rooms import FIXED, SPEED


@pytest.fixture(scope="module")
def entrants():
    return [seat("expert", Expert()), seat("aimless", Aimless()), seat("copier", CopyLast())]


@pytest.fixture(scope="module")
def answers(rooms, entrants):
    return planning.ask(rooms, entrants)


@pytest.fixture(scope="module")
def rows(rooms, entrants, answers):
    return {(row.metric, row.route): row for measured in answers.measured for row in rows_of(measured, rooms, entrants)}


@pytest.fixture(scope="module")
def tasks(rooms):
    return planning.draw_tasks(rooms)


# ----------------------------------------------------------------------------------------------- tasks


def test_tasks_are_as_many_as_items_can_be_reached_and_are_not_solved_at_the_start(tasks, rooms):
    starts, goals = tasks
    assert starts.shape == goals.shape == (20, 4)
    distance = np.linalg.norm(starts[:, :2] - goals[:, :2], axis=-1)
    assert (distance > planning.NEAR).all()
    assert (rooms.world.distance(starts, goals) <= planning.OFFSET * SPEED * np.sqrt(2) + 1e-6).all()
    np.testing.assert_array_equal(starts[:, 2:], goals[:, 2:])


def test_tasks_are_a_function_of_the_seed(tasks, rooms):
    again, other = planning.draw_tasks(rooms), planning.draw_tasks(replace(rooms, seed=rooms.seed + 1))
    np.testing.assert_array_equal(tasks, again)
    assert not np.isclose(tasks[0][:, None, :2], other[0][None, :, :2]).all(-1).any()


def test_a_start_at_the_goal_is_left_out(rooms, monkeypatch):
    """Of made episodes every other one comes back to where it began."""

    def collect(*_, episodes, **__):
        for i in range(episodes):
            state = np.tile(np.array([0.2, 0.5, *FIXED], np.float32), (planning.OFFSET + 1, 1))
            state[-1, 0] += 0.3 * (i % 2)
            yield Clip(video=np.zeros((1, 1, 1, 3), np.uint8), state=state)

    monkeypatch.setattr(planning, "collect", collect)
    starts, goals = planning.draw_tasks(rooms)
    assert len(starts) == 20
    np.testing.assert_allclose(goals[:, 0] - starts[:, 0], 0.3, atol=1e-6)


def test_options_of_the_world_reach_the_tasks(rooms):
    starts, _ = planning.draw_tasks(replace(rooms, options={"layout": "random"}))
    assert len(np.unique(starts[:, 2])) == 20


# --------------------------------------------------------------------------------------------- attempts


def test_success_at_the_end_is_not_success_ever(rooms):
    """An agent that runs through its goal and on."""
    start, goal = np.array([[0.15, 0.8, *FIXED]], np.float32), np.array([[0.25, 0.8, *FIXED]], np.float32)
    at_end, ever = planning.attempt(rooms, (start, goal), lambda frames, goals: np.array([[1, 0]], np.float32))
    assert (at_end.tolist(), ever.tolist()) == ([0], [1])


def test_an_agent_sees_the_last_two_frames_and_the_goal(rooms):
    seen = []

    def look(frames, goals):
        seen.append((frames, goals))
        return np.array([[1, 0]], np.float32)

    start, goal = np.array([[0.15, 0.8, *FIXED]], np.float32), np.array([[0.25, 0.3, *FIXED]], np.float32)
    planning.attempt(rooms, (start, goal), look)
    assert len(seen) == planning.BUDGET
    first, second = seen[0][0], seen[1][0]
    assert first.shape == (1, 2, 64, 64, 3)
    np.testing.assert_array_equal(first[:, 0], first[:, 1])  # nothing came before the start
    np.testing.assert_array_equal(first[:, 1], second[:, 0])
    assert not np.array_equal(second[:, 0], second[:, 1])
    np.testing.assert_array_equal(second[:, 1], seen[2][0][:, 0])
    np.testing.assert_array_equal(seen[-1][1], rooms.world.render(goal, 64))


def test_pictures_reach_the_model_as_it_knows_them():
    frames = np.zeros((2, 2, 8, 9, 3), np.uint8)
    frames[0, 1, 2, 3] = (255, 0, 51)
    video = planning._tensor(frames)
    assert video.shape == (2, 2, 3, 8, 9)
    assert video[0, 1, :, 2, 3].tolist() == pytest.approx([1, -1, -0.6])


# ----------------------------------------------------------------------------------- planted entrants


def test_an_expert_succeeds(rows):
    row = rows["success_25_50", "expert"]
    assert row.value >= 0.95
    assert rows["success_25_50_ever", "expert"].value >= row.value
    assert row.low < 1 == row.high  # Wilson: twenty successes are no certainty
    assert row.n == 20


def test_chance_fails_and_is_no_better_than_the_random_floor(rows, answers, rooms):
    assert rows["success_25_50", "aimless"].value < 0.4
    verdicts = {(d.first, d.second): d.verdict for d in differences_of(answers.measured[0], rooms)}
    assert verdicts["aimless", "random policy"] == "not separable"
    assert verdicts["expert", "random policy"] == verdicts["expert", "stay policy"] == "first better"
    assert verdicts["expert", "aimless"] == "first better"


def test_staying_reaches_no_goal(answers):
    assert answers.measured[0].floors["stay policy"].sum() == 0
    assert answers.measured[1].floors["stay policy"].sum() == 0


def test_a_decision_is_timed(rows, answers):
    row = rows["ms_search", "expert"]
    assert (row.n, row.unit) == (planning.BUDGET, "ms")
    assert row.value > 0


def test_who_does_not_plan_is_told_so(rows):
    for metric in ("success_25_50", "success_25_50_ever", "ms_search"):
        assert (rows[metric, "copier"].status, rows[metric, "copier"].reason) == (
            "not_applicable",
            "does not plan, by design",
        )


def test_elsewhere_there_are_no_goals(arena, entrants):
    rows = [row for m in planning.ask(arena, entrants).measured for row in rows_of(m, arena, entrants)]
    assert {row.status for row in rows} == {"not_applicable"}
    assert "no goals to reach" in next(row.reason for row in rows if row.route == "expert")


def test_the_seed_of_a_decision_changes_with_every_step(rooms):
    seeds = []

    class Listener(Aimless):
        def plan(self, context, goal, *, seed=0):
            seeds.append(seed)
            return super().plan(context, goal, seed=seed)

    act, clock = planning._planner(seat("listener", Listener()), rooms)
    frames = np.zeros((1, 2, 64, 64, 3), np.uint8)
    first, second = act(frames, frames[:, 0]), act(frames, frames[:, 0])
    assert seeds == [rooms.seed, rooms.seed + 1]
    assert not np.array_equal(first, second)
    assert len(clock) == 2
