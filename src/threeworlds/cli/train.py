"""``threeworlds train``: train one route."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from threeworlds.cli.console import output, print_table

if TYPE_CHECKING:
    from threeworlds.data import ClipStore
    from threeworlds.train import TrainedRun


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train one route on clips of a built-in world, or on clips of your own (--data)."""

    route: Positional[str]
    """sora, genie, jepa, a route of an installed package, or captioner, which writes captions for clips without."""
    recipe: str = "base"
    """Named config of the route: debug, small or base."""
    data: Path | None = None
    """Folder of clips (see `threeworlds data`); without it, clips of --world are made in OUT/clips."""
    world: str = "arena"
    """Built-in world that the clips are made from."""
    episodes: int = 1000
    """Episodes to make of it."""
    option: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="KEY=VALUE")] = ()
    """Variant of the world, such as layout=random (rooms)."""
    seed: int = 0
    """Seed of the made clips, the initial weights, the sampling and the noise."""
    rate: float = 1.0
    """Factor on the learning rates of all stages, such as the one that `compare --trials` chose."""
    budget: str = "30m"
    """Where to stop: 90s, 4m, 2h, 2e13flops, 50000clips or 300steps. All but seconds can be repeated bit for bit."""
    resume: bool = False
    """Go on from the last good checkpoint in OUT."""
    out: Path | None = None
    """Folder for checkpoints, metrics and the trained model; without it, runs/ROUTE-RECIPE."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="KEY=VALUE")] = ()
    """Change one value of the recipe, such as generator.width=128."""
    tensorboard: bool = False
    """Write metrics for TensorBoard as well (needs the extra: pip install threeworlds[tensorboard])."""
    print_config: bool = False
    """Print the config as it would run, as JSON, and stop."""

    def run(self) -> None:
        from threeworlds.cli.overrides import override
        from threeworlds.routes import get_route

        route = get_route(self.route)
        if self.recipe not in route.recipes:
            raise ValueError(f"recipe of {self.route}: got {self.recipe!r}; allowed: {', '.join(route.recipes)}")
        config = override(route.recipes[self.recipe](), self.set)
        if self.print_config:
            output.print_json(json.dumps(asdict(config)))
            return

        from threeworlds.train import Budget, train_route, use_machine

        budget = Budget.parse(self.budget)
        out = self.out or Path("runs") / f"{self.route}-{self.recipe}"
        use_machine()
        run = train_route(
            route,
            recipe=self.recipe,
            config=config,
            store=self._clips(out),
            budget=budget,
            out=out,
            seed=self.seed,
            rate=self.rate,
            resume=self.resume,
            tensorboard=self.tensorboard,
        )
        print_spent(run)

    def _clips(self, out: Path) -> ClipStore:
        from threeworlds.cli.overrides import world_options
        from threeworlds.data import ClipStore
        from threeworlds.score.clips import generate, made_once

        if self.data is not None:
            return ClipStore.open(self.data)
        options = world_options(self.world, self.option)
        asked: dict[str, Any] = {"episodes": self.episodes, "seed": self.seed, "options": options}
        make = partial(generate, self.world, out / "clips", **asked)
        return made_once(out / "clips", {"world": self.world, **asked}, make)


def print_spent(run: TrainedRun) -> None:
    """What each stage cost."""
    columns = ("stage", "steps", "clips", "unique", "GFLOP", "seconds", "peak MB", "parameters", "learns from")
    rows = (
        (
            name,
            spent.steps,
            spent.clips,
            spent.unique_clips,
            f"{spent.flops / 1e9:.1f}",
            f"{spent.seconds:.1f}",
            f"{spent.peak_memory_mb:.0f}",
            spent.parameters,
            ", ".join(spent.supervision),
        )
        for name, spent in {**run.ledger, "total": run.total}.items()
    )
    print_table(columns, rows, title=str(run.path))
