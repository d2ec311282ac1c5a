"""The jepa route, wired: encoder + predictor, and on their frozen states critic, actor, planner and decoder.

Legend: b batch, k given frames, t frames, d state, a action size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.planning import SEARCHES, find_search
from threeworlds.planning.memory import Memory
from threeworlds.planning.search import cheapest
from threeworlds.routes.jepa.actor import Actor, ActorObjective, imagined_actions
from threeworlds.routes.jepa.critic import Critic, CriticObjective, intrinsic_cost
from threeworlds.routes.jepa.expected import ExpectedError, ExpectedObjective
from threeworlds.routes.jepa.flow_decoder import FlowDecoder
from threeworlds.routes.jepa.objective import OBJECTIVES, DecoderObjective, PracticeObjective
from threeworlds.routes.jepa.parts import Encoder, Predictor, StateDecoder
from threeworlds.routes.jepa.recipes import (
    ActorConfig,
    CriticConfig,
    DecoderConfig,
    ExpectedConfig,
    JepaConfig,
    PracticeConfig,
    RewardConfig,
)
from threeworlds.routes.jepa.requests import check_actions, check_frames
from threeworlds.routes.jepa.reward import RewardAgent, RewardObjective, payment_of
from threeworlds.types import Batch, ClipSpec, Imagined, Optim, Plan, Stage, State

if TYPE_CHECKING:
    from threeworlds.routes.jepa.environment import PictureWorld

DECODERS: Mapping[str, Callable[[DecoderConfig, int, int, int], StateDecoder | FlowDecoder]] = {
    "deterministic": StateDecoder,
    "flow": FlowDecoder,
}


class Jepa(nn.Module):
    """Represents, Searches (so Plans) and Acts; Predicts, Reconstructs and Dreams through the helper decoder."""

    control: Literal["none", "action", "code"] = "action"
    searches = tuple(SEARCHES)

    def __init__(self, config: JepaConfig, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        if spec.action.kind == "none":
            self.control = "none"
        self.encoder = Encoder(config.world, spec.height, spec.width)
        self.predictor = Predictor(config.world, spec.action)
        self.decoder = DECODERS[config.decoder.kind](config.decoder, config.world.state, spec.height, spec.width)
        if config.planner.memory and config.critic is None:
            raise ValueError("planner.memory needs a critic: what it costs is in the critic's log steps")
        self.critic = Critic(config.critic, config.world.state) if config.critic else None
        self.actor = self._make_actor(config)
        self.earner = RewardAgent(config.reward, config.world.state, spec.action) if config.reward else None
        with torch.random.fork_rng(devices=[]):  # a part on top: all below begins as it does without
            self.expected = ExpectedError(config.expected, config.world.state, spec.action) if config.expected else None

    @torch.no_grad()
    def represent(self, video: Tensor) -> State:
        check_frames("video", video, self.spec, "b", "t")
        return State(z=self.encoder(video))

    @torch.no_grad()
    def imagine(self, context: Tensor, frames: int, action: Tensor | None = None) -> State:
        """The states of the ``frames`` frames after ``context``; no pixels are made. ``action`` as in ``predict``."""
        check_frames("context", context, self.spec, "b", "k")
        future = self._future(context, frames, action)
        return State(z=self.predictor.roll_out(self.encoder(context)[:, -1], future, frames))

    @torch.no_grad()
    def predict(self, context: Tensor, frames: int, *, action: Tensor | None = None, seed: int = 0) -> Imagined:
        """``imagine``, shown by the helper decoder; ``seed`` draws the sample where that is a flow."""
        start = perf_counter()
        video = self.decoder(self.imagine(context, frames, action).z, seed).clamp(-1, 1)
        return Imagined(video=video, seconds=perf_counter() - start)

    def as_world(self, *, refinements: int | None = None) -> PictureWorld:
        """What the decoder shows of a state that goes on, one frame at a time; a frame takes one pass, whatever is
        asked.
        """
        from threeworlds.routes.jepa.environment import PictureWorld  # here: the world imports this file

        return PictureWorld(self)

    @torch.no_grad()
    def reconstruct(self, video: Tensor) -> Tensor:
        """What the helper decoder reads from the states of the true frames."""
        check_frames("video", video, self.spec, "b", "t")
        return self.decoder(self.encoder(video)).clamp(-1, 1)

    @property
    def can_act(self) -> bool:
        """Whether there is an actor, that acts without search."""
        return self.actor is not None

    @torch.no_grad()
    def surprise(self, video: Tensor, action: Tensor | None = None) -> Tensor:
        """Squared error of each state as predicted from the one before: [b, t], NaN at the first frame.

        Where the recipe has ``expected``, it is set against the error that was to be expected.
        """
        check_frames("video", video, self.spec, "b", "t")
        told = None if self.spec.action.kind == "none" else action
        if told is not None:
            check_actions("action", told, self.spec.action, len(video), video.shape[1] - 1)
        z = self.encoder(video)
        before, ahead = z[:, :-1], self.predictor(z[:, :-1], told)
        error = (ahead - z[:, 1:]).square().mean(-1)
        if self.expected is not None:
            error = self.expected.surprise(error, before, ahead, told)
        return F.pad(error, (1, 0), value=torch.nan)

    @torch.no_grad()
    def plan(
        self,
        context: Tensor,
        goal: Tensor,
        *,
        seed: int = 0,
        start: Tensor | None = None,
        search: str = "",
        memory: Memory | None = None,
    ) -> Plan:
        """Search for actions that bring the state near the goal picture's (mode 2).

        Args:
            context: [b, k, c, h, w], the last frames.
            goal: [b, c, h, w].
            start: [b, horizon, a], a first guess beside the actor's own, such as the rest of the last plan.
            search: one of ``searches``; without it, the recipe's.
            memory: of the plans of these episodes so far, from ``new_memory``; this plan is added to it.
        """
        self._check_request(context, goal)
        now, there = self._now(context), self.goal_state(goal)
        return self.search(now, there, seed=seed, start=start, search=search, memory=memory)

    def new_memory(self, taken: int) -> Memory | None:
        """A memory for episodes in which ``taken`` steps of each plan are executed, or all if it has fewer; None where
        the recipe has none.
        """
        planner = self.config.planner
        if not planner.memory:
            return None
        return Memory(taken=min(taken, planner.horizon), kept=planner.memory, doubt=planner.doubt)

    @torch.no_grad()
    def act(self, context: Tensor, goal: Tensor) -> Tensor:
        """The actor's next action, [b, a], without search (mode 1): context [b, k, c, h, w], goal [b, c, h, w]."""
        self._check_request(context, goal)
        if self.actor is None:
            raise ValueError("this model has no actor: train it with a recipe that has one, such as `rooms`")
        action: Tensor = self.actor(self._now(context), self.goal_state(goal))
        return action

    @property
    def can_earn(self) -> bool:
        """Whether there is an actor for the reward of the world's task."""
        return self.earner is not None

    @torch.no_grad()
    def earn(self, context: Tensor) -> Tensor:
        """The next action for the task's reward, int64 [b] or [b, a]: context [b, k, c, h, w], the last frames."""
        if self.earner is None:
            raise ValueError("this model has no actor for a reward: train it with a recipe that has one, `reward`")
        check_frames("context", context, self.spec, "b", "k")
        return self.earner.act(self._now(context))

    @torch.no_grad()
    def goal_state(self, goal: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, d]: the state of standing still there."""
        check_frames("goal", goal, self.spec, "b")
        still = goal[:, None].expand(-1, self.config.world.stack, -1, -1, -1)
        return self.encoder(still)[:, -1]

    @torch.no_grad()
    def search(
        self,
        now: Tensor,
        goal: Tensor,
        *,
        seed: int,
        start: Tensor | None = None,
        search: str = "",
        memory: Memory | None = None,
    ) -> Plan:
        """``plan`` between states [b, d] and [b, d]."""
        planner, actions = self.config.planner, self.spec.action.size
        chosen = find_search(search or planner.search)
        guesses = []
        if start is not None:
            check_actions("start", start, self.spec.action, len(now), planner.horizon)
            guesses.append(start)
        if self.actor is not None:
            guesses.append(imagined_actions(self.actor, self.predictor, now, goal, planner.horizon))

        stride = self._stride(now) if memory is not None else now.new_ones(len(now))
        if memory is not None:
            memory.compare(now, stride)

        def cost(tried: Tensor) -> Tensor:
            """[b, n, horizon, a] -> cost of every state on the way, summed [b, n]."""
            first = now[:, None].expand(-1, tried.shape[1], -1)
            ahead = self.predictor.roll_out(first, tried, tried.shape[2])
            total = self.cost(ahead, goal[:, None, None].expand_as(ahead)).sum(-1)
            return total if memory is None else total + memory.cost(ahead, stride)

        guess = now.new_zeros(len(now), planner.horizon, actions)
        if guesses:
            guess = cheapest(cost, torch.stack(guesses, dim=1)).action if len(guesses) > 1 else guesses[0]
        found = chosen(
            cost,
            guess,
            generator=torch.Generator().manual_seed(seed),
            candidates=planner.candidates,
            elites=planner.elites,
            rounds=planner.rounds,
            std=planner.std,
        )
        if memory is not None:
            memory.expect(self.predictor.roll_out(now, found.action, planner.horizon))
        return found

    def _stride(self, now: Tensor) -> Tensor:
        """[b, d] -> [b]: how far a step at full speed leads, the farthest of those along an axis of action."""
        size = self.spec.action.size
        full = torch.cat([torch.eye(size), -torch.eye(size)]).to(now)
        first = now[:, None].expand(-1, len(full), -1)
        moved = self.predictor(first, full.expand(len(now), -1, -1)) - first
        return moved.norm(dim=-1).amax(1).clamp_min(1e-9)

    def cost(self, z: Tensor, goal: Tensor) -> Tensor:
        """What it costs to be in ``z`` [..., d] when ``goal`` [..., d] is wanted: the critic's word, if it has one."""
        cost: Tensor = intrinsic_cost(z, goal) if self.critic is None else self.critic(z, goal)
        return cost

    def _now(self, context: Tensor) -> Tensor:
        """[b, k, c, h, w] -> [b, d]: the state of the last frame, from as many frames as make a state."""
        return self.encoder(context[:, -self.config.world.stack :])[:, -1]

    def _make_actor(self, config: JepaConfig) -> Actor | None:
        if config.actor is None:
            return None
        if config.critic is None or self.spec.action.kind != "continuous":
            raise ValueError(
                f"an actor learns from a critic, and for continuous actions; here critic={config.critic} "
                f"and {self.spec.action.kind} actions: leave the actor out (--set actor=none)"
            )
        return Actor(config.actor, config.world.state, self.spec.action.size)

    def _check_request(self, context: Tensor, goal: Tensor) -> None:
        if self.spec.action.kind != "continuous":
            raise ValueError(f"planning needs continuous actions; these are {self.spec.action.kind}")
        check_frames("context", context, self.spec, "b", "k")
        check_frames("goal", goal, self.spec, "b")
        if len(context) != len(goal):
            raise ValueError(f"{len(context)} contexts and {len(goal)} goals: needs a goal for each")

    def _future(self, context: Tensor, frames: int, action: Tensor | None) -> Tensor | None:
        """Of the actions from the first frame on, those that lead to new frames."""
        if action is None:
            return None
        if self.spec.action.kind == "none":
            raise ValueError("this model was trained on clips without actions; call it without them")
        given = context.shape[1] - 1
        if action.dim() > 1 and action.shape[1] != given + frames:
            raise ValueError(
                f"{action.shape[1]} actions for {given + 1} given and {frames} new frames; needs {given + frames}"
            )
        check_actions("action", action, self.spec.action, len(context), given + frames)
        return action[:, given:]


