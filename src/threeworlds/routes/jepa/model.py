"""The jepa route, wired: encoder + predictor (+ a decoder trained afterwards, + a planner).

Legend: b batch, k given frames, t frames, d state, a action size.
"""

from __future__ import annotations

from time import perf_counter
from typing import Literal

import torch
from torch import Tensor, nn

from threeworlds.planning.cem import cem
from threeworlds.routes.jepa.objective import DecoderObjective, WorldModelObjective
from threeworlds.routes.jepa.parts import Encoder, Predictor, StateDecoder
from threeworlds.routes.jepa.recipes import JepaConfig
from threeworlds.types import Batch, ClipSpec, Imagined, Optim, Plan, Stage, State


class Jepa(nn.Module):
    """Represents and Plans; Predicts and Reconstructs through the helper decoder."""

    control: Literal["none", "action", "code"] = "action"

    def __init__(self, config: JepaConfig, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        if spec.action.kind == "none":
            self.control = "none"
        self.encoder = Encoder(config.world, spec.height, spec.width)
        self.predictor = Predictor(config.world, spec.action)
        self.decoder = StateDecoder(config.decoder, config.world.state, spec.height, spec.width)

    @torch.no_grad()
    def represent(self, video: Tensor) -> State:
        return State(z=self.encoder(video))

    @torch.no_grad()
    def imagine(self, context: Tensor, frames: int, action: Tensor | None = None) -> State:
        """The states of the ``frames`` frames after ``context``; no pixels are made. ``action`` as in ``predict``."""
        future = self._future(context.shape[1] - 1, frames, action)
        return State(z=self.predictor.roll_out(self.encoder(context)[:, -1], future, frames))

    @torch.no_grad()
    def predict(self, context: Tensor, frames: int, *, action: Tensor | None = None, seed: int = 0) -> Imagined:
        """``imagine``, shown by the helper decoder. Deterministic: ``seed`` is not used."""
        start = perf_counter()
        video = self.decoder(self.imagine(context, frames, action).z).clamp(-1, 1)
        return Imagined(video=video, seconds=perf_counter() - start)

    @torch.no_grad()
    def reconstruct(self, video: Tensor) -> Tensor:
        """What the helper decoder reads from the states of the true frames."""
        return self.decoder(self.encoder(video)).clamp(-1, 1)

    @torch.no_grad()
    def plan(self, context: Tensor, goal: Tensor, *, seed: int = 0) -> Plan:
        """Actions that bring the state near the goal picture's: context [b, k, c, h, w], goal [b, c, h, w]."""
        if self.spec.action.kind != "continuous":
            raise ValueError(f"planning needs continuous actions; these are {self.spec.action.kind}")
        planner, now = self.config.planner, self.encoder(context)[:, -1]
        target = self.encoder(goal[:, None].expand(-1, self.config.world.stack, -1, -1, -1))[:, -1]

        def cost(actions: Tensor) -> Tensor:
            """[b, n, horizon, a] -> squared distance to the goal's state, summed over the roll-out [b, n]."""
            start = now[:, None].expand(-1, actions.shape[1], -1)
            ahead = self.predictor.roll_out(start, actions, actions.shape[2])
            return (ahead - target[:, None, None]).square().sum((-1, -2))

        return cem(
            cost,
            len(context),
            planner.horizon,
            self.spec.action.size,
            generator=torch.Generator().manual_seed(seed),
            candidates=planner.candidates,
            elites=planner.elites,
            rounds=planner.rounds,
        )

    def _future(self, given: int, frames: int, action: Tensor | None) -> Tensor | None:
        if action is None:
            return None
        if self.spec.action.kind == "none":
            raise ValueError("this model was trained on clips without actions; call it without them")
        if action.shape[1] != given + frames:
            raise ValueError(
                f"{action.shape[1]} actions for {given + 1} given and {frames} new frames; needs {given + frames}"
            )
        return action[:, given:]


def stages(model: nn.Module) -> list[Stage]:
    """The world model; then, on its frozen states and under a budget of its own, the decoder."""
    assert isinstance(model, Jepa)
    world, decoder, spec = model.config.world, model.config.decoder, model.spec
    columns = ("video",) if spec.action.kind == "none" else ("video", "action")
    return [
        Stage(
            name="world",
            module=WorldModelObjective(world, model.encoder, model.predictor, spec.action),
            share=1.0,
            frames=world.frames + world.stack - 1,
            batch_size=world.batch_size,
            columns=columns,
            rollout_error=lambda batch: rollout_error(model, batch),
            optim=Optim(learning_rate=world.learning_rate),
        ),
        Stage(
            name="decoder",
            module=DecoderObjective(decoder, model.decoder),
            share=1.0,
            frames=decoder.frames,
            batch_size=decoder.batch_size,
            columns=("video", "z"),
            cache=lambda video: {"z": model.represent(video).z},
            optim=Optim(learning_rate=decoder.learning_rate),
            helper=True,
        ),
    ]


def rollout_error(model: Jepa, batch: Batch) -> float:
    """Squared error of an open-loop roll-out in latent space, as a part of that of predicting no change."""
    assert batch.video is not None
    given = model.config.world.stack
    z = model.represent(batch.video).z
    ahead = model.imagine(batch.video[:, :given], batch.video.shape[1] - given, batch.action).z
    moved = (z[:, given - 1 : given] - z[:, given:]).square().mean()
    return float((ahead - z[:, given:]).square().mean() / moved.clamp_min(1e-9))
