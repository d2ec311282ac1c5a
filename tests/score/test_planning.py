"""Planning: an expert succeeds, chance fails, and no task is solved before it begins."""

from dataclasses import replace
from functools import partial
from time import sleep

import numpy as np
import pytest
import torch
from planted import Aimless, CopyLast, Expert, seat

from threeworlds.score import planning
from threeworlds.score.exam import differences_of, rows_of
from threeworlds.score.planning import SETTINGS
from threeworlds.score.stats import wilson
from threeworlds.types import Clip, Plan
from threeworlds.worlds import WORLDS
from threeworlds.worlds.rooms import FIXED, SPEED

NEAR_GOALS, FAR_GOALS, RANDOM_WALLS = SETTINGS


class Reflex(Aimless):
    """Plans at random, and has an actor that always goes right."""

    can_act = True

    def act(self, context, goal):
        return torch.tensor([1.0, 0.0]).expand(len(context), 2)


@pytest.fixture(scope="module")
def few(rooms):
    """Five items: every setting is asked."""
    return replace(rooms, test=replace(rooms.test, video=rooms.test.video[:5]))


@pytest.fixture(scope="module")
def entrants():
    return [seat("expert", Expert()), seat("reflex", Reflex()), seat("copier", CopyLast())]


@pytest.fixture(scope="module")
def answers(few, entrants):
    return planning.ask(few, entrants)


@pytest.fixture(scope="module")
def rows(few, entrants, answers):
    return {(row.metric, row.route): row for measured in answers.measured for row in rows_of(measured, few, entrants)}


@pytest.fixture(scope="module")
def tasks(rooms):
    return planning.draw_tasks(rooms, NEAR_GOALS)


# ----------------------------------------------------------------------------------------------- tasks


def test_tasks_are_as_many_as_items_can_be_reached_and_are_not_solved_at_the_start(tasks, rooms):
    starts, goals = tasks
    assert starts.shape == goals.shape == (20, 4)
    distance = np.linalg.norm(starts[:, :2] - goals[:, :2], axis=-1)
    assert (distance > planning.NEAR).all()
    assert (rooms.world.distance(starts, goals) <= NEAR_GOALS.offset * SPEED * np.sqrt(2) + 1e-6).all()
    np.testing.assert_array_equal(starts[:, 2:], goals[:, 2:])


def test_far_goals_are_farther_and_in_time(rooms, tasks):
    starts, goals = planning.draw_tasks(rooms, FAR_GOALS)
    far, near = rooms.world.distance(starts, goals), rooms.world.distance(*tasks)
    assert far.mean() > 1.1 * near.mean()
    assert (far <= FAR_GOALS.budget * SPEED).all()


def test_tasks_are_a_function_of_the_seed(tasks, rooms):
    again = planning.draw_tasks(rooms, NEAR_GOALS)
    other = planning.draw_tasks(replace(rooms, seed=rooms.seed + 1), NEAR_GOALS)
    np.testing.assert_array_equal(tasks, again)
    assert not np.isclose(tasks[0][:, None, :2], other[0][None, :, :2]).all(-1).any()


def test_a_start_at_the_goal_is_left_out(rooms, monkeypatch):
    """Of made episodes every other one comes back to where it began."""

    def collect(*_, episodes, **__):
        for i in range(episodes):
            state = np.tile(np.array([0.2, 0.5, *FIXED], np.float32), (NEAR_GOALS.offset + 1, 1))
            state[-1, 0] += 0.3 * (i % 2)
            yield Clip(video=np.zeros((1, 1, 1, 3), np.uint8), state=state)

    monkeypatch.setattr(planning, "collect", collect)
    starts, goals = planning.draw_tasks(rooms, NEAR_GOALS)
    assert len(starts) == 20
    np.testing.assert_allclose(goals[:, 0] - starts[:, 0], 0.3, atol=1e-6)


def test_walls_stand_where_the_setting_says(rooms, tasks):
    starts, _ = planning.draw_tasks(rooms, RANDOM_WALLS)
    assert len(np.unique(starts[:, 2])) == 20
    assert len(np.unique(tasks[0][:, 2])) == 1


# --------------------------------------------------------------------------------------------- attempts


def right(before, now, goals):
    return np.tile(np.array([1, 0], np.float32), (len(now), 1))


def test_success_at_the_end_is_not_success_ever():
    """An agent that runs through its goal and on."""
    start, goal = np.array([[0.15, 0.8, *FIXED]], np.float32), np.array([[0.25, 0.8, *FIXED]], np.float32)
    at_end, ever = planning.attempt(WORLDS["rooms"], (start, goal), 50, right)
    assert (at_end.tolist(), ever.tolist()) == ([0], [1])
    assert planning.attempt(WORLDS["rooms"], (start, goal), 4, right)[0].tolist() == [1]
    assert planning.attempt(WORLDS["rooms"], (start, goal), 1, right)[1].tolist() == [0]