def stages(model: nn.Module) -> list[Stage]:
    """The world model; on its frozen states critic and actor; then, under a budget of its own, the decoder."""
    assert isinstance(model, Jepa)
    agent = agent_stages(model)
    return [
        world_stage(model, 1 - sum(stage.share for stage in agent)),
        *agent,
        decoder_stage(model, cached=bool(agent)),
    ]


def world_stage(model: Jepa, share: float) -> Stage:
    """Encoder and predictor, together."""
    world, spec = model.config.world, model.spec
    return Stage(
        name="world",
        module=OBJECTIVES[world.architecture](
            world, model.encoder, model.predictor, spec.action, (spec.height, spec.width)
        ),
        share=share,
        frames=world.frames + world.stack - 1,
        batch_size=world.batch_size,
        columns=("video",) if spec.action.kind == "none" else ("video", "action"),
        rollout_error=lambda batch: rollout_error(model, batch),
        optim=Optim(learning_rate=world.learning_rate),
    )


def agent_stages(model: Jepa) -> list[Stage]:
    """Practice, expected errors, critic, actor, the agent for a reward: as many as the recipe has, in this order."""
    critic, actor, found = model.config.critic, model.config.actor, []
    if (practice := model.config.practice) is not None:
        module = PracticeObjective(practice, model.predictor, model.config.world.action_dropout)
        found.append(_agent_stage("practice", practice, module, model))
    if (expected := model.config.expected) is not None and model.expected is not None:
        errors = ExpectedObjective(model.expected, model.predictor)
        found.append(_agent_stage("expected", expected, errors, None if found else model))
    told = ("z",) if model.spec.action.kind == "none" else ("z", "action")
    found = [replace(stage, columns=told) for stage in found]
    if critic is not None and model.critic is not None:
        objective = CriticObjective(critic, model.critic)
        found.append(_agent_stage("critic", critic, objective, None if found else model))
        if actor is not None and model.actor is not None:
            found.append(
                _agent_stage("actor", actor, ActorObjective(actor, model.actor, model.predictor, model.critic))
            )
    if model.config.reward is not None and model.earner is not None:
        earned = RewardObjective(model.config.reward, model.earner, model.predictor, payment_of(model.spec))
        stage = _agent_stage("reward", model.config.reward, earned, None if found else model)
        found.append(replace(stage, columns=("z", "state")))
    return found


