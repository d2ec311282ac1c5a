"""A model that nobody here wrote, as a fourth route: LeWM of stable-worldmodel (LeWorldModel, arXiv 2603.19312).

    pip install --no-deps stable-worldmodel==0.1.1 einops
    PYTHONPATH=examples threeworlds compare --routes jepa,lewm --budget 2m --out runs/outside-model

World model, predictor, action encoder, anti-collapse term and roll-out are the package's. What is added: the encoder,
which the package leaves to its user; the Protocols of ``threeworlds.types``; a search; and, as for jepa, a decoder
trained afterwards on frozen states. The folder lewm-0.1.1.dist-info beside this file holds the entry point.

Legend: b batch, t frames, k given frames, n candidates, d state, a action size.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.planning import cem
from threeworlds.routes.jepa.objective import DecoderObjective
from threeworlds.routes.jepa.parts import StateDecoder
from threeworlds.routes.jepa.recipes import DecoderConfig
from threeworlds.types import Batch, ClipSpec, Imagined, Optim, Plan, Route, Stage, State

PEER = "stable_worldmodel"
HORIZON = 8  # steps of a plan


def peer(name: str) -> Any:
    """A module of the package without the package's own imports: databases and torchvision, of no use here."""
    if PEER not in sys.modules:
        found = find_spec(PEER)
        if found is None or not found.submodule_search_locations:
            raise SystemExit("the route lewm needs: pip install --no-deps stable-worldmodel==0.1.1 einops")
        hollow(PEER, found.submodule_search_locations[0])
    hollow(f"{PEER}.wm", str(Path(sys.modules[PEER].__path__[0], "wm")))
    return import_module(f"{PEER}.wm.{name}")


def hollow(package: str, folder: str) -> None:
    """Make a package known by its folder alone; its ``__init__`` does not run."""
    sys.modules.setdefault(package, ModuleType(package)).__path__ = [folder]


@dataclass(frozen=True, kw_only=True)
class LeWMConfig:
    """Sizes, and the weight of the anti-collapse term as published."""

    width: int = 128  # of the encoder and the predictor, and of the state
    layers: int = 2
    patch: int = 8  # pixels
    history: int = 3  # frames the predictor sees
    regular: float = 0.1
    projections: int = 128  # of the anti-collapse term
    batch_size: int = 64
    learning_rate: float = 1e-3
    decoder: DecoderConfig = field(default_factory=DecoderConfig)