def test_an_agent_sees_the_last_two_frames_and_the_goal(rooms):
    seen = []

    class Looking(Reflex):
        def plan(self, context, goal, *, seed=0):
            seen.append((context, goal))
            return super().plan(context, goal, seed=seed)

    start, goal = np.array([[0.15, 0.8, *FIXED]], np.float32), np.array([[0.25, 0.3, *FIXED]], np.float32)
    planning.attempt(rooms.world, (start, goal), 3, planning.by_search(seat("looking", Looking()), rooms))
    assert len(seen) == 3
    first, second = seen[0][0], seen[1][0]
    assert first.shape == (1, 2, 3, 64, 64)
    assert torch.equal(first[:, 0], first[:, 1])  # nothing came before the start
    assert torch.equal(first[:, 1], second[:, 0])
    assert not torch.equal(second[:, 0], second[:, 1])
    assert torch.equal(second[:, 1], seen[2][0][:, 0])
    assert torch.equal(seen[-1][1], planning.as_video(rooms.world.render(goal, 64)))


def test_a_plan_is_executed_for_some_steps_before_the_next(rooms):
    asked = []

    class Long(Reflex):
        def plan(self, context, goal, *, seed=0):
            asked.append(seed)
            return Plan(action=torch.linspace(0.1, 0.8, 8)[None, :, None].expand(len(context), 8, 2), cost=None)

    act = planning.by_search(seat("long", Long()), rooms)
    state = np.array([[0.15, 0.8, *FIXED]] * 2, np.float32)
    done = [act(state, state, state)[1, 0] for _ in range(planning.EXECUTED + 1)]
    np.testing.assert_allclose(done, [0.1, 0.2, 0.3, 0.4, 0.5, 0.1], atol=1e-6)
    assert len(asked) == 2


class Remembering(Reflex):
    """Plans what nobody planned before, and notes what it was told of the plan before."""

    searches = ("only",)

    def __init__(self):
        self.made, self.told = [], []

    def plan(self, context, goal, *, seed=0, start=None, search=""):
        self.told.append(start)
        self.made.append(torch.linspace(-1, 0, 8)[None, :, None].expand(len(context), 8, 2) + 0.1 * len(self.made))
        return Plan(action=self.made[-1], cost=torch.zeros(len(context)))


def test_an_agent_may_begin_from_the_rest_of_its_last_plan_and_the_exam_lets_nobody(rooms, monkeypatch):
    """Five episodes, three at a time: each part goes on from its own plan."""
    monkeypatch.setattr(planning, "CHUNK", 3)
    state = np.array([[0.15, 0.8, *FIXED]] * 5, np.float32)
    warm, cold = Remembering(), Remembering()
    for model, options in ((warm, {"warm": True}), (cold, {})):
        act = planning.by_search(seat("", model), rooms, executed=2, **options)
        for _ in range(5):
            act(state, state, state)
    assert [None if rest is None else len(rest) for rest in warm.told] == [None, None, 3, 2, 3, 2]
    for before, rest in zip(warm.made, warm.told[2:], strict=False):
        torch.testing.assert_close(rest[:, :6], before[:, 2:])
        torch.testing.assert_close(rest[:, 6:], before[:, -1:].expand(-1, 2, -1))
    assert cold.told == [None] * 6


class Noting(Remembering):
    """As above, with a memory, which it must be handed each time."""

    def __init__(self):
        super().__init__()
        self.memories, self.handed = [], []

    def new_memory(self, taken):
        self.memories.append([taken])
        return self.memories[-1]

    def plan(self, context, goal, *, seed=0, start=None, search="", memory=None):
        self.handed.append(memory)
        return super().plan(context, goal, seed=seed, start=start, search=search)


def test_every_episode_goes_on_with_the_memory_it_began_with(rooms, monkeypatch):
    monkeypatch.setattr(planning, "CHUNK", 3)
    state, model = np.array([[0.15, 0.8, *FIXED]] * 5, np.float32), Noting()
    act = planning.by_search(seat("", model), rooms, executed=2)
    for _ in range(5):
        act(state, state, state)
    first, second = model.memories  # three episodes, and two
    assert first == second == [2]
    assert [memory is first for memory in model.handed] == [True, False] * 3
    assert [memory is second for memory in model.handed] == [False, True] * 3


def test_a_model_with_one_way_to_plan_is_asked_for_no_other():
    frames = torch.zeros(1, 2, 3, 8, 8)
    assert planning.next_plan(Aimless(), frames, frames[:, 0], seed=0, rest=torch.zeros(1, 1, 2)).shape == (1, 1, 2)
    with pytest.raises(ValueError, match="search 'cem': this model plans in one way of its own"):
        planning.next_plan(Aimless(), frames, frames[:, 0], seed=0, search="cem")


def test_pictures_reach_the_model_as_it_knows_them():
    frames = np.zeros((2, 2, 8, 9, 3), np.uint8)
    frames[0, 1, 2, 3] = (255, 0, 51)
    video = planning.as_video(frames)
    assert video.shape == (2, 2, 3, 8, 9)
    assert video[0, 1, :, 2, 3].tolist() == pytest.approx([1, -1, -0.6])


# ----------------------------------------------------------------------------------- planted entrants


