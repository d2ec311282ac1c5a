"""``threeworlds zoo``: trained models that are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from threeworlds.cli.console import print_table, say


@dataclass(frozen=True, kw_only=True)
class ZooAdd:
    """Keep the model of a run in the zoo, as WORLD-ROUTE-RECIPE."""

    run_folder: Positional[Path]
    """Folder that `train` or `compare` (models/ROUTE) left behind."""
    zoo: Path = Path("zoo")
    """Folder of the zoo."""
    result: Path | None = None
    """A result.json in which this model was scored: its scores go into the card."""
    replace: bool = False
    """Put it in the place of another model of that name."""

    def run(self) -> None:
        from threeworlds.score.zoo import add_to_zoo

        say(f"{add_to_zoo(self.run_folder, self.zoo, result=self.result, replace_other=self.replace)}")


@dataclass(frozen=True, kw_only=True)
class ZooList:
    """List the models of the zoo."""

    zoo: Path = Path("zoo")
    """Folder of the zoo."""

    def run(self) -> None:
        from threeworlds.score.zoo import kept_models

        columns = ("folder", "world", "route", "recipe")
        print_table(columns, ((m.path.name, m.world, m.route, m.recipe) for m in kept_models(self.zoo)))
