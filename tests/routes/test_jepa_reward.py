"""Reward, value and actor of the jepa route, in a world whose law is known: the state is the place on a plane."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from threeworlds.data import ClipStore, ClipWriter
from threeworlds.routes.jepa.model import Jepa, stages
from threeworlds.routes.jepa.parts import ActionEmbedding
from threeworlds.routes.jepa.recipes import RewardConfig, debug
from threeworlds.routes.jepa.reward import RewardAgent, RewardObjective, lambda_returns, payment_of
from threeworlds.routes.jepa.route import ROUTE
from threeworlds.train import Budget, load_model, train_route
from threeworlds.types import ActionSpec, Batch, Earns
from threeworlds.worlds import WORLDS, collect

CONFIG = RewardConfig(hidden=64, layers=1, frames=6, batch_size=8)
MOVES = torch.tensor([(0, 0), (-1, 0), (1, 0), (0, 1), (0, -1)]) * 0.2
SPECS = {
    "discrete": ActionSpec(kind="discrete", size=5, names=("stay", "left", "right", "up", "down")),
    "continuous": ActionSpec(kind="continuous", size=2, names=("right", "up")),
}


class Free(torch.nn.Module):
    """z' = z + the move; an action may be an index, a mixture of them, or a move itself."""

    def __init__(self, discrete):
        super().__init__()
        self.discrete = discrete

    def forward(self, z, action, drop=None):
        if not self.discrete:
            return z + 0.2 * action
        return z + (action @ MOVES if action.is_floating_point() else MOVES[action])


def at_home(states):
    """1 near the origin, falling off smoothly."""
    return np.exp(-2 * (states**2).sum(-1)).astype(np.float32)


def places(step):
    z = torch.randn(8, 6, 2, generator=torch.Generator().manual_seed(step))
    return Batch(state=z, cached={"z": z})


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_the_actor_goes_where_it_is_paid_and_the_heads_know_how_much(kind, fit):
    torch.manual_seed(0)
    agent, predictor = RewardAgent(CONFIG, 2, SPECS[kind]), Free(kind == "discrete")
    objective = RewardObjective(CONFIG, agent, predictor, at_home)
    fit(objective, places, 250)
    start = torch.tensor([[1.5, 0.0], [0.0, -1.5], [-1.0, 1.0]])
    paid = torch.sigmoid(agent.reward(start)[:, 0])
    np.testing.assert_allclose(paid.detach(), at_home(start.numpy()), atol=0.1)
    with torch.no_grad():
        z = start
        for _ in range(20):
            z = predictor(z, agent.act(z))
        assert (z.norm(dim=-1) < 0.3).all()
        far, near = agent.value(torch.tensor([[2.0, 2.0], [0.0, 0.0]]))[:, 0]
    assert near > far + 0.1


def test_the_world_model_does_not_learn_from_the_reward():
    spec = WORLDS["arena"].spec(16)
    model = Jepa(replace(debug(), reward=CONFIG), spec)
    objective = RewardObjective(CONFIG, model.earner, model.predictor, lambda states: states[..., 0])
    batch = Batch(state=torch.rand(2, 3, 5), cached={"z": torch.randn(2, 3, 16)})
    objective(batch)[0].backward()
    assert all(weight.grad is None for weight in model.predictor.parameters())
    assert all(weight.grad is None for weight in objective.slow.parameters())
    assert all(weight.grad is not None for weight in model.earner.parameters())
    assert not {id(w) for w in objective.parameters()} & {id(w) for w in model.predictor.parameters()}


def test_returns_are_those_of_the_definition():
    torch.manual_seed(0)
    r, v, d = torch.rand(4, 3), torch.rand(4, 3), 0.9
    one_step = lambda_returns(r, v, d, 0.0)
    torch.testing.assert_close(one_step, (1 - d) * r + d * v)
    whole = lambda_returns(r, v, d, 1.0)
    torch.testing.assert_close(whole[0], (1 - d) * sum(d**k * r[k] for k in range(4)) + d**4 * v[3])
    torch.testing.assert_close(lambda_returns(torch.ones(5, 1), torch.ones(5, 1), d, 0.95), torch.ones(5, 1))


def test_a_one_hot_action_is_that_action():
    embed = ActionEmbedding(SPECS["discrete"], 7)
    hot = torch.eye(5)
    torch.testing.assert_close(embed(hot, hot), embed(torch.arange(5), hot))


def test_where_nothing_is_paid_it_is_said():
    with pytest.raises(ValueError, match="no task with a reward in rooms; worlds with one: arena"):
        payment_of(WORLDS["rooms"].spec())
    with pytest.raises(ValueError, match="clips have none"):
        RewardAgent(CONFIG, 2, ActionSpec(kind="none", size=0))
    model = Jepa(debug(), WORLDS["arena"].spec(16))
    assert isinstance(model, Earns) and not model.can_earn
    with pytest.raises(ValueError, match="recipe that has one, `reward`"):
        model.earn(torch.zeros(1, 2, 3, 16, 16))


def test_it_is_trained_in_its_turn_and_kept(tmp_path):
    config = replace(debug(), reward=CONFIG)
    with ClipWriter(tmp_path / "clips", WORLDS["arena"].spec(16)) as writer:
        for clip in collect("arena", episodes=30, seed=0, size=16, steps=12, shapes="1"):
            writer.add(clip)
    store = ClipStore.open(tmp_path / "clips")
    assert [stage.name for stage in stages(Jepa(config, store.spec))] == ["world", "reward", "decoder"]
    budget = Budget(kind="steps", amount=8)
    run = train_route(
        ROUTE, recipe="reward", config=config, store=store, budget=budget, out=tmp_path / "run", progress=False
    )
    assert "state" in run.ledger["reward"].supervision
    model, _ = load_model(tmp_path / "run")
    frames = torch.rand(4, 2, 3, 16, 16)
    action = model.earn(frames)
    assert action.shape == (4,) and action.dtype == torch.int64
    assert torch.equal(action, run.model.earn(frames))