def test_an_expert_succeeds_near_and_far(rows):
    assert rows["success_25_50", "expert"].value == rows["success_100_150", "expert"].value == 1
    row = rows["success_25_50", "expert"]
    assert rows["success_25_50_ever", "expert"].value >= row.value
    assert row.low < 1 == row.high  # Wilson: five successes are no certainty
    assert row.n == 5


def test_an_expert_of_the_fixed_walls_runs_into_others(rows):
    assert rows["success_random_walls", "expert"].value < rows["success_random_walls", "expert"].ceiling


def test_chance_fails_and_is_no_better_than_the_random_floor(rooms):
    tasks = planning.draw_tasks(rooms, NEAR_GOALS)
    aimless, expert = (planning.by_search(seat("", model()), rooms) for model in (Aimless, Expert))
    reached = {
        name: planning.attempt(rooms.world, tasks, 50, a) for name, a in (("aimless", aimless), ("expert", expert))
    }
    floors = {name: planning.attempt(rooms.world, tasks, 50, act) for name, act in planning._floors(rooms).items()}
    measured = planning._success(NEAR_GOALS, "", reached, floors, {})
    assert measured.values["aimless"].mean() < 0.4
    verdicts = {(d.first, d.second): d.verdict for d in differences_of(measured, rooms)}
    assert verdicts["aimless", "random policy"] == "not separable"
    assert verdicts["expert", "random policy"] == verdicts["expert", "stay policy"] == "first better"


def test_staying_reaches_no_goal_and_those_who_know_the_world_reach_all(answers):
    for measured in (m for m in answers.measured if m.metric.startswith("success")):
        assert measured.floors["stay policy"].sum() == 0
        assert measured.ceilings["expert"].mean() == 1
        assert measured.ceilings["search in the simulator"].mean() >= 0.8


@pytest.mark.parametrize("metric", ["success_25_50", "success_100_150_actor", "success_random_walls_ever"])
def test_a_row_holds_all_that_the_routes_are_held_to(rows, answers, metric):
    (measured,) = (m for m in answers.measured if m.metric == metric)
    found = rows[metric, "reflex"].references
    assert set(found) == {"random policy", "stay policy", "expert", "search in the simulator"}
    for name, won in {**measured.floors, **measured.ceilings}.items():
        expected = wilson(int(won.sum()), len(won))
        assert (found[name].value, found[name].low, found[name].high) == (expected.value, expected.low, expected.high)


def test_the_actor_alone_has_a_row_of_its_own(rows):
    assert rows["success_25_50_actor", "reflex"].value < 1
    assert "no search" in rows["success_25_50_actor", "reflex"].protocol
    assert rows["success_25_50_actor", "expert"].reason == planning.NO_ACTOR
    assert rows["ms_actor", "reflex"].value > 0
    assert rows["ms_actor", "expert"].status == "not_applicable"


def test_an_actor_is_asked_itself_and_not_its_planner(rooms):
    start, goal = np.array([[0.15, 0.8, *FIXED]], np.float32), np.array([[0.25, 0.8, *FIXED]], np.float32)
    act = planning.by_actor(seat("reflex", Reflex()), rooms)
    assert planning.attempt(rooms.world, (start, goal), 4, act)[0].tolist() == [1]


def test_single_decisions_are_timed_after_a_first_one(rows):
    row = rows["ms_search", "expert"]
    assert (row.n, row.unit) == (4, "ms")
    assert row.value > 0


def test_every_timed_decision_is_a_search_of_its_own(rooms, tasks):
    """A plan of many steps must not stand for the searches that it saves."""

    class Thinker(Reflex):
        thought = 0

        def plan(self, context, goal, *, seed=0):
            sleep(0.004)
            self.thought += 1
            return Plan(action=torch.zeros(len(context), 8, 2), cost=torch.zeros(len(context)))

        def act(self, context, goal):
            sleep(0.004)
            return super().act(context, goal)

    model = Thinker()
    took = planning.time(partial(planning.by_search, seat("thinker", model), rooms), tasks)
    assert model.thought == 20  # the exam has as many tasks, and the first warms up
    assert (len(took), took.min() >= 4) == (19, True)
    assert planning.time(partial(planning.by_actor, seat("thinker", model), rooms), tasks).min() >= 4


def test_what_is_timed_is_told(rows):
    assert "from pictures to a plan; 5 steps of it are executed" in rows["ms_search", "reflex"].protocol
    assert "without search" in rows["ms_actor", "reflex"].protocol


def test_who_does_not_plan_is_told_so(rows):
    assert rows["success_25_50_each", "copier"].status == "not_applicable"
    for metric in ("success_25_50", "success_100_150_ever", "success_random_walls_actor", "ms_search", "ms_actor"):
        assert (rows[metric, "copier"].status, rows[metric, "copier"].reason) == (
            "not_applicable",
            planning.NO_SEARCH,
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

    act = planning.by_search(seat("listener", Listener()), rooms)
    state = np.array([[0.15, 0.8, *FIXED]], np.float32)
    first, second = act(state, state, state), act(state, state, state)
    assert seeds == [rooms.seed + 1, rooms.seed + 2]
    assert not np.array_equal(first, second)
