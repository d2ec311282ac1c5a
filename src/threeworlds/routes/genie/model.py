"""The genie route, wired: tokenizer + latent action model + dynamics; pictures and buttons in, the next frames out.

Legend: b batch, k given frames, t frames, n tokens a frame.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.routes.genie.causal import CausalDynamics
from threeworlds.routes.genie.collapse import watch_tokens
from threeworlds.routes.genie.dynamics import Cache, Dynamics, MaskedDynamics
from threeworlds.routes.genie.forcing import DiffusionDynamics
from threeworlds.routes.genie.latent_action import build_latent_action
from threeworlds.routes.genie.recipes import GenieConfig
from threeworlds.routes.genie.tokenizer import build_tokenizer
from threeworlds.types import Batch, ClipSpec, Imagined, Optim, Stage, State

if TYPE_CHECKING:
    from threeworlds.routes.genie.world import GenieWorld

DYNAMICS = {"masked": MaskedDynamics, "causal": CausalDynamics, "diffusion": DiffusionDynamics}


class Genie(nn.Module):
    """Plays, Predicts (given latent actions, or letting it run), Represents, Reconstructs, and is Surprised.

    Dreams: it is played a frame at a time. Tokenizes, and Refines.
    """

    control: Literal["none", "action", "code"] = "code"

    def __init__(self, config: GenieConfig, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.n_codes = config.actions.codes
        self.tokenizer = build_tokenizer(config.tokenizer, spec.height, spec.width)
        self.n_tokens = self.tokenizer.size
        known = spec.action.size if spec.action.kind == "discrete" else 0
        self.actions = build_latent_action(config.actions, spec.height, spec.width, known)
        codebook = self.tokenizer.codes(torch.arange(self.tokenizer.size))
        self.dynamics: Dynamics = DYNAMICS[config.dynamics.kind](
            config.dynamics, codebook, self.n_codes, self.tokenizer.grid, self.tokenizer.learnt
        )

    @torch.no_grad()
    def infer_codes(self, video: Tensor) -> Tensor:
        """video [b, t, c, h, w] -> the latent action of each step, int64 [b, t - 1]."""
        return self.actions.infer_codes(self._checked(video))

    @torch.no_grad()
    def tokenize(self, video: Tensor) -> Tensor:
        """video [b, t, c, h, w] -> tokens int64 [b, t, n]."""
        return self.tokenizer.encode(self._checked(video))

    @torch.no_grad()
    def represent(self, video: Tensor) -> State:
        """The quantized codes of each frame, laid flat."""
        return State(z=self.tokenizer.codes(self.tokenize(video)).flatten(2))

    @torch.no_grad()
    def reconstruct(self, video: Tensor) -> Tensor:
        """Through the tokens and back."""
        return self.tokenizer.decode(self.tokenize(video))

    @torch.no_grad()
    def predict(self, context: Tensor, frames: int, *, action: Tensor | None = None, seed: int = 0) -> Imagined:
        """Continue ``context`` by ``frames`` frames under latent actions, or under none: it runs on."""
        start = perf_counter()
        codes = self._codes(self._checked(context), frames, action)
        generator = torch.Generator().manual_seed(seed)
        past, time = self.remember(context, codes[:, : context.shape[1] - 1])
        made = list(self.tokenizer.encode(context).unbind(1)) if self.tokenizer.memory else []
        for code in codes[:, context.shape[1] - 1 :].unbind(1):
            tokens, past = self.dynamics.next_frame(past, code, time, generator)
            past, time = self.dynamics.forget(past), time + 1
            made.append(tokens)
        seen = frames + self.tokenizer.memory
        video = self.tokenizer.decode(torch.stack(made[-seen:], dim=1))[:, -frames:]
        return Imagined(video=video, seconds=perf_counter() - start)

    def surprise(self, video: Tensor, action: Tensor | None = None) -> Tensor:
        """Negative log-likelihood of each frame's tokens under the latent action seen in it. ``action`` is not used."""
        codes = F.pad(self.infer_codes(video), (1, 0), value=self.dynamics.null)
        return self.dynamics.surprise(self.tokenize(video), codes)

    def remember(self, context: Tensor, codes: Tensor) -> tuple[Cache, int]:
        """Take in finished frames [b, k, c, h, w] and the codes [b, k - 1] between them -> cache, next frame's time."""
        tokens = self.tokenizer.encode(context)
        led_here = F.pad(codes, (1, 0), value=self.dynamics.null)
        past = self.dynamics.remember(tokens, led_here)
        return self.dynamics.forget(past), context.shape[1]

    def as_world(self, *, refinements: int | None = None) -> GenieWorld:
        """Its dream as a Gymnasium environment, one frame at a time, made in so many passes (None: few, for speed)."""
        from threeworlds.routes.genie.world import GenieWorld  # here: the world imports this file

        return GenieWorld(self, refinements=refinements)

    @property
    def passes(self) -> int:
        """Passes a frame in `predict`."""
        return self.dynamics.passes()

    @property
    def passes_in_play(self) -> int:
        """Passes a frame in play, unless asked otherwise."""
        return self.dynamics.passes(self.dynamics.in_play)

    def _checked(self, video: Tensor) -> Tensor:
        size = (3, self.spec.height, self.spec.width)
        if video.dim() != 5 or video.shape[2:] != size or video.shape[1] == 0:
            raise ValueError(f"frames {tuple(video.shape)}; needed: (b, k, {', '.join(map(str, size))}), k at least 1")
        if not video.is_floating_point() or not video.isfinite().all():
            raise ValueError("frames need float in [-1, 1]; these are whole numbers, or hold NaN or infinity")
        return video

    def _codes(self, context: Tensor, frames: int, action: Tensor | None) -> Tensor:
        given = context.shape[1] - 1
        if frames < 1:
            raise ValueError(f"{frames} new frames; at least 1")
        if action is None:
            first = context.new_zeros(len(context), 0, dtype=torch.long)
            seen = self.actions.infer_codes(context) if given else first
            return self.told(F.pad(seen, (0, frames), value=self.dynamics.null))
        if action.is_floating_point() or action.shape != (len(context), given + frames):
            raise ValueError(
                f"codes {action.dtype} {tuple(action.shape)} for {given + 1} given and {frames} new frames of "
                f"{len(context)} clips; needed: integers ({len(context)}, {given + frames})"
            )
        wrong = action[(action < 0) | (action > self.dynamics.null)]
        if len(wrong):
            raise ValueError(
                f"code {int(wrong[0])}; allowed: 0 to {self.n_codes - 1}, or {self.dynamics.null} for none"
            )
        return self.told(action)

    def told(self, codes: Tensor) -> Tensor:
        """Codes as the dynamics are told them. No action is not "not told": it is the button that changes least."""
        return torch.where(codes == self.dynamics.null, self.actions.rest, codes)


