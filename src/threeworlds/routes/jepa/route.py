"""The route as the registry holds it."""

from __future__ import annotations

from threeworlds.routes.jepa.model import Jepa, stages
from threeworlds.routes.jepa.recipes import RECIPES
from threeworlds.types import Route

ROUTE = Route(
    name="jepa",
    recipes=RECIPES,
    build=Jepa,
    stages=stages,
    learns_from="video, actions where there are any",
    story={
        "use": "understand, plan and act",
        "technique": "encoder + action-conditioned predictor + anti-collapse term",
        "video_latent": "one state vector a frame, learnt without a decoder",
        "action_latent": "the data's own actions, embedded",
        "predicts": "the next state; pictures only through a decoder added afterwards",
    },
)
