"""Plans read off films: from a perfect dream and from perfect films, and from none."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from planted import Aimless, seat

from threeworlds.score import planning
from threeworlds.score.clips import generate
from threeworlds.score.exam import build_exam, rows_of
from threeworlds.score.film_plans import (
    HELD,
    code_plans,
    film_planner,
    fit_inverse,
    labelled,
    mean_actions,
    picture_distance,
)
from threeworlds.score.planning import SETTINGS
from threeworlds.types import Imagined
from threeworlds.worlds.rooms import FIXED

COMMANDS = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
SIZE = 64


def place(world, frames):
    """Where the agent is in pictures [n, c, h, w] -> states [n, s]."""
    pixels = ((frames.movedim(1, -1) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    where = next(iter(world.locate(pixels).values()))
    return np.concatenate([where, np.tile(np.array(FIXED, np.float32), (len(where), 1))], axis=1).astype(np.float32)


class Dreamer:
    """Genie as it should be: four codes, each a direction, in a dream that is the simulator."""

    n_codes, control = 4, "code"

    def __init__(self, world):
        self.world = world

    def infer_codes(self, video):
        states = [place(self.world, frame) for frame in video.unbind(1)]
        moved = torch.from_numpy(np.stack([b - a for a, b in pairwise(states)], 1)[..., :2])
        return (moved @ COMMANDS.T).argmax(-1)

    def predict(self, context, frames, *, action=None, seed=0):
        states, made = place(self.world, context[:, -1]), []
        for code in action[:, context.shape[1] - 1 :].unbind(1):
            states = self.world.advance(states, COMMANDS[code].numpy())
            made.append(planning.as_video(self.world.render(states, SIZE)))
        return Imagined(video=torch.stack(made, 1), seconds=0.0)


class Painter:
    """Sora as it should be: it draws the expert's way to the goal."""

    control = "none"

    def __init__(self, world):
        self.world = world

    def connect(self, context, goal, *, seed=0):
        states, goals, made = place(self.world, context[:, -1]), place(self.world, goal), []
        for _ in range(6):
            moves = np.stack([self.world.expert(s, g[:2]) for s, g in zip(states, goals, strict=True)])
            states = self.world.advance(states, moves.astype(np.float32))
            made.append(planning.as_video(self.world.render(states, SIZE)))
        return Imagined(video=torch.stack(made, 1), seconds=0.0)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """Enough training windows for the labels that are asked for."""
    store = generate("rooms", tmp_path_factory.mktemp("rooms") / "clips", episodes=200, seed=0, workers=1)
    return build_exam(store, items=20, seed=0)


def success(rooms, model):
    tasks = planning.draw_tasks(rooms, SETTINGS[0])
    decide = film_planner(seat("it", model), rooms)
    agent = planning.in_turn(planning._seeing(rooms, decide))
    return planning.attempt(rooms.world, tasks, 50, agent)


def test_a_perfect_dream_is_searched_to_the_goal(rooms):
    tasks = planning.draw_tasks(rooms, SETTINGS[0])
    floor = planning.attempt(rooms.world, tasks, 50, planning._floors(rooms)["random policy"])
    assert success(rooms, Dreamer(rooms.world))[0].mean() > floor[0].mean() + 0.3


def test_what_draws_nothing_is_no_planner(rooms):
    assert film_planner(seat("it", Aimless()), rooms) is None


def test_every_route_has_a_row(rooms):
    entrants = [seat("painter", Painter(rooms.world)), seat("aimless", Aimless()), seat("none", SimpleNamespace())]
    (each,) = (m for m in planning.ask(rooms, entrants).measured if m.metric == "success_25_50_each")
    rows = {row.route: row for row in rows_of(each, rooms, entrants)}
    assert rows["painter"].value > 0.8  # actions are read off perfect films
    assert rows["painter"].floor < rows["painter"].value <= rows["painter"].ceiling
    assert rows["painter"].low < rows["painter"].value
    assert rows["none"].status == "not_applicable"


def test_a_code_means_the_mean_action_of_its_steps(rooms):
    class Halves:
        n_codes = 3

        def infer_codes(self, video):
            return (labelled(rooms)[1][..., 0] > 0).long()

    meaning = mean_actions(seat("it", Halves()), rooms)
    action = labelled(rooms)[1].flatten(0, 1)
    torch.testing.assert_close(meaning[1], action[action[:, 0] > 0].mean(0))
    assert meaning[2].tolist() == [0, 0]


def test_the_inverse_dynamics_know_which_way_things_went(rooms):
    video, action = labelled(rooms)
    read = fit_inverse(rooms)
    with torch.no_grad():
        error = (read(video[:, :-1].flatten(0, 1), video[:, 1:].flatten(0, 1)) - action.flatten(0, 1)).square().mean()
    assert error < 0.3 * action.var()


def test_every_code_is_held_once_and_none_is_left_out():
    plans = code_plans(8)
    assert plans.shape == (8, HELD)
    assert {tuple(row.tolist()) for row in plans} >= {(code,) * HELD for code in range(8)}
    assert code_plans(40).shape[0] == 40


@pytest.mark.parametrize("far", [4, 8, 16])
def test_a_body_that_is_nearer_to_its_place_is_less_far_however_small_it_is(far):
    def dot(x):
        frame = -torch.ones(3, 32, 32)
        frame[:, 15:17, x : x + 2] = 1
        return frame

    away = picture_distance(torch.stack([dot(5), dot(5 + far // 2), dot(5 + far)]), dot(5)[None].expand(3, -1, -1, -1))
    assert away[0] == 0
    assert away[0] < away[1] <= away[2]
