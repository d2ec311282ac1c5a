"""The route as the registry holds it."""

from __future__ import annotations

from threeworlds.routes.genie.model import Genie, stages
from threeworlds.routes.genie.paper import PAPER
from threeworlds.routes.genie.recipes import RECIPES
from threeworlds.types import Route

ROUTE = Route(
    name="genie",
    recipes=RECIPES,
    build=Genie,
    stages=stages,
    learns_from="video alone",
    story={
        "use": "be played frame by frame; name the actions nobody labelled",
        "technique": "tokenizer + latent action model + masked-token dynamics",
        "video_latent": "discrete tokens, a small grid a frame",
        "action_latent": "a few buttons, inferred from pairs of frames",
        "predicts": "the next frame's tokens",
    },
    paper=PAPER,
)
