"""Guards against collapse: each keeps the states of a toy film apart, and the monitors show when one is missing."""

from dataclasses import replace

import pytest
import torch

from threeworlds.nn.losses import moving_weight
from threeworlds.nn.regularize import covariance, effective_rank, sigreg, variance_hinge
from threeworlds.routes.jepa.anticollapse import GUARDS
from threeworlds.routes.jepa.objective import OBJECTIVES, monitors
from threeworlds.routes.jepa.parts import Encoder, Predictor
from threeworlds.routes.jepa.recipes import WorldModelConfig
from threeworlds.types import ActionSpec, Batch

FIVE = ActionSpec(kind="discrete", size=5)
CONFIG = WorldModelConfig(
    channels=(8, 8, 8), state=8, hidden=32, layers=1, inverse=0.0, directions=16, guard_weight=0.5
)
B = 64


def film(seed=0):
    """Frames of one colour each, all different: nothing can be predicted, so a constant state is what pays best."""
    flat = torch.rand(B, 4, 3, 1, 1, generator=torch.Generator().manual_seed(seed))
    return Batch(video=flat.expand(-1, -1, -1, 16, 16) * 2 - 1, action=torch.zeros(B, 3, dtype=torch.long))


def make(config):
    torch.manual_seed(0)
    parts = Encoder(config, 16, 16), Predictor(config, FIVE)
    return OBJECTIVES[config.architecture](config, *parts, FIVE, (16, 16))


def trained(**changes):
    """Monitors, and the spread of the states, after sixty steps."""
    objective = make(replace(CONFIG, **changes))
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(60):
        loss, metrics = objective(film())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    z = objective.encoder(film().video)[:, 1:].flatten(0, 1)
    return {name: value.item() for name, value in metrics.items()} | {"std": z.std(0).mean().item()}


@pytest.fixture(scope="module")
def bare():
    return trained(guard="none")


def test_without_a_guard_the_monitors_show_the_collapse(bare):
    """The two that are said to; noise of eight dimensions is left of the states."""
    assert bare["std"] < 0.15
    assert bare["sigreg"] > 0.2 * B  # of 0.4 b, a point
    assert bare["rank"] < 1.1


@pytest.mark.parametrize("guard", ["sigreg", "vicreg", "pldm", "reconstruction"])
def test_with_a_guard_they_do_not(guard, bare):
    kept = trained(guard=guard, guard_weight=2.0 if guard == "reconstruction" else 0.5)
    assert kept["std"] > 3 * bare["std"]
    assert guard != "sigreg" or (kept["sigreg"] < bare["sigreg"] / 2 and kept["rank"] > 2)


def test_the_joint_architecture_needs_its_guard_too():
    bare, kept = trained(architecture="joint", guard="none"), trained(architecture="joint")
    assert bare["std"] < 0.15 < 0.3 < kept["std"]
    assert kept["over_copy"] == pytest.approx(1)  # it predicts no change


def test_the_generative_architecture_needs_none():
    assert trained(architecture="generative", guard="none")["std"] > 0.3


@pytest.mark.parametrize("architecture", OBJECTIVES)
@pytest.mark.parametrize("guard", GUARDS)
def test_every_choice_takes_a_step_and_trains_what_it_says(architecture, guard):
    objective = make(replace(CONFIG, architecture=architecture, guard=guard))
    loss, metrics = objective(film())
    loss.backward()
    assert all(value.isfinite() for value in metrics.values())
    assert {"sigreg", "rank", "speed", "over_copy", "shuffled"} <= metrics.keys()
    assert all(p.grad is not None for p in objective.encoder.parameters())
    assert all((p.grad is None) == (architecture == "joint") for p in objective.predictor.read_out.parameters())


def test_a_moving_average_target_follows_slowly_and_is_no_part_of_the_gradient():
    objective = make(replace(CONFIG, guard="ema"))
    before = objective.guard.target.look.head[-1].weight.clone()
    with torch.no_grad():
        objective.encoder.look.head[-1].weight.add_(1.0)
    aimed = objective.guard.targets(torch.zeros(B, 3, 8), film().video)
    torch.testing.assert_close(objective.guard.target.look.head[-1].weight, before + 0.01)
    assert aimed.shape == (B, 3, 8)
    assert not aimed.requires_grad
    objective.eval()
    objective.guard.targets(torch.zeros(B, 3, 8), film().video)
    torch.testing.assert_close(objective.guard.target.look.head[-1].weight, before + 0.01)


# ------------------------------------------------------------------------------------ terms, by hand


def test_variance_hinge_and_covariance_by_hand():
    z = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]) * 0.5
    assert variance_hinge(z).item() == pytest.approx(1 - (0.5 + 1e-4) ** 0.5, abs=1e-6)
    assert covariance(z).item() == pytest.approx(2 * 0.5**2 / 2)
    assert variance_hinge(3 * z).item() == 0


def test_what_each_guard_adds_is_its_formula():
    torch.manual_seed(3)
    z, video = 0.3 * torch.randn(B, 3, 8), film().video[:, 1:]
    guards = {name: make(replace(CONFIG, guard=name)).guard for name in GUARDS}
    states = z.transpose(0, 1)
    hinge, cov, slow = variance_hinge(states), covariance(states), z.diff(dim=1).square().mean()
    torch.testing.assert_close(guards["vicreg"].penalty(z, video), hinge + cov / 25)
    torch.testing.assert_close(guards["pldm"].penalty(z, video), hinge + cov / 2 + 0.75 * slow)
    drawn = (guards["reconstruction"].decoder(z) - video).square()
    torch.testing.assert_close(guards["reconstruction"].penalty(z, video), (moving_weight(video, 4.0) * drawn).mean())
    torch.manual_seed(4)
    expected = sigreg(states, 16)
    torch.manual_seed(4)
    torch.testing.assert_close(guards["sigreg"].penalty(z, video), expected)
    assert guards["none"].penalty(z, video) == guards["ema"].penalty(z, video) == 0


# ----------------------------------------------------------------------------------------- monitors


def test_monitors_on_states_whose_numbers_are_known():
    """z' = z + action in every feature: the action says all, and another clip's says nothing."""
    torch.manual_seed(0)
    action = torch.randint(5, (512, 3))
    start = 10 * torch.randn(512, 1, 4)
    z = torch.cat([start, start + action.cumsum(1)[..., None]], dim=1)

    class Adds(torch.nn.Module):
        def forward(self, z, action, drop=None):
            return z + action[..., None]

    found = {name: value.item() for name, value in monitors(z, Adds(), action).items()}
    assert found["over_copy"] < 1e-6
    assert found["shuffled"] > 1e6
    assert found["rank"] == pytest.approx(4, abs=0.05)
    assert found["speed"] == pytest.approx(6**0.5 / 10, rel=0.2)  # the mean square of 0 ... 4 is 6
    still = {name: value.item() for name, value in monitors(torch.ones(64, 4, 4), Adds(), action[:64] * 0).items()}
    assert still["rank"] == pytest.approx(1, abs=0.1)
    assert still["speed"] == 0
    assert still["sigreg"] > 10
    point = 1 + 1e-3 * torch.randn(64, 4, 4)  # as far as it differs, it does so in all four directions
    assert effective_rank(point[:, 0]) > 3.5
    assert monitors(point, Adds(), action[:64] * 0)["rank"] == pytest.approx(1, abs=1e-3)
