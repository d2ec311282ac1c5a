"""A session over worlds whose frames say what was pressed: no model needed."""

import gymnasium as gym
import numpy as np
import pytest

from threeworlds.score.code_names import name_codes
from threeworlds.studio.session import Session, Start
from threeworlds.types import ClipSpec

SPEC = ClipSpec(height=8, width=8, fps=10)
NAMES = name_codes(np.array([0, 1, 1, 2]), np.array([1, 0, 0, 2]), 4, ("stay", "left", "right"))


class Counter(gym.Env):
    """Every pixel is 10 (steps) + last action."""

    def __init__(self, actions):
        self.action_space = gym.spaces.Discrete(actions)

    def reset(self, *, seed=None, options=None):
        self.options, self.steps = options, 0
        return np.zeros((8, 8, 3), np.uint8), {}

    def step(self, action):
        self.steps += 1
        return np.full((8, 8, 3), 10 * self.steps + action, np.uint8), 0.0, False, False, {}


@pytest.fixture
def session():
    starts = [Start(video=np.zeros((4, 8, 8, 3), np.uint8), state=np.zeros(2, np.float32))]
    return Session(Counter(5), starts, truth=Counter(3), names=NAMES)


def test_dream_takes_the_code_and_truth_the_action_it_stands_for(session):
    shown = session.step(0)  # code 0 is "left", action 1
    assert (shown.dream[0, 0, 0], shown.truth[0, 0, 0], shown.step, shown.code) == (10, 11, 1, 0)
    assert session.step(1).truth[0, 0, 0] == 20  # code 1 is "stay"
    assert session.step(3).truth[0, 0, 0] == 30  # never labelled: stay
    shown = session.step(session.null)
    assert (shown.dream[0, 0, 0], shown.truth[0, 0, 0]) == (44, 40)


def test_restart_begins_again_and_another_start_joins_the_round(session):
    session.step(0)
    assert session.restart().step == 0
    shown = session.begin_from(np.full((8, 8, 3), 9, np.uint8))
    assert shown.truth is None  # no state to simulate from
    assert session.dream.options["video"].shape == (1, 8, 8, 3)
    assert session.step(0).truth is None
    assert session.next_start().truth is not None
    assert session.dream.options["video"].shape == (4, 8, 8, 3)


def test_a_recording_holds_this_frame_and_all_that_follow(session):
    session.step(0)
    session.record()
    session.step(1)
    session.step(2)
    film = session.stop_recording()
    assert film[:, 0, 0, 0].tolist() == [10, 21, 32]
    assert film.shape == (3, 8, 16, 3)  # dream and truth
    assert session.stop_recording() is None


def test_a_dream_without_a_start_is_refused():
    with pytest.raises(ValueError, match="first picture"):
        Session(Counter(5), [])
