"""The jepa route as a world to be played: what is shown is what it predicts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RenderCollection

from threeworlds.routes.jepa.environment import PictureWorld
from threeworlds.routes.jepa.model import Jepa
from threeworlds.routes.jepa.recipes import debug
from threeworlds.score.code_names import own_names
from threeworlds.types import ActionSpec, Dreams
from threeworlds.worlds import WORLDS

SPEC = WORLDS["arena"].spec(16)
CONTINUOUS, NONE = ActionSpec(kind="continuous", size=2), ActionSpec(kind="none", size=0)


def made(action=SPEC.action):
    """A model whose predictor does something: at first it predicts no change."""
    torch.manual_seed(0)
    model = Jepa(debug(), replace(SPEC, action=action)).eval()
    torch.nn.init.normal_(model.predictor.read_out.weight, std=0.3)
    return model


def film(frames=3):
    return np.random.default_rng(0).integers(0, 256, (frames, 16, 16, 3), dtype=np.uint8)


def as_video(frames):
    return torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float() / 127.5 - 1


def as_frames(video):
    return ((video[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("action", [SPEC.action, CONTINUOUS, NONE])
def test_it_is_an_environment(action):
    model = made(action)
    assert isinstance(model, Dreams)
    check_env(model.as_world(refinements=3), skip_render_check=True)


def test_what_is_played_is_what_is_predicted():
    model, given, commands = made(), film(), [1, 4, 4, 2, 0, 3]
    world = model.as_world()
    first, _ = world.reset(options={"video": given})
    np.testing.assert_array_equal(first, given[-1])
    played = np.stack([world.step(command)[0] for command in commands])
    told = torch.tensor([[0, 0, *commands]])  # the first two led through the given frames
    np.testing.assert_array_equal(played, as_frames(model.predict(as_video(given), 6, action=told).video))
    assert (played[0] != played[-1]).any()
    np.testing.assert_array_equal(world.render(), played[-1])


def test_the_last_action_tells_nothing():
    model, given = made(), film()
    world = model.as_world()
    world.reset(options={"video": given})
    untold = [world.step(world.action_space.n - 1)[0] for _ in range(3)]
    np.testing.assert_array_equal(untold, as_frames(model.predict(as_video(given), 3).video))
    world.reset(options={"video": given})
    assert (world.step(0)[0] != untold[0]).any()  # to stay is something else


def test_it_is_filmed_as_environments_are():
    filmed = RenderCollection(PictureWorld(made(), render_mode="rgb_array"))
    seen = [filmed.reset(options={"video": film()})[0], filmed.step(1)[0]]
    np.testing.assert_array_equal(filmed.render(), seen)


def test_a_picture_begins_it_and_a_reset_begins_again():
    world, picture = made().as_world(), film()[0]
    frames = []
    for _ in range(2):
        world.reset(options={"image": picture})
        frames.append(world.step(2)[0])
    np.testing.assert_array_equal(*frames)
    grey, _ = world.reset()
    assert (grey == 127).all()


def test_what_is_wrong_is_said():
    world = PictureWorld(made())
    with pytest.raises(ValueError, match="step before reset"):
        world.step(0)
    for options, told in (
        ({"image": film()}, "'image'"),
        ({"video": film()[:, :8]}, "shape"),
        ({"goal": film()[0]}, "allowed: one of image and video"),
        ({"image": film()[0], "video": film()}, "allowed: one of"),
    ):
        with pytest.raises(ValueError, match=told):
            world.reset(options=options)
    world.reset(options={"video": film()})
    with pytest.raises(ValueError, match=r"action 6 is not in Discrete\(6\)"):
        world.step(6)


def test_actions_keep_their_own_names():
    names = own_names(SPEC)
    assert [names.name(code) for code in range(6)] == ["stay", "left", "right", "up", "down", "none"]
    assert names.code_of_action == (0, 1, 2, 3, 4)