def _agent_stage(
    name: str,
    config: PracticeConfig | ExpectedConfig | CriticConfig | ActorConfig | RewardConfig,
    objective: nn.Module,
    cached_by: Jepa | None = None,
) -> Stage:
    """A stage on frozen states; the first of them makes the states."""
    return Stage(
        name=name,
        module=objective,
        share=config.share,
        frames=config.frames,
        batch_size=config.batch_size,
        columns=("z",),
        cache=(lambda video: {"z": cached_by.represent(video).z}) if cached_by else None,
        optim=Optim(learning_rate=config.learning_rate),
    )


def decoder_stage(model: Jepa, cached: bool) -> Stage:
    """A window on frozen states; ``cached``: an earlier stage made them."""
    config = model.config.decoder
    return Stage(
        name="decoder",
        module=DecoderObjective(config, model.decoder),
        share=1.0,
        frames=config.frames,
        batch_size=config.batch_size,
        columns=("video", "z"),
        cache=None if cached else lambda video: {"z": model.represent(video).z},
        optim=Optim(learning_rate=config.learning_rate),
        helper=True,
    )


def rollout_error(model: Jepa, batch: Batch) -> Tensor:
    """Squared error in latent space of each clip rolled out, [b], as a part of that of predicting no change to any."""
    assert batch.video is not None
    given = model.config.world.stack
    z = model.represent(batch.video).z
    ahead = model.imagine(batch.video[:, :given], batch.video.shape[1] - given, batch.action).z
    moved = (z[:, given - 1 : given] - z[:, given:]).square().mean()
    return (ahead - z[:, given:]).square().flatten(1).mean(1) / moved.clamp_min(1e-9)
