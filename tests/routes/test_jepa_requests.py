"""What cannot be asked of a jepa is refused in one way, whichever method is asked."""

from dataclasses import replace
from math import nan

import numpy as np
import pytest
import torch

from threeworlds.routes.jepa.environment import LatentWorld
from threeworlds.routes.jepa.masked import MaskedJepa
from threeworlds.routes.jepa.model import Jepa
from threeworlds.routes.jepa.recipes import MaskedConfig, RewardConfig, debug
from threeworlds.types import ActionSpec, ClipSpec

SPEC = ClipSpec(height=16, width=16, fps=10, action=ActionSpec(kind="continuous", size=2))
FIVE = replace(SPEC, action=ActionSpec(kind="discrete", size=5))


def make(spec):
    """A look of keypoints takes frames of any size, so nothing but the check stands in their way."""
    torch.manual_seed(0)
    world = replace(debug().world, look="keypoints", keypoints=4)
    return Jepa(replace(debug(), world=world, reward=RewardConfig(hidden=8)), spec).eval()


@pytest.fixture(scope="module")
def free():
    return make(SPEC)


@pytest.fixture(scope="module")
def five():
    return make(FIVE)


def dream(model):
    env = LatentWorld(model)
    env.reset(options={"video": np.zeros((2, 16, 16, 3), np.uint8)})
    return env


def film(*shape):
    return torch.zeros(*(shape or (2, 4)), 3, 16, 16)


TAKES_ACTIONS = {  # model, actions of two clips [2, 3(, a)]
    "predict": lambda model, action: model.predict(film(2, 2), 2, action=action),
    "imagine": lambda model, action: model.imagine(film(2, 2), 2, action),
    "surprise": lambda model, action: model.surprise(film(2, 4), action),
    "roll_out": lambda model, action: dream(model).roll_out(action),
}
every_method = pytest.mark.parametrize("name", TAKES_ACTIONS)


@every_method
@pytest.mark.parametrize(("action", "given"), [(5, "holds 5"), (-1, "holds -1")])
def test_an_action_outside_the_discrete_set_is_refused(five, name, action, given):
    actions = torch.tensor([[0, 4, 2], [1, action, 3]])
    with pytest.raises(ValueError, match=rf"^actions? {given}: needs whole numbers from 0 to 4$"):
        TAKES_ACTIONS[name](five, actions)
    TAKES_ACTIONS[name](five, actions.clamp(0, 4))


@every_method
@pytest.mark.parametrize(("action", "given"), [(1.5, "1.5"), (-1.01, "-1.01"), (nan, "nan"), (float("inf"), "inf")])
def test_a_continuous_action_beyond_its_bounds_is_refused(free, name, action, given):
    actions = torch.zeros(2, 3, 2)
    actions[0, 0, 0], actions[1, 2, 1] = 1.0, action
    with pytest.raises(ValueError, match=rf"^actions? holds {given}: needs float in \[-1, 1\]$"):
        TAKES_ACTIONS[name](free, actions)
    TAKES_ACTIONS[name](free, actions.nan_to_num(0).clamp(-1, 1))


@every_method
def test_actions_of_another_shape_or_kind_are_refused(free, five, name):
    for actions, given in (
        (torch.zeros(2, 3, 3), "(2, 3, 3) of float32"),
        (torch.zeros(2, 3), "(2, 3) of float32"),
        (torch.zeros(6), "(6,) of float32"),
        (torch.zeros(2, 3, 2, dtype=torch.long), "(2, 3, 2) of int64"),
    ):
        with pytest.raises(ValueError, match="of float in") as error:
            TAKES_ACTIONS[name](free, actions)
        assert f"{given}: needs (" in str(error.value)
    for actions in (torch.zeros(2, 3, 1, dtype=torch.long), torch.zeros(2, 3), torch.zeros(6, dtype=torch.long)):
        with pytest.raises(ValueError, match="of whole numbers from 0 to 4"):
            TAKES_ACTIONS[name](five, actions)


@pytest.mark.parametrize("name", ["predict", "imagine", "surprise"])
def test_actions_of_another_number_of_clips_are_refused(free, name):
    with pytest.raises(ValueError, match=r"action \(1, 3, 2\) of float32: needs \(2, 3, 2\)"):
        TAKES_ACTIONS[name](free, torch.zeros(1, 3, 2))


TAKES_FRAMES = {
    "represent": lambda model, video: model.represent(video),
    "reconstruct": lambda model, video: model.reconstruct(video),
    "surprise": lambda model, video: model.surprise(video),
    "predict": lambda model, video: model.predict(video, 1),
    "imagine": lambda model, video: model.imagine(video, 1),
    "earn": lambda model, video: model.earn(video),
    "plan": lambda model, video: model.plan(video, film(2)),
    "goal of a plan": lambda model, video: model.plan(film(2, 1), video[:, 0]),
    "goal": lambda model, video: model.goal_state(video[:, 0]),
}


@pytest.mark.parametrize("name", TAKES_FRAMES)
def test_frames_of_another_size_are_refused(free, name):
    for video, given in (
        (torch.zeros(2, 4, 3, 32, 32), "3, 32, 32) of float32"),
        (torch.zeros(2, 4, 1, 16, 16), "1, 16, 16) of float32"),
        (torch.zeros(2, 4, 3, 16, 16, dtype=torch.uint8), "3, 16, 16) of uint8"),
    ):
        with pytest.raises(ValueError, match=r"needs \[b.*, with frames of 16 x 16 pixels") as error:
            TAKES_FRAMES[name](free, video)
        assert given in str(error.value)
    TAKES_FRAMES[name](free, film())


def test_a_film_without_a_frame_is_refused(free):
    with pytest.raises(ValueError, match=r"context \(2, 0, 3, 16, 16\)"):
        free.predict(film(2, 0), 1)


def test_a_masked_model_refuses_frames_of_another_size_too():
    model = MaskedJepa(MaskedConfig(width=16, heads=2, layers=1, predictor_width=8), SPEC).eval()
    model.represent(film())
    with pytest.raises(ValueError, match="frames of 16 x 16 pixels"):
        model.represent(torch.zeros(2, 4, 3, 32, 32))