def stages(model: nn.Module) -> list[Stage]:
    """Tokenizer, latent actions, then the dynamics on what both have made of the clips."""
    assert isinstance(model, Genie)
    tokenizer, actions, dynamics = model.config.tokenizer, model.config.actions, model.config.dynamics
    return [
        Stage(
            name="tokenizer",
            module=model.tokenizer,
            share=tokenizer.share,
            frames=tokenizer.frames,
            batch_size=tokenizer.batch_size,
            optim=Optim(learning_rate=tokenizer.learning_rate),
            finish=lambda batch: watch_made(model, batch),
        ),
        Stage(
            name="actions",
            module=model.actions,
            share=actions.share,
            frames=actions.frames,
            batch_size=actions.batch_size,
            columns=("video", "action") if actions.labels else ("video",),
            optim=Optim(learning_rate=actions.learning_rate),
            prepare=model.actions.take_labels if actions.labels else None,
            finish=model.actions.make_buttons,
        ),
        Stage(
            name="dynamics",
            module=model.dynamics,
            share=1 - tokenizer.share - actions.share,
            frames=dynamics.frames,
            batch_size=dynamics.batch_size,
            columns=("tokens", "code"),
            prepare=(lambda batch: take_codebook(model)) if model.tokenizer.learnt else None,
            cache=lambda video: tokens_and_codes(model, video),
            rollout_error=lambda batch: rollout_error(model, batch),
            optim=Optim(learning_rate=dynamics.learning_rate),
        ),
    ]


def watch_made(model: Genie, batch: Batch) -> None:
    """Say so if the tokenizer calls nearly everything the same."""
    assert batch.video is not None
    watch_tokens(model.tokenizer.encode(batch.video))


def take_codebook(model: Genie) -> None:
    """What the tokenizer has learnt, for the dynamics to know where tokens lie."""
    known = model.dynamics.codebook
    model.dynamics.take_codebook(model.tokenizer.codes(torch.arange(len(known), device=known.device)))


def tokens_and_codes(model: Genie, video: Tensor) -> dict[str, Tensor]:
    """An episode [1, t, c, h, w] -> its tokens [1, t, n] and the code that led to each frame [1, t], null at first."""
    codes = F.pad(model.infer_codes(video), (1, 0), value=model.dynamics.null)
    return {"tokens": model.tokenizer.encode(video).to(torch.int32), "code": codes.to(torch.int32)}


def rollout_error(model: Genie, batch: Batch) -> Tensor:
    """Squared error of a free roll-out of each clip from two frames, under its own codes: [b]."""
    assert batch.video is not None
    made = model.predict(batch.video[:, :2], batch.video.shape[1] - 2, action=model.infer_codes(batch.video)).video
    return (made - batch.video[:, 2:]).square().mean((1, 2, 3, 4))
