"""The zoo: small trained models with their recipe, data hash, seed, cost and scores, one folder each.

``zoo/<world>-<route>-<recipe>/`` holds model.safetensors, config.json and card.json, as training leaves them.
"""

from __future__ import annotations

import filecmp
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from threeworlds.score.result import read_result
from threeworlds.types import Result

ZOO = Path("zoo")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A folder of the zoo, as its config.json names it."""

    path: Path
    world: str
    route: str
    recipe: str
    flops: float  # of its training


def add_to_zoo(run: Path, zoo: Path = ZOO, *, result: Path | None = None, replace_other: bool = False) -> Path:
    """Copy the model of a run folder into the zoo, as WORLD-ROUTE-RECIPE.

    ``result``: a result.json in which this model was scored; its scores go into the card.
    Raises ModelFileError where the run holds no sound model, ValueError where ``result`` does not speak of it or, but
    for ``replace_other``, where the zoo holds another model by that name.
    """
    from threeworlds.train import load_model
    from threeworlds.train.model_files import save_model

    model, card = load_model(run)
    if result is not None:
        card = replace(card, scores=scores_of(read_result(result), card.route, run.name))
    folder = zoo / f"{card.spec.world or 'video'}-{card.route}-{card.recipe}"
    if folder.exists() and not replace_other and not _same_weights(run, folder):
        raise ValueError(f"{folder} holds another model; --replace puts this one in its place")
    save_model(folder, model, card)
    return folder


def _same_weights(first: Path, second: Path) -> bool:
    old, new = first / "model.safetensors", second / "model.safetensors"
    return old.exists() and new.exists() and filecmp.cmp(old, new, shallow=False)


def scores_of(result: Result, route: str, checkpoint: str) -> dict[str, float]:
    """ "question/metric" -> value, of one model in a result."""
    scored = [
        row for row in result.rows if (row.route, row.checkpoint) == (route, checkpoint) and row.value is not None
    ]
    own = [row for row in scored if not row.seeds and row.question not in ("budget", "seeds")]  # of this model alone
    if not own:
        raise ValueError(f"the result holds no score of {route} from the folder {checkpoint!r}")
    return {f"{row.question}/{row.metric}": float(row.value) for row in own if row.value is not None}


def kept_models(zoo: Path = ZOO) -> list[Kept]:
    """All models of the zoo, by name."""
    found = []
    for file in sorted(zoo.glob("*/config.json")):
        document, card = json.loads(file.read_text()), json.loads((file.parent / "card.json").read_text())
        found.append(
            Kept(
                path=file.parent,
                world=str(document["spec"]["world"]),
                route=str(document["route"]),
                recipe=str(document["recipe"]),
                flops=float(card["ledger"]["total"]["flops"]),
            )
        )
    return found


def chosen_models(zoo: Path, world: str, recipes: Mapping[str, str]) -> tuple[Path, ...]:
    """One folder a route, for those routes that have a model of this world: of the route's recipe, else the one that
    was trained most.

    Raises ValueError where none has one.
    """
    models = [kept for kept in kept_models(zoo) if kept.world == world]
    chosen = []
    for route, recipe in recipes.items():
        own = [kept for kept in models if kept.route == route]
        own.sort(key=lambda kept: (kept.recipe != recipe, -kept.flops))
        chosen += [kept.path for kept in own[:1]]
    if not chosen:
        known = ", ".join(kept.path.name for kept in kept_models(zoo)) or "nothing"
        raise ValueError(f"{zoo} holds no model of {', '.join(recipes)} for world {world!r}; it holds {known}")
    return tuple(chosen)
