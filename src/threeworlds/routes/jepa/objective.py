"""What the jepa route is trained on: predict the next state, do not collapse, and let the state tell the action.

The three architectures of LeCun's figure (openreview BZ5a1r-kVsf) share one encoder and one predictor here, so that
they can be compared; the route itself is the third. Legend: b batch, t frames, d state.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threeworlds.nn.losses import moving_weight
from threeworlds.nn.regularize import raw_rank, sigreg
from threeworlds.routes.jepa.anticollapse import GUARDS, Reconstruction
from threeworlds.routes.jepa.flow_decoder import FlowDecoder
from threeworlds.routes.jepa.parts import Encoder, InverseDynamics, Predictor, StateDecoder
from threeworlds.routes.jepa.recipes import DecoderConfig, PracticeConfig, WorldModelConfig
from threeworlds.types import ActionSpec, Batch


class WorldModelObjective(nn.Module):
    """(c) Joint-embedding predictive: the next state from this one and the action (LeWM, arXiv 2603.19312).

    A guard keeps the states apart, and inverse dynamics makes them tell the action. No stop-gradient, and no
    moving-average target unless the guard brings one.
    """

    def __init__(
        self,
        config: WorldModelConfig,
        encoder: Encoder,
        predictor: Predictor,
        action: ActionSpec,
        size: tuple[int, int],
    ) -> None:
        """``size``: height and width of a frame."""
        super().__init__()
        self.config, self.encoder, self.predictor = config, encoder, predictor
        self.guard = GUARDS[config.guard](config, encoder, *size)
        self.inverse = InverseDynamics(config, action) if action.kind != "none" and config.inverse else None

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        z, video, action = seen_states(self.encoder, batch)
        aim = self.guard.targets(z, batch.video)
        one_step, open_loop = self._prediction(z, aim, action)
        penalty = self.guard.penalty(z, video)
        inverse = self.inverse.loss(z, action) if self.inverse is not None and action is not None else z.new_zeros(())
        loss = one_step + open_loop + self.config.guard_weight * penalty + self.config.inverse * inverse
        terms = {"one_step": one_step, "open_loop": open_loop, "penalty": penalty, "inverse": inverse}
        return loss, {name: term.detach() for name, term in terms.items()} | monitors(z, self.predictor, action)

    def _prediction(self, z: Tensor, aim: Tensor, action: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean squared errors one step ahead (from true states) and open loop (from the first)."""
        one_step, open_loop = predicted_states(self.config, self.predictor, z, action)
        ahead = (open_loop - aim[:, 1 : open_loop.shape[1] + 1]).square().mean()
        return (one_step - aim[:, 1:]).square().mean(), ahead


class GenerativeObjective(nn.Module):
    """(b) Generative: frames are drawn from states, this one from its own and the next from the predicted one.

    What cannot be drawn without knowing it cannot collapse, so there is no guard.
    """

    def __init__(
        self,
        config: WorldModelConfig,
        encoder: Encoder,
        predictor: Predictor,
        action: ActionSpec,
        size: tuple[int, int],
    ) -> None:
        super().__init__()
        self.config, self.encoder, self.predictor = config, encoder, predictor
        self.draw = Reconstruction(config, encoder, *size)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        z, video, action = seen_states(self.encoder, batch)
        one_step, open_loop = predicted_states(self.config, self.predictor, z, action)
        drawn = self.draw.penalty(z, video)
        errors = [self.draw.penalty(ahead, video[:, 1 : ahead.shape[1] + 1]) for ahead in (one_step, open_loop)]
        terms = {"drawn": drawn, "one_step": errors[0], "open_loop": errors[1]}
        return drawn + sum(errors), {k: term.detach() for k, term in terms.items()} | monitors(
            z, self.predictor, action
        )


class JointObjective(nn.Module):
    """(a) Joint-embedding: neighbouring frames have near states, kept apart by a guard. Nothing is predicted.

    The predictor is not trained, and stays as it began: it predicts that the state does not change.
    """

    def __init__(
        self,
        config: WorldModelConfig,
        encoder: Encoder,
        predictor: Predictor,
        action: ActionSpec,
        size: tuple[int, int],
    ) -> None:
        super().__init__()
        self.config, self.encoder = config, encoder
        self.predictor = predictor.requires_grad_(False)
        self.guard = GUARDS[config.guard](config, encoder, *size)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        z, video, action = seen_states(self.encoder, batch)
        apart = (z[:, :-1] - self.guard.targets(z, batch.video)[:, 1:]).square().mean()
        penalty = self.guard.penalty(z, video)
        terms = {"apart": apart.detach(), "penalty": penalty.detach()}
        return apart + self.config.guard_weight * penalty, terms | monitors(z, self.predictor, action)


