"""The jepa route: time of actions, open-loop roll-outs, plans, and the anti-collapse term at work."""

from dataclasses import replace

import pytest
import torch

from threeworlds.routes.jepa.model import Jepa, stages
from threeworlds.routes.jepa.parts import Encoder, KeypointLook, Predictor
from threeworlds.routes.jepa.recipes import PlannerConfig, WorldModelConfig, debug, rooms
from threeworlds.types import ActionSpec, ClipSpec

FIVE = ActionSpec(kind="discrete", size=5)
CONFIG = WorldModelConfig(channels=(8, 8, 8), state=8, hidden=32, layers=1)


@pytest.fixture
def jepa():
    torch.manual_seed(0)
    model = Jepa(debug(), ClipSpec(height=16, width=16, fps=10, action=FIVE)).eval()
    torch.nn.init.normal_(model.predictor.read_out.weight)
    return model


def test_an_action_changes_the_state_after_it_and_none_before(jepa):
    """Impulse: action[t] is what happens between frame t and frame t + 1."""
    context, actions = torch.rand(1, 2, 3, 16, 16), torch.zeros(1, 5, dtype=torch.long)
    struck = actions.clone()
    struck[0, 3] = 4
    change = (jepa.imagine(context, 4, actions).z - jepa.imagine(context, 4, struck).z).abs().amax((0, 2))
    assert (change > 0).tolist() == [False, False, True, True]
    past = actions.clone()
    past[0, 0] = 4  # between given frames: the state knows by now
    assert torch.equal(jepa.imagine(context, 4, actions).z, jepa.imagine(context, 4, past).z)


def test_a_state_sees_its_frame_and_the_one_before():
    encoder, video = Encoder(CONFIG, 16, 16).eval(), torch.rand(1, 5, 3, 16, 16)
    struck = video.clone()
    struck[0, 2] = 1 - struck[0, 2]
    change = (encoder(video) - encoder(struck)).abs().amax((0, 2))
    assert (change > 0).tolist() == [False, False, True, True, False]


HALVES = replace(CONFIG, look="keypoints", halves=True, gain=4.0)


@pytest.mark.parametrize("look", ["grid", "keypoints"])
def test_the_velocity_half_is_the_change_of_the_place_half(look):
    encoder, video = Encoder(replace(HALVES, look=look), 16, 16).eval(), torch.rand(2, 5, 3, 16, 16)
    place, velocity = encoder(video).chunk(2, dim=-1)
    torch.testing.assert_close(velocity[:, 1:], 4 * (place[:, 1:] - place[:, :-1]))
    assert (velocity[:, 0] == 0).all()
    torch.testing.assert_close(encoder(video[:, 3:])[:, :, :4], place[:, 3:])  # a place needs one frame alone


def test_a_keypoint_finds_a_bright_spot_wherever_it_is():
    """With maps of brightness, the place read off a spot moves by as much as the spot does."""
    look = KeypointLook(replace(HALVES, channels=(4, 4, 4), keypoints=1), 3, 4, 64, 64).eval()
    look.conv, look.maps = torch.nn.AvgPool2d(4), torch.nn.Conv2d(3, 1, 1)
    torch.nn.init.constant_(look.maps.weight, 10.0)
    look.head, look.features = torch.nn.Identity(), torch.nn.Parameter(torch.eye(3)[None])
    film = torch.zeros(2, 3, 64, 64)
    film[0, :, 20:24, 8:12], film[1, :, 32:36, 40:44] = 1, 1
    where, what = look(film).split([2, 3], dim=-1)
    torch.testing.assert_close(what, torch.ones(2, 3), atol=0.05, rtol=0)  # it sees white there
    torch.testing.assert_close(where[1] - where[0], torch.tensor([8.0, 3.0]) / 15 * 2, atol=1e-3, rtol=0)


def test_second_order_states_move_on_evenly_where_no_force_acts():
    predictor = Predictor(replace(HALVES, dynamics="second-order"), FIVE)  # starts without a force
    z = torch.randn(3, 8)
    ahead = predictor.roll_out(z, torch.zeros(3, 6, dtype=torch.long), 6)
    place, velocity = z.chunk(2, dim=-1)
    steps = torch.arange(1, 7)[:, None]
    torch.testing.assert_close(ahead[..., :4], place[:, None] + steps * velocity[:, None] / 4)
    torch.testing.assert_close(ahead[..., 4:], velocity[:, None].expand(-1, 6, -1))


