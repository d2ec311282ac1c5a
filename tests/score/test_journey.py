"""A journey: who knows the way arrives, what was imagined stands beside it, and bad places are refused."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from planted import Expert

from threeworlds.score import journey
from threeworlds.score.planning import EXECUTED
from threeworlds.types import ClipSpec, Imagined
from threeworlds.worlds import WORLDS
from threeworlds.worlds.rooms import FIXED, advance, locate, render

SPEC = WORLDS["rooms"].spec()


class Guide(Expert):
    """Knows the way, and imagines the truth."""

    control = "action"

    def predict(self, context, frames, *, action=None, seed=0):
        assert context.shape[1] == 1 and action.shape == (1, frames, 2)
        place = locate(((context[0].movedim(1, -1) + 1) * 127.5).round().byte().numpy())["avatar"]
        states = [np.concatenate([place[-1], FIXED]).astype(np.float32)]
        for move in action[0].numpy():
            states.append(advance(states[-1][None], move[None])[0])
        video = torch.from_numpy(render(np.stack(states[1:]), 64)).permute(0, 3, 1, 2).float() / 127.5 - 1
        return Imagined(video=video[None])


class Reflex(Guide):
    """Has an actor as well."""

    can_act = True

    def act(self, context, goal):
        return torch.zeros(len(context), 2)


def test_a_guide_arrives_through_the_door_and_imagines_what_happens():
    made = journey.travel(Guide(), SPEC, start=(0.2, 0.8), goal=(0.8, 0.8), steps=100)
    assert made.reached == len(made.actions) == len(made.real) - 1 == len(made.states) - 1
    assert np.linalg.norm(made.states[-1, :2] - (0.8, 0.8)) < 0.071
    assert (made.states[1:] == [advance(s[None], a[None])[0] for s, a in zip(made.states, made.actions)]).all()  # noqa: B905
    apart = np.linalg.norm(locate(made.real)["avatar"] - locate(made.imagined)["avatar"], axis=-1)
    assert apart.max() < 0.03
    np.testing.assert_array_equal(made.goal, render(np.array([[0.8, 0.8, *FIXED]], np.float32), 64)[0])


def test_every_plan_of_a_journey_begins_from_the_rest_of_the_last():
    class Walker(Guide):
        searches = ("one", "two")
        told: ClassVar[list] = []

        def plan(self, context, goal, *, seed=0, start=None, search=""):
            self.told.append((start, search))
            step = super().plan(context, goal, seed=seed)
            return replace(step, action=torch.cat([step.action, torch.full((1, 2, 2), len(self.told) / 10)], dim=1))

    journey.travel(Walker(), SPEC, start=(0.2, 0.8), goal=(0.8, 0.8), steps=3, search="two")
    assert Walker.told[0] == (None, "two")
    for number, (rest, search) in enumerate(Walker.told[1:], 1):
        torch.testing.assert_close(rest, torch.full((1, 3, 2), number / 10))
        assert search == "two"


def test_who_remembers_takes_as_many_steps_of_a_plan_as_in_the_exam():
    """Eight steps of plans of eight, five of each taken: two plans, and one memory for both."""

    class Keeper(Guide):
        searches = ("one",)
        handed: ClassVar[list] = []

        def new_memory(self, taken):
            return {"taken": taken}

        def plan(self, context, goal, *, seed=0, start=None, search="", memory=None):
            self.handed.append((memory, start))
            number = 0.1 * (len(self.handed) + torch.arange(8) / 100)
            return replace(super().plan(context, goal, seed=seed), action=number[None, :, None].expand(1, 8, 2))

    made = journey.travel(Keeper(), SPEC, start=(0.2, 0.2), goal=(0.8, 0.8), steps=8)
    (memory, nothing), (again, rest) = Keeper.handed
    assert memory is again and memory == {"taken": EXECUTED} and nothing is None
    taken = 0.1 * torch.tensor([1, 1.01, 1.02, 1.03, 1.04, 2, 2.01, 2.02])
    torch.testing.assert_close(torch.from_numpy(made.actions[:, 0]), taken)
    torch.testing.assert_close(rest[0, :3, 0], 0.1 * torch.tensor([1.05, 1.06, 1.07]))


def test_no_step_is_taken_past_the_goal():
    class Keeper(Guide):
        searches = ("one",)

        def new_memory(self, taken):
            return taken

        def plan(self, context, goal, *, seed=0, start=None, search="", memory=None):
            action = torch.tensor([1.0, 0.0]).expand(1, 8, 2)
            return replace(super().plan(context, goal, seed=seed), action=action)

    made = journey.travel(Keeper(), SPEC, start=(0.2, 0.8), goal=(0.3, 0.8))
    assert made.reached == len(made.actions) < EXECUTED


def test_without_time_the_goal_is_not_reached():
    made = journey.travel(Guide(), SPEC, start=(0.2, 0.8), goal=(0.8, 0.8), steps=5)
    assert (made.reached, len(made.actions)) == (None, 5)


def test_who_is_there_already_stays():
    made = journey.travel(Guide(), SPEC, start=(0.2, 0.8), goal=(0.21, 0.8))
    assert (made.reached, made.real.shape, made.imagined.shape) == (0, (1, 64, 64, 3), (1, 64, 64, 3))


def test_the_film_shows_both_ways_with_their_trails_and_the_goal():
    made = journey.travel(Guide(), SPEC, start=(0.2, 0.8), goal=(0.4, 0.8))
    frames = journey.film(made)
    assert frames.shape == (len(made.real), 64, 3 * 64 + 4, 3)
    np.testing.assert_array_equal(frames[0, :, :64], made.real[0])
    np.testing.assert_array_equal(frames[-1, :, -64:], made.goal)
    row, column = 12, 12  # where the agent began
    assert made.real[-1, row, column, 0] < 20 < frames[-1, row, column, 0]


def test_places_are_drawn_by_seed_and_walls_with_them():
    world = WORLDS["rooms"]
    first = journey.draw_places(world, None, None, 1, {"layout": "random"})
    again = journey.draw_places(world, None, None, 1, {"layout": "random"})
    np.testing.assert_array_equal(first, again)
    drawn = [journey.draw_places(world, None, None, seed, {"layout": "random"}) for seed in range(50)]
    assert all(world.is_free(state) for pair in drawn for state in pair)
    assert all((start[2:] == goal[2:]).all() for start, goal in drawn)
    assert len({float(start[2]) for start, _ in drawn}) == 50


@pytest.mark.parametrize("place", [(0.5, 0.8), (0.01, 0.5), (2.0, 0.5), (float("nan"), 0.5)])
def test_a_place_in_a_wall_or_outside_is_refused(place):
    with pytest.raises(ValueError, match=r"goal .* in a wall: x and y from 0.0925"):
        journey.travel(Guide(), SPEC, start=(0.2, 0.8), goal=place)
    with pytest.raises(ValueError, match="start"):
        journey.travel(Guide(), SPEC, start=place, goal=(0.2, 0.8))


def test_models_that_cannot_are_told_what_they_lack():
    with pytest.raises(ValueError, match="video from outside; goals are set"):
        journey.travel(Guide(), ClipSpec(height=64, width=64, fps=10))
    with pytest.raises(ValueError, match="does not plan"):
        journey.travel(object(), SPEC)
    with pytest.raises(ValueError, match="no actor"):
        journey.travel(Guide(), SPEC, mode="actor")
    with pytest.raises(ValueError, match="search 'cem': this model plans in one way"):
        journey.travel(Guide(), SPEC, start=(0.2, 0.8), goal=(0.4, 0.8), search="cem")
    with pytest.raises(ValueError, match="an actor does not search"):
        journey.travel(Reflex(), SPEC, mode="actor", search="cem")
    with pytest.raises(ValueError, match="0 steps"):
        journey.travel(Guide(), SPEC, steps=0)
