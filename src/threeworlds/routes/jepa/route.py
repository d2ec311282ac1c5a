"""The route as the registry holds it."""

from __future__ import annotations

from torch import nn

from threeworlds.routes.jepa.masked import MaskedJepa, masked_stage
from threeworlds.routes.jepa.model import Jepa, stages
from threeworlds.routes.jepa.paper import PAPER
from threeworlds.routes.jepa.recipes import RECIPES, JepaConfig, MaskedConfig
from threeworlds.types import ClipSpec, Route, Stage


def build(config: JepaConfig | MaskedConfig, spec: ClipSpec) -> nn.Module:
    """The action-conditioned model, or the masked one, as the config says."""
    return MaskedJepa(config, spec) if isinstance(config, MaskedConfig) else Jepa(config, spec)


def stages_of(model: nn.Module) -> list[Stage]:
    """What is trained, in order."""
    return [masked_stage(model)] if isinstance(model, MaskedJepa) else stages(model)


ROUTE = Route(
    name="jepa",
    recipes=RECIPES,
    build=build,
    stages=stages_of,
    learns_from="video, actions where there are any",
    story={
        "use": "understand, plan and act",
        "technique": "encoder + action-conditioned predictor + anti-collapse term",
        "video_latent": "one state vector a frame, learnt without a decoder",
        "action_latent": "the data's own actions, embedded",
        "predicts": "the next state; pictures only through a decoder added afterwards",
    },
    paper=PAPER,
)