def test_a_force_changes_the_velocity_and_that_the_place():
    predictor = Predictor(replace(HALVES, dynamics="second-order"), FIVE)
    torch.nn.init.constant_(predictor.read_out.bias, 0.5)
    after = predictor(torch.zeros(1, 8), torch.zeros(1, dtype=torch.long))
    torch.testing.assert_close(after, torch.tensor([[0.125] * 4 + [0.5] * 4]))


@pytest.mark.parametrize(("change", "message"), [({"stack": 1}, "halves"), ({"state": 7}, "even")])
def test_halves_need_two_frames_and_an_even_state(change, message):
    with pytest.raises(ValueError, match=message):
        Encoder(replace(HALVES, **change), 16, 16)


def test_second_order_needs_halves():
    with pytest.raises(ValueError, match="halves"):
        Predictor(replace(CONFIG, dynamics="second-order"), FIVE)


def test_surprise_is_the_error_of_the_state_expected(jepa):
    video, action = torch.rand(2, 4, 3, 16, 16), torch.randint(5, (2, 3))
    z = jepa.represent(video).z
    expected = jepa.imagine(video[:, :3], 1, action).z[:, 0]
    found = jepa.surprise(video, action)
    assert found[:, 0].isnan().all()
    torch.testing.assert_close(found[:, 3], (expected - z[:, 3]).square().mean(-1))


def test_a_roll_out_is_one_step_after_another():
    predictor = Predictor(CONFIG, FIVE)
    torch.nn.init.normal_(predictor.read_out.weight)
    z, actions = torch.randn(3, 8), torch.randint(5, (3, 4))
    step = z
    for t in range(4):
        step = predictor(step, actions[:, t])
    torch.testing.assert_close(predictor.roll_out(z, actions, 4)[:, -1], step)


def test_dropped_actions_are_the_null_action():
    predictor = Predictor(CONFIG, FIVE)
    torch.nn.init.normal_(predictor.read_out.weight)
    z, actions = torch.randn(2, 8), torch.tensor([1, 2])
    mixed = predictor(z, actions, torch.tensor([True, False]))
    torch.testing.assert_close(mixed[0], predictor(z, None)[0])
    torch.testing.assert_close(mixed[1], predictor(z, actions)[1])


def test_the_planner_finds_the_way_in_a_known_latent_world():
    """With z' = z + a, planning to a goal state is solved by walking straight at it."""
    plain = replace(rooms(), critic=None, actor=None, planner=PlannerConfig())
    model = Jepa(plain, ClipSpec(height=16, width=16, fps=10, action=ActionSpec(kind="continuous", size=2))).eval()

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()

        def forward(self, video):  # the mean of two colour channels is the place
            return video.mean((-1, -2))[..., :2] * 10

        def roll_out(self, z, actions, steps):
            return z[..., None, :] + actions.cumsum(-2)

    model.encoder = model.predictor = Plain()
    here, goal = torch.zeros(2, 1, 3, 16, 16), torch.zeros(2, 3, 16, 16)
    goal[0, 0], goal[1, 1] = 0.4, -0.4  # four steps to the right; four down
    plan = model.plan(here, goal, seed=0)
    assert plan.action.shape == (2, model.config.planner.horizon, 2)
    assert plan.action[0, 0, 0] > 0.5
    assert plan.action[1, 0, 1] < -0.5
    assert plan.action[0, :, 1].mean().abs() < 0.3


def test_bad_requests_are_refused_with_what_is_needed(jepa, video_spec):
    context = torch.rand(1, 2, 3, 16, 16)
    with pytest.raises(ValueError, match=r"3 actions.*needs 4"):
        jepa.imagine(context, 3, torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="continuous actions; these are discrete"):
        jepa.plan(context, context[:, 0])
    outside = Jepa(debug(), video_spec).eval()
    assert outside.control == "none"
    with pytest.raises(ValueError, match="without actions"):
        outside.predict(torch.rand(1, 2, 3, 16, 32), 1, action=torch.zeros(1, 2, dtype=torch.long))


def test_the_decoder_is_a_helper_and_leaves_the_state_alone(jepa):
    world, decoder = stages(jepa)
    assert decoder.helper
    assert not world.helper
    trained = {id(p) for p in decoder.module.parameters()}
    assert not trained & {id(p) for p in world.module.parameters()}
