"""Critic, actor and planner of the jepa route, and the world model as an environment.

Most tests live in a world whose law is known: the state is the place, an action moves it by that much.
"""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from scipy.sparse.csgraph import floyd_warshall

from threeworlds.data import ClipStore, ClipWriter
from threeworlds.planning.memory import Memory
from threeworlds.routes.jepa.actor import Actor, ActorObjective, imagined_actions
from threeworlds.routes.jepa.critic import Critic, CriticObjective, draw_pairs, shortest_ways
from threeworlds.routes.jepa.environment import LatentWorld
from threeworlds.routes.jepa.model import Jepa, stages
from threeworlds.routes.jepa.objective import PracticeObjective
from threeworlds.routes.jepa.recipes import ActorConfig, CriticConfig, PlannerConfig, PracticeConfig, debug
from threeworlds.routes.jepa.route import ROUTE
from threeworlds.train import Budget, train_route
from threeworlds.types import ActionSpec, Batch, ClipSpec, Remembers, Searches
from threeworlds.worlds import WORLDS, collect

CRITIC = CriticConfig(hidden=64, layers=1, frames=12, batch_size=16, pairs=16)
ACTOR = ActorConfig(hidden=64, layers=1, frames=12, batch_size=16, pairs=8, horizon=3)


def with_agent():
    return replace(debug(), critic=CRITIC, actor=ACTOR)


class Free(torch.nn.Module):
    """z' = z + a."""

    def forward(self, z, action, drop=None):
        return z + action

    def roll_out(self, z, actions, steps):
        return z[..., None, :] + actions.cumsum(-2)


class Distance(torch.nn.Module):
    """The critic that is right about ``Free``: one unit a step."""

    def forward(self, z, goal):
        return torch.log1p((z - goal).norm(dim=-1))


def walks(b, t, generator, speed=1.0):
    """Straight walks [b, t, 2], of one unit a step in any direction."""
    angle = torch.rand(b, generator=generator) * 2 * np.pi
    heading = torch.stack([angle.cos(), angle.sin()], dim=-1) * speed
    return torch.randn(b, 1, 2, generator=generator) * 3 + heading[:, None] * torch.arange(t)[:, None]


# -------------------------------------------------------------------------------------------- practice


class Still(torch.nn.Module):
    """z' = z, whatever is done; remembers what it was last asked."""

    def forward(self, z, action, drop=None):
        self.asked = z
        return z + 0 * action.sum(-1, keepdim=True)


def test_practice_is_on_what_the_predictor_gets_wrong():
    torch.manual_seed(0)
    z = torch.randn(20, 1, 3).repeat(1, 4, 1)
    z[7, 2:] += 1.0  # a jump that the predictor does not foresee, in one step of sixty
    objective = PracticeObjective(PracticeConfig(drawn=8), Still(), action_dropout=0.0)
    loss, told = objective(Batch(cached={"z": z}, action=torch.zeros(20, 3, 2)))
    assert torch.equal(objective.predictor.asked, z[7, 1].expand(8, -1))
    assert loss.item() == pytest.approx(1.0)
    assert told["one_step"].item() == pytest.approx(1 / 60)


def test_practice_comes_before_the_critic_and_trains_the_predictor_alone():
    model = Jepa(replace(with_agent(), practice=PracticeConfig(drawn=4)), rooms_16())
    world, practice, critic, *_ = stages(model)
    assert (world.name, practice.name, critic.name) == ("world", "practice", "critic")
    assert {id(p) for p in practice.module.parameters()} == {id(p) for p in model.predictor.parameters()}
    assert practice.cache is not None and critic.cache is None
    assert world.share + practice.share + critic.share == pytest.approx(1 - ACTOR.share)


# ---------------------------------------------------------------------------------------------- critic


