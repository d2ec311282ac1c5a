"""``threeworlds compare``: the main job. Trains the routes on the same clips with the same budget and scores them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import UseAppendAction, arg

from threeworlds.cli.console import say
from threeworlds.cli.overrides import OfWorld

if TYPE_CHECKING:
    from threeworlds.score.compare import Contestant


@dataclass(frozen=True, kw_only=True)
class Compare(OfWorld):
    """Train the routes on the same clips with the same budget, score them, and write a report."""

    out: Path
    """Folder for the clips, the models, result.json and the report."""
    video: Path | None = None
    """Folder of your own video to use in place of a world."""
    size: int | None = None
    """Height and width of a frame, pixels; without it the world's own, or 32 for video."""
    routes: str = "sora,genie,jepa"
    """Routes to compare, separated by commas."""
    budget: str = "3m"
    """Training budget of each route: 90s, 4m, 2h, 2e13flops, 50000clips or 300steps. Several (1m,2m,4m): one comparison
    each, and scores against budget; of the smaller ones only what is shown against budget is asked."""
    recipe: str = "small"
    """Named config of each route: debug, small or base; with another for one of them, base,sora=large."""
    seed: int = 0
    """Seed of the clips, the models and the scoring."""
    seeds: str = ""
    """Seeds of the models, such as 0,1,2: each route is trained once for each, with the budget each time, and rows are
    means over them. Without it one model a route, of --seed."""
    items: int = 200
    """Held-out episodes to score on."""
    trials: int = 0
    """Tuning trials of each route, 2 to 5, each with a tenth of the budget, on top. They differ in a factor on all
    learning rates, the first so many of 1, 1/2, 2, 1/4, 4, and whose frames of validation clips err least is taken."""
    variant: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=ROUTE:KEY=VALUE")] = ()
    """A route once more, under a name of its own and with some of its recipe changed, such as
    pixels=sora:autoencoder.kind=pixels:generator.patch=1."""
    zoo: bool = False
    """Score the trained models in ./zoo, in place of training."""

    @property
    def variants(self) -> dict[str, Contestant]:
        """--variant, each with its whole config."""
        from threeworlds.cli.overrides import variants

        return variants(self.variant, self.recipe) if self.variant else {}

    def run(self) -> None:
        from threeworlds.report import write_report
        from threeworlds.score.compare import run_compare

        run_compare(self)
        write_report(self.out)
        say(f"{self.out / 'report.html'}")
