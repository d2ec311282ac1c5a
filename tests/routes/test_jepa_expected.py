"""Errors that are expected: what is hard to foretell surprises less, and all else trains as without."""

from dataclasses import replace

import pytest
import torch

from threeworlds.routes.jepa.expected import ExpectedError, ExpectedObjective
from threeworlds.routes.jepa.model import Jepa, stages
from threeworlds.routes.jepa.recipes import ExpectedConfig, PracticeConfig, debug
from threeworlds.types import ActionSpec, Batch
from threeworlds.worlds import WORLDS

ACTION = ActionSpec(kind="discrete", size=3, names=("a", "b", "c"))
NOISE = {True: 1.0, False: 0.1}  # of the step to come, where the first dimension is positive and where it is not


class Still(torch.nn.Module):
    """z' = z, whatever is done."""

    def forward(self, z, action):
        return z


def noisy(seed, n=256, size=4):
    """States that stay, but for noise whose width the first dimension tells."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 1, size, generator=generator)
    width = torch.where(z[..., :1] > 0, NOISE[True], NOISE[False])
    after = z + width * torch.randn(n, 1, size, generator=generator)
    return Batch(cached={"z": torch.cat([z, after], dim=1)}, action=torch.randint(3, (n, 1), generator=generator))


@pytest.fixture
def learnt(fit):
    torch.manual_seed(0)
    objective = ExpectedObjective(ExpectedError(ExpectedConfig(hidden=32), 4, ACTION), Still())
    fit(objective, noisy, 300, learning_rate=1e-2)
    return objective


@pytest.mark.parametrize("wide", [True, False])
def test_the_variance_is_learnt_that_the_noise_has(learnt, wide):
    z = noisy(1000).cached["z"][:, 0]
    z = z[(z[:, 0] > 0.3) if wide else (z[:, 0] < -0.3)]
    expected = learnt.expected(z, z, torch.zeros(len(z), dtype=torch.long)).exp().mean().item()
    assert expected == pytest.approx(NOISE[wide] ** 2, rel=0.3)


def test_the_loss_is_that_of_a_gaussian(learnt):
    batch = noisy(7)
    z, after = batch.cached["z"].unbind(1)
    variance = learnt.expected(z, z, batch.action[:, 0]).exp()[:, None]
    nats = torch.nn.GaussianNLLLoss()(z, after, variance.expand_as(z))
    assert learnt(batch)[0].item() == pytest.approx(nats.item(), rel=1e-4)


def test_it_is_told_the_state_what_is_predicted_and_the_action(learnt):
    z, other, action = *torch.randn(2, 8, 4), torch.zeros(8, dtype=torch.long)
    told = learnt.expected(z, z, action)
    for changed in ((other, z, action), (z, other, action), (z, z, action + 1)):
        assert (learnt.expected(*changed) - told).abs().max() > 1e-3


def tiny(**parts):
    torch.manual_seed(0)
    return Jepa(replace(debug(), **parts), WORLDS["arena"].spec(16)).eval()


def test_surprise_is_the_error_over_the_root_of_the_expected_one():
    model, plain = tiny(expected=ExpectedConfig(hidden=8)), tiny()
    video, action = torch.rand(2, 5, 3, 16, 16) * 2 - 1, torch.randint(5, (2, 4))
    z = model.represent(video).z
    expected = model.expected(z[:, :-1], model.predictor(z[:, :-1], action), action).exp()
    error = plain.surprise(video, action)
    assert error[:, 1:].std() > 0  # else the next line would hold of any two constants
    torch.testing.assert_close(model.surprise(video, action)[:, 1:], error[:, 1:] / expected.sqrt(), rtol=1e-4, atol=0)
    assert model.surprise(video, action)[:, 0].isnan().all()


def test_it_is_a_part_on_top():
    model = tiny(expected=ExpectedConfig(), practice=PracticeConfig())
    parts = stages(model)
    assert [stage.name for stage in parts] == ["world", "practice", "expected", "decoder"]
    assert sum(stage.share for stage in parts if not stage.helper) == pytest.approx(1)
    assert {id(p) for p in parts[2].module.parameters()} == {id(p) for p in model.expected.parameters()}
    assert [stage.cache is None for stage in parts[1:]] == [False, True, True]  # states are made once


def test_the_world_begins_as_it_does_without():
    firsts = []
    for parts in ({}, {"expected": ExpectedConfig()}):
        world = stages(tiny(**parts))[0].module  # makes weights of its own, after the model's
        firsts.append(world.state_dict())
    torch.testing.assert_close(firsts[0], firsts[1], rtol=0, atol=0)


def test_it_comes_first_where_there_is_no_practice():
    _, expected, _ = stages(tiny(expected=ExpectedConfig()))
    assert expected.name == "expected" and expected.cache is not None and "action" in expected.columns