def test_pairs_are_of_one_episode_in_order_and_their_distance_is_told():
    torch.manual_seed(0)
    z = torch.stack([torch.arange(5 * 12) // 12, torch.arange(5 * 12) % 12], dim=-1).unflatten(0, (5, 12)).float()
    start, goal, steps = draw_pairs(z, 400)
    assert torch.equal(start[:, 0], goal[:, 0])
    assert torch.equal(goal[:, 1] - start[:, 1], steps)
    assert set(steps.tolist()) == set(range(12))
    assert set(start[steps == 0, 1].tolist()) == set(range(12))


def test_the_critic_learns_the_number_of_steps(fit):
    torch.manual_seed(0)
    critic = Critic(CRITIC, 2)
    generator = torch.Generator().manual_seed(0)
    fit(CriticObjective(CRITIC, critic), lambda _: Batch(cached={"z": walks(16, 12, generator)}), 400)
    z = walks(200, 12, torch.Generator().manual_seed(1))
    told = critic(z[:, 0], z[:, 8]).detach().expm1()
    assert told.median().item() == pytest.approx(8, abs=1.2)
    assert critic(z[:, 0], z[:, 2]).mean() < critic(z[:, 0], z[:, 8]).mean()


def test_of_fast_and_slow_ways_the_critic_believes_the_fast_one(fit):
    """Half of the walks dawdle at half the speed. The mean of log steps to a goal 4 units off would be 1.88."""

    def told(expectile):
        torch.manual_seed(0)
        critic, generator = Critic(CRITIC, 2), torch.Generator().manual_seed(0)

        def batch(step):
            return Batch(cached={"z": walks(16, 12, generator, speed=1.0 if step % 2 else 0.5)})

        fit(CriticObjective(replace(CRITIC, expectile=expectile), critic), batch, 400)
        z = walks(200, 12, torch.Generator().manual_seed(1))
        return critic(z[:, 0], z[:, 4]).mean().item()

    assert told(0.1) < told(0.5) - 0.1


def test_shortest_ways_are_those_of_scipy():
    z = torch.randn(3, 20, 2, generator=torch.Generator().manual_seed(0))
    long_step = (z[:, 1:] - z[:, :-1]).norm(dim=-1).quantile(0.9).item()
    for episode, ways in zip(z.numpy(), shortest_ways(z, 0.5), strict=True):
        apart = np.linalg.norm(episode[:, None] - episode, axis=-1) / long_step
        edges = np.where(apart <= 0.5, apart, np.inf)
        edges[np.arange(19), np.arange(1, 20)] = np.minimum(edges[np.arange(19), np.arange(1, 20)], 1)
        np.testing.assert_allclose(ways, floyd_warshall(edges), rtol=1e-4, atol=1e-5)


def test_a_way_there_and_back_is_short_and_a_way_around_a_wall_is_long():
    there = torch.stack([torch.arange(6.0), torch.zeros(6)], dim=-1)
    back = shortest_ways(torch.cat([there, there.flip(0)])[None], 1.5)[0]
    assert back[0, 11] == pytest.approx(0, abs=1e-5)
    assert back[0, 6] == back[6, 0] == pytest.approx(5, abs=1e-4)

    along = torch.arange(10.0)  # up one side of a wall three units thick, over it, and down the other side
    corner = torch.tensor([[1.0, 10], [2.0, 10]])
    around = torch.cat([torch.stack([0 * along, along], 1), corner, torch.stack([0 * along + 3, 9 - along.float()], 1)])
    ways = shortest_ways(around[None], 1.5)[0]
    assert ways[0, -1] > 18  # the two ends are three units apart
    assert 18 < ways[-1, 0] < 23


def test_where_there_is_no_way_back_pairs_are_of_the_way_there():
    """One-way walks, and states that mostly stand still: steps stay finite, and so does the loss."""
    generator = torch.Generator().manual_seed(0)
    still = torch.zeros(4, 30, 2)
    still[:, 20:] = 5.0
    for z in (walks(4, 30, generator), still):
        objective = CriticObjective(replace(CRITIC, joined=0.5), Critic(CRITIC, 2))
        loss, _ = objective(Batch(cached={"z": z}))
        assert loss.isfinite()
    assert shortest_ways(walks(1, 5, generator), 0.5)[0, 4, 0].isinf()
    assert shortest_ways(still, 0.5)[0, 10, 0] == 0  # it has not moved


def test_states_are_joined_by_a_positive_length():
    with pytest.raises(ValueError, match=r"critic.joined=-1.0: above 0"):
        CriticObjective(replace(CRITIC, joined=-1.0), Critic(CRITIC, 2))(Batch(cached={"z": torch.zeros(2, 12, 2)}))


def test_a_critic_of_joined_states_is_not_misled_by_policies_that_dawdle(fit):
    """Walks that turn back now and again: two units on, one back. Six units are eighteen steps of theirs."""

    def told(joined):
        torch.manual_seed(0)
        critic, generator = Critic(CRITIC, 2), torch.Generator().manual_seed(0)
        along = torch.tensor([1.0, 1, -1] * 8).cumsum(0)
        objective = CriticObjective(replace(CRITIC, joined=joined, expectile=0.5), critic)

        def batch(_):
            heading = walks(16, 2, generator).diff(dim=1)
            return Batch(cached={"z": torch.randn(16, 1, 2, generator=generator) + heading * along[:, None]})

        fit(objective, batch, 300)
        z = walks(200, 7, torch.Generator().manual_seed(1))
        z = z - z[:, :1]
        return critic(z[:, 0], z[:, 6]).median().expm1().item()

    assert told(1.5) == pytest.approx(6, abs=1.5)
    assert told(0.0) > 12


# ----------------------------------------------------------------------------------------------- actor


def test_the_actor_learns_to_walk_to_the_goal_in_imagination(fit):
    torch.manual_seed(0)
    actor, generator = Actor(ACTOR, 2, 2), torch.Generator().manual_seed(0)
    objective = ActorObjective(ACTOR, actor, Free(), Distance())
    fit(objective, lambda _: Batch(cached={"z": walks(16, 12, generator)}), 300)
    z = walks(100, 12, torch.Generator().manual_seed(1))
    aimed = actor(z[:, 0], z[:, 5])
    wanted = z[:, 1] - z[:, 0]
    assert torch.cosine_similarity(aimed, wanted).mean() > 0.9
    assert aimed.abs().max() <= 1


def test_the_actor_leaves_the_world_and_the_critic_alone():
    torch.manual_seed(0)
    model = Jepa(with_agent(), rooms_16()).eval()
    (*_, critic, actor, _decoder) = stages(model)
    trained = {id(p) for p in actor.module.parameters()}
    others = (model.encoder, model.predictor, model.critic)
    assert not trained & {id(p) for part in others for p in part.parameters()}
    z = torch.randn(16, 12, model.config.world.state)
    torch.nn.init.normal_(model.predictor.read_out.weight, std=0.1)
    loss, _ = actor.module(Batch(cached={"z": z}))
    loss.backward()
    assert all(p.grad is None for part in others for p in part.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.actor.parameters())
    assert {id(p) for p in critic.module.parameters()} == {id(p) for p in model.critic.parameters()}


# ---------------------------------------------------------------------------------------------- planner


def rooms_16():
    return ClipSpec(height=16, width=16, fps=10, action=ActionSpec(kind="continuous", size=2), world="rooms")


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Jepa(with_agent(), rooms_16()).eval()
    torch.nn.init.normal_(model.predictor.read_out.weight, std=0.1)
    return model


def test_the_actors_proposal_is_its_roll_out(model):
    z, goal = torch.randn(3, 16), torch.randn(3, 16)
    actions = imagined_actions(model.actor, model.predictor, z, goal, 4)
    step = z
    for t in range(4):
        torch.testing.assert_close(actions[:, t], model.actor(step, goal))
        step = model.predictor(step, actions[:, t])


def test_search_is_no_worse_than_the_actor_and_than_a_warm_start(model):
    now, goal, start = torch.randn(5, 16), torch.randn(5, 16), torch.rand(5, 3, 2) * 2 - 1

    def cost(actions):
        ahead = model.predictor.roll_out(now, actions, 3)
        return model.cost(ahead, goal[:, None].expand_as(ahead)).sum(-1)

    with torch.no_grad():
        found = model.search(now, goal, seed=0, start=start)
        proposed = imagined_actions(model.actor, model.predictor, now, goal, 3)
        torch.testing.assert_close(found.cost, cost(found.action))
        assert (found.cost <= torch.minimum(cost(proposed), cost(start)) + 1e-5).all()


@pytest.mark.parametrize("search", ["cem", "icem", "mppi", "gradient"])
def test_every_search_plans(search):
    torch.manual_seed(0)
    config = replace(with_agent(), planner=PlannerConfig(search=search, horizon=2, candidates=8, elites=2, rounds=1))
    model = Jepa(config, rooms_16()).eval()
    frames = torch.rand(2, 1, 3, 16, 16)
    plan = model.plan(frames, frames[:, 0])
    assert plan.action.shape == (2, 2, 2)
    assert not plan.action.requires_grad
    assert torch.equal(plan.action, model.plan(frames, frames[:, 0]).action)
    assert model.act(frames, frames[:, 0]).shape == (2, 2)


def test_a_search_can_be_chosen_for_a_plan(model):
    assert isinstance(model, Searches) and model.searches == ("cem", "icem", "mppi", "gradient")
    frames = torch.rand(2, 1, 3, 16, 16)
    for name in model.searches:
        config = replace(model.config, planner=replace(model.config.planner, search=name))
        other = Jepa(config, rooms_16()).eval()
        other.load_state_dict(model.state_dict())
        chosen, own = model.plan(frames, frames[:, 0], search=name), other.plan(frames, frames[:, 0])
        torch.testing.assert_close((chosen.action, chosen.cost), (own.action, own.cost))
    with pytest.raises(ValueError, match="search 'best': allowed are cem, icem, mppi, gradient"):
        model.plan(frames, frames[:, 0], search="best")


def test_a_plan_that_came_to_nothing_is_not_made_again():
    """The goal lies behind a wall that the predictor does not know. Without a memory the plan is the same for ever."""
    config = replace(with_agent(), actor=None, planner=PlannerConfig(horizon=3, memory=8, rounds=3, std=1.0))
    model = Jepa(config, rooms_16()).eval()
    model.predictor, model.critic = Free(), Distance()
    now, goal = torch.zeros(1, 2), torch.tensor([[4.0, 0.0]])
    memory = model.new_memory(3)
    assert isinstance(model, Remembers) and isinstance(memory, Memory)
    plans = [model.search(now, goal, seed=0, memory=memory).action for _ in range(2)]  # it is still where it was
    forgetful = [model.search(now, goal, seed=0).action for _ in range(2)]
    assert torch.equal(plans[0], forgetful[0]) and torch.equal(*forgetful)
    assert plans[0].sum(1)[0, 0] > 2.5  # straight at the goal
    way = plans[1].cumsum(1)[0]
    straight = torch.tensor([[2.0, 0.0], [3.0, 0.0]])
    assert torch.cdist(way, straight).min() > 0.5  # around what was refuted, or not there at all
    fresh = model.search(now, goal, seed=0, memory=model.new_memory(3))
    assert torch.equal(fresh.action, plans[0])  # a new memory knows nothing


@pytest.mark.parametrize("search", ["cem", "icem", "mppi", "gradient"])
def test_every_search_takes_a_memory(search):
    torch.manual_seed(0)
    planner = PlannerConfig(search=search, horizon=2, candidates=8, elites=2, rounds=1, memory=4)
    model = Jepa(replace(with_agent(), planner=planner), rooms_16()).eval()
    frames, memory = torch.rand(2, 1, 3, 16, 16), model.new_memory(5)
    assert memory.taken == 2  # a plan has no more
    plans = [model.plan(frames, frames[:, 0], memory=memory) for _ in range(3)]
    assert memory.refuted is not None and all(plan.action.isfinite().all() for plan in plans)


def test_only_a_recipe_with_a_memory_has_one_and_it_needs_a_critic():
    assert Jepa(with_agent(), rooms_16()).new_memory(5) is None
    with pytest.raises(ValueError, match="memory needs a critic"):
        Jepa(replace(debug(), planner=PlannerConfig(memory=8)), rooms_16())


def test_a_decision_needs_only_the_frames_that_make_a_state(model):
    frames, goal = torch.rand(2, 5, 3, 16, 16), torch.rand(2, 3, 16, 16)
    recent = frames[:, -model.config.world.stack :]
    torch.testing.assert_close(model.act(frames, goal), model.act(recent, goal))
    older = frames.clone()
    older[:, -2] = 0
    assert not torch.allclose(model.act(frames, goal), model.act(older, goal))


def test_what_cannot_be_planned_is_refused(model):
    frames = torch.rand(1, 1, 3, 16, 16)
    with pytest.raises(ValueError, match="frames of 16 x 16"):
        model.plan(frames, torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"start \(1, 2, 2\) of float32: needs \(1, 3, 2\) of float in"):
        model.plan(frames, frames[:, 0], start=torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match=r"in \[-1, 1\]"):
        model.plan(frames, frames[:, 0], start=torch.full((1, 3, 2), 1.2))
    with pytest.raises(ValueError, match="1 contexts and 2 goals"):
        model.plan(frames, frames[:, 0].expand(2, -1, -1, -1))
    with pytest.raises(ValueError, match="no actor"):
        Jepa(debug(), rooms_16()).eval().act(frames, frames[:, 0])
    with pytest.raises(ValueError, match="learns from a critic"):
        Jepa(replace(debug(), actor=ACTOR), rooms_16())
    with pytest.raises(ValueError, match="none actions"):
        Jepa(with_agent(), ClipSpec(height=16, width=16, fps=10))


# ------------------------------------------------------------------------------------------- training


def test_a_route_with_an_agent_trains_and_its_ledger_names_the_stages(tmp_path):
    with ClipWriter(tmp_path / "clips", WORLDS["rooms"].spec(16)) as writer:
        for clip in collect("rooms", episodes=24, seed=0, size=16, steps=12):
            writer.add(clip)
    store = ClipStore.open(tmp_path / "clips")
    run = train_route(
        ROUTE,
        recipe="debug",
        config=with_agent(),
        store=store,
        budget=Budget.parse("10steps"),
        out=tmp_path / "run",
        progress=False,
    )
    assert list(run.ledger) == ["world", "critic", "actor", "decoder"]
    assert [run.ledger[name].steps for name in run.ledger] == [7, 1, 2, 2]
    assert run.ledger["actor"].supervision == ("video",)
    assert run.total.steps == 10  # critic and actor are paid from the route's own budget


# -------------------------------------------------------------------------------------- environment


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)


class Begun(gym.Wrapper):
    """Gymnasium's checker resets without options."""

    def reset(self, *, seed=None, options=None):
        return self.env.reset(seed=seed, options=options or {"video": picture(), "goal": picture(1)[0]})


@pytest.mark.filterwarnings("ignore:.*")
def test_the_world_model_is_a_gymnasium_environment(model):
    check_env(Begun(LatentWorld(model)), skip_render_check=True)


def test_many_futures_in_one_call_are_what_step_gives(model):
    env = LatentWorld(model)
    first, _ = env.reset(options={"video": picture(), "goal": picture(1)[0]})
    actions = torch.rand(3, 4, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    z, rewards = env.roll_out(actions)
    assert z.shape == (3, 4, 16)
    for sequence, states, gained in zip(actions, z, rewards, strict=True):
        again, _ = env.reset()
        np.testing.assert_array_equal(again, first)
        for action, state, reward in zip(sequence, states, gained, strict=True):
            told, got, *_ = env.step(action.numpy())
            np.testing.assert_allclose(told, state, atol=1e-5)
            assert got == pytest.approx(reward.item(), abs=1e-5)


def test_the_start_is_the_last_frame_given_and_the_reward_is_the_cost_of_where_it_leads(model):
    env = LatentWorld(model)
    video = np.concatenate([picture(2), picture()])
    state, _ = env.reset(options={"video": video, "goal": picture(1)[0]})
    frames = torch.from_numpy(video).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    np.testing.assert_allclose(state, model.represent(frames).z[0, -1], atol=1e-6)
    after, reward, *_ = env.step(np.zeros(2, np.float32))
    goal = model.goal_state(torch.from_numpy(picture(1)).permute(0, 3, 1, 2).float() / 127.5 - 1)
    with torch.no_grad():
        assert reward == pytest.approx(-model.cost(torch.from_numpy(after)[None], goal).item(), abs=1e-5)
    env.reset(options={"video": video})
    assert env.step(np.zeros(2, np.float32))[1] == 0


def test_bad_requests_to_the_environment_say_what_is_needed(model):
    env = LatentWorld(model)
    with pytest.raises(ValueError, match="first reset needs"):
        env.reset()
    with pytest.raises(ValueError, match="step before reset"):
        env.step(np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="roll_out before reset"):
        env.roll_out(torch.zeros(1, 1, 2))
    with pytest.raises(ValueError, match=r"shape \(1, 8, 8, 3\)"):
        env.reset(options={"video": np.zeros((1, 8, 8, 3), np.uint8)})
    with pytest.raises(ValueError, match="'goal'"):
        env.reset(options={"video": picture(), "goal": picture()})
    env.reset(options={"video": picture()})
    with pytest.raises(ValueError, match="is not in Box"):
        env.step(np.array([2, 0], np.float32))
    with pytest.raises(ValueError, match=r"actions holds 1.5: needs float in \[-1, 1\]"):
        env.roll_out(torch.full((1, 1, 2), 1.5))
