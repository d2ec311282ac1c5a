"""The route as the registry holds it."""

from __future__ import annotations

from threeworlds.routes.sora.model import Sora, stages
from threeworlds.routes.sora.paper import PAPER
from threeworlds.routes.sora.recipes import RECIPES
from threeworlds.types import Route

ROUTE = Route(
    name="sora",
    recipes=RECIPES,
    build=Sora,
    stages=stages,
    learns_from="video, captions where there are any",
    story={
        "use": "make a clip from words or from first frames",
        "technique": "compression network + spacetime flow transformer",
        "video_latent": "continuous, one small grid a frame",
        "action_latent": "none: words are the only control",
        "predicts": "the whole clip at once, from noise",
    },
    paper=PAPER,
)