OBJECTIVES = {"joint": JointObjective, "generative": GenerativeObjective, "predictive": WorldModelObjective}


def seen_states(encoder: Encoder, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
    """States [b, t, d] of the frames that have their past, those frames, and the actions between them."""
    assert batch.video is not None
    unseen = encoder.stack - 1
    action = batch.action[:, unseen:] if batch.action is not None else None
    return encoder(batch.video)[:, unseen:], batch.video[:, unseen:], action


def predicted_states(
    config: WorldModelConfig, predictor: Predictor, z: Tensor, action: Tensor | None
) -> tuple[Tensor, Tensor]:
    """One step ahead of each true state [b, t - 1, d], and open loop from the first [b, unroll, d].

    Some clips are predicted without their actions, so that the null action comes to mean "not told".
    """
    steps = min(config.unroll, z.shape[1] - 1)
    drop = torch.rand(len(z), device=z.device) < config.action_dropout
    every = drop[:, None].expand(-1, z.shape[1] - 1)
    return predictor(z[:, :-1], action, every), predictor.roll_out(z[:, 0], action, steps, drop)


@torch.no_grad()
def monitors(z: Tensor, predictor: Predictor, action: Tensor | None) -> dict[str, Tensor]:
    """Whether the state is alive. A collapse to a point moves the first two; the others are ratios, blind to scale.

    - sigreg: 1.05 for a Gaussian, up to 0.4 b for a point.
    - rank: effective number of directions of the states as they are, their mean one of them; 1, collapse.
    - speed: mean change in a step as a part of the spread over the batch; near 0, only what never changes is left.
    - over_copy: prediction error as a part of that of predicting no change; 1, nothing is predicted.
    - shuffled: error under other clips' actions as a multiple of that under their own; 1, actions are ignored.
    """
    few = z[:16].detach()  # clips: these numbers need not cost much
    first, after, action = few[:, :-1], few[:, 1:], action[:16] if action is not None else None
    moved = (after - first).square().mean()
    spread = z.var(0).mean()
    error = (predictor(first, action) - after).square().mean().clamp_min(1e-9)
    other = action.roll(1, 0) if action is not None else None
    return {
        "sigreg": sigreg(z[:, 0], 16),
        "rank": raw_rank(z[:, 0]),
        "speed": (moved / spread.clamp_min(1e-9)).sqrt(),
        "over_copy": error / moved.clamp_min(1e-9),
        "shuffled": (predictor(first, other) - after).square().mean() / error,
    }


class PracticeObjective(nn.Module):
    """One step ahead of frozen states, drawn by the root of its error: what seldom happens is learnt as well.

    After prioritised replay (Schaul et al., arXiv 1511.05952, exponent 1/2), among the steps of each batch. Its last
    weights are kept, not those that roll out best: it serves the next step, which surprise is measured by, and costs
    some of the sixteenth (docs/log.md).
    """

    def __init__(self, config: PracticeConfig, predictor: Predictor, action_dropout: float) -> None:
        super().__init__()
        self.config, self.predictor, self.action_dropout = config, predictor, action_dropout

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        states = batch.cached["z"]
        z, after = states[:, :-1].flatten(0, 1), states[:, 1:].flatten(0, 1)
        action = batch.action.flatten(0, 1) if batch.action is not None else None
        with torch.no_grad():
            error = (self.predictor(z, action) - after).square().mean(-1)
        chosen = torch.multinomial(error.sqrt() + 1e-9, self.config.drawn, replacement=True)
        drop = torch.rand(len(chosen), device=z.device) < self.action_dropout
        ahead = self.predictor(z[chosen], action[chosen] if action is not None else None, drop)
        return (ahead - after[chosen]).square().mean(), {"one_step": error.mean()}


class DecoderObjective(nn.Module):
    """Reconstruction from frozen states."""

    def __init__(self, config: DecoderConfig, decoder: StateDecoder | FlowDecoder) -> None:
        super().__init__()
        self.config, self.decoder = config, decoder

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        error = self.decoder.error(batch.cached["z"], batch.video).square()
        return (moving_weight(batch.video, self.config.moving) * error).mean(), {"mse": error.mean().detach()}
