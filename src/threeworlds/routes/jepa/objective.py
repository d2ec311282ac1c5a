"""What the jepa route is trained on: predict the next state, do not collapse, and let the state tell the action."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threeworlds.nn.losses import moving_weight
from threeworlds.nn.regularize import effective_rank, sigreg
from threeworlds.routes.jepa.parts import Encoder, InverseDynamics, Predictor, StateDecoder
from threeworlds.routes.jepa.recipes import DecoderConfig, WorldModelConfig
from threeworlds.types import ActionSpec, Batch


class WorldModelObjective(nn.Module):
    """Prediction in latent space + SIGReg + inverse dynamics (LeWM, arXiv 2603.19312; PLDM, arXiv 2502.14819).

    No stop-gradient and no moving-average target: SIGReg alone keeps the state from collapsing.
    """

    def __init__(self, config: WorldModelConfig, encoder: Encoder, predictor: Predictor, action: ActionSpec) -> None:
        super().__init__()
        self.config, self.encoder, self.predictor = config, encoder, predictor
        self.inverse = InverseDynamics(config, action) if action.kind != "none" else None

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        unseen = self.config.stack - 1  # the first states lack their past
        z = self.encoder(batch.video)[:, unseen:]
        action = batch.action[:, unseen:] if batch.action is not None else None
        one_step, open_loop = self._prediction(z, action)
        spread = sigreg(z.transpose(0, 1), self.config.directions)
        inverse = self.inverse.loss(z, action) if self.inverse is not None and action is not None else z.new_zeros(())
        loss = one_step + open_loop + self.config.sigreg * spread + self.config.inverse * inverse
        return loss, self._monitors(z, one_step, open_loop, spread, inverse)

    def _prediction(self, z: Tensor, action: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean squared errors one step ahead (from true states) and open loop (from the first)."""
        steps = min(self.config.unroll, z.shape[1] - 1)
        drop = torch.rand(len(z), device=z.device) < self.config.action_dropout
        every = drop[:, None].expand(-1, z.shape[1] - 1)
        one_step = (self.predictor(z[:, :-1], action, every) - z[:, 1:]).square().mean()
        ahead = self.predictor.roll_out(z[:, 0], action, steps, drop)
        return one_step, (ahead - z[:, 1 : steps + 1]).square().mean()

    @torch.no_grad()
    def _monitors(
        self, z: Tensor, one_step: Tensor, open_loop: Tensor, spread: Tensor, inverse: Tensor
    ) -> dict[str, Tensor]:
        """``over_copy`` below 1: better than no change. ``rank`` near 1: collapse. ``sigreg``: 1.05 is a Gaussian."""
        moved = (z[:, 1:] - z[:, :-1]).square().mean().clamp_min(1e-9)
        return {
            "one_step": one_step.detach(),
            "open_loop": open_loop.detach(),
            "sigreg": spread.detach(),
            "inverse": inverse.detach(),
            "over_copy": one_step.detach() / moved,
            "rank": effective_rank(z[:, 0]),
        }


class DecoderObjective(nn.Module):
    """Reconstruction from frozen states."""

    def __init__(self, config: DecoderConfig, decoder: StateDecoder) -> None:
        super().__init__()
        self.config, self.decoder = config, decoder

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        error = (self.decoder(batch.cached["z"]) - batch.video).square()
        return (moving_weight(batch.video, self.config.moving) * error).mean(), {"mse": error.mean().detach()}