class Encoder(nn.Module):
    """The vision transformer that LeWM is given, called as it calls the one of transformers."""

    def __init__(self, config: LeWMConfig, spec: ClipSpec) -> None:
        super().__init__()
        width, tokens = config.width, (spec.height // config.patch) * (spec.width // config.patch)
        self.patches = nn.Conv2d(3, width, config.patch, config.patch)
        self.place = nn.Parameter(0.02 * torch.randn(1, tokens + 1, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, config.layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, pixels: Tensor, interpolate_pos_encoding: bool = True) -> SimpleNamespace:
        """[b, 3, h, w] -> ``last_hidden_state`` [b, 1 + patches, width]; the first is the picture's."""
        patches = self.patches(pixels).flatten(2).transpose(1, 2)
        return SimpleNamespace(last_hidden_state=self.layers(F.pad(patches, (0, 0, 1, 0)) + self.place))


class Outside(nn.Module):
    """Represents, Imagines, Surprised, Plans; Predicts and Reconstructs through the helper decoder."""

    control = "action"

    def __init__(self, config: LeWMConfig, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec, width, lewm = config, spec, config.width, peer("lewm.lewm")
        module = peer("lewm.module")
        self.world = lewm.LeWM(
            encoder=Encoder(config, spec),
            predictor=module.Predictor(
                num_frames=config.history, depth=config.layers, heads=4, mlp_dim=2 * width, input_dim=width,
                hidden_dim=width, dim_head=width // 4,
            ),
            action_encoder=module.Embedder(max(spec.action.size, 1), width, width),
            projector=module.MLP(width, 2 * width, width),
            pred_proj=module.MLP(width, 2 * width, width),
        )  # fmt: skip
        self.decoder = StateDecoder(config.decoder, width, spec.height, spec.width)

    def actions(self, action: Tensor | None, batch: int, steps: int) -> Tensor:
        """float32 [b, t, a], one-hot where discrete; None is the first action, or zero: nothing is done."""
        kind, size = self.spec.action.kind, max(self.spec.action.size, 1)
        if kind == "discrete":
            action = torch.zeros(batch, steps, dtype=torch.long) if action is None else action
            return F.one_hot(action, size).float()
        return torch.zeros(batch, steps, size) if action is None or kind == "none" else action

    @torch.no_grad()
    def represent(self, video: Tensor) -> State:
        return State(z=self.world.encode({"pixels": video})["emb"])

    @torch.no_grad()
    def imagine(self, context: Tensor, frames: int, action: Tensor | None = None) -> State:
        told = self.actions(action, len(context), context.shape[1] - 1 + frames)
        made = self.world.rollout({"pixels": context[:, None]}, told[:, None])["predicted_emb"]
        return State(z=made[:, 0, context.shape[1] :])

    @torch.no_grad()
    def predict(self, context: Tensor, frames: int, *, action: Tensor | None = None, seed: int = 0) -> Imagined:
        start = perf_counter()
        video = self.decoder(self.imagine(context, frames, action).z).clamp(-1, 1)
        return Imagined(video=video, seconds=perf_counter() - start)

    @torch.no_grad()
    def reconstruct(self, video: Tensor) -> Tensor:
        return self.decoder(self.represent(video).z).clamp(-1, 1)

    @torch.no_grad()
    def surprise(self, video: Tensor, action: Tensor | None = None) -> Tensor:
        told = self.world.action_encoder(self.actions(action, len(video), video.shape[1] - 1))
        z, seen = self.represent(video).z, self.config.history
        pasts = [slice(max(0, t - seen), t) for t in range(1, video.shape[1])]
        expected = torch.stack([self.world.predict(z[:, past], told[:, past])[:, -1] for past in pasts], dim=1)
        return F.pad((expected - z[:, 1:]).square().mean(-1), (1, 0), value=torch.nan)

    @torch.no_grad()
    def plan(self, context: Tensor, goal: Tensor, *, seed: int = 0) -> Plan:
        now, wanted = (
            context[:, None, -1:],
            self.represent(goal[:, None]).z[:, None],
        )  # [b, 1, 1, c, h, w], [b, 1, 1, d]

        def cost(tried: Tensor) -> Tensor:
            made = self.world.rollout({"pixels": now.expand(-1, tried.shape[1], -1, -1, -1, -1)}, tried)
            return (made["predicted_emb"][:, :, 1:] - wanted).square().sum((-1, -2))

        start = torch.zeros(len(context), HORIZON, self.spec.action.size)
        return cem(cost, start, generator=torch.Generator().manual_seed(seed), candidates=64, elites=8, rounds=3)


class Objective(nn.Module):
    """Error of the next state, and the package's SIGReg against collapse, as in its published training."""

    def __init__(self, model: Outside) -> None:
        super().__init__()
        self.world, self.told, self.weight = model.world, model.actions, model.config.regular
        self.regular = peer("loss").SIGReg(num_proj=model.config.projections)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        b, t = batch.video.shape[:2]
        seen = self.world.encode({"pixels": batch.video, "action": self.told(batch.action, b, t - 1)})
        error = (self.world.predict(seen["emb"][:, :-1], seen["act_emb"]) - seen["emb"][:, 1:]).square().mean()
        spread = self.regular(seen["emb"].transpose(0, 1))
        return error + self.weight * spread, {"error": error.detach(), "sigreg": spread.detach()}


def stages(model: nn.Module) -> list[Stage]:
    """The world model, then the helper decoder."""
    assert isinstance(model, Outside)
    config, columns = model.config, ("video",) if model.spec.action.kind == "none" else ("video", "action")
    return [
        Stage(
            name="world", module=Objective(model), frames=config.history + 1, batch_size=config.batch_size,
            columns=columns, optim=Optim(learning_rate=config.learning_rate), share=1.0,
        ),
        Stage(
            name="decoder", module=DecoderObjective(config.decoder, model.decoder), frames=config.decoder.frames,
            batch_size=config.decoder.batch_size, columns=("video", "z"), helper=True,
            cache=lambda video: {"z": model.represent(video).z},
            optim=Optim(learning_rate=config.decoder.learning_rate), share=1.0,
        ),
    ]  # fmt: skip


ROUTE = Route(
    name="lewm",
    recipes={"debug": lambda: LeWMConfig(width=32, batch_size=8), "small": LeWMConfig, "base": LeWMConfig},
    build=Outside,
    stages=stages,
    learns_from="video, actions where there are any",
    story={"use": "understand and plan", "technique": "LeWM of stable-worldmodel 0.1.1, with SIGReg"},
)
