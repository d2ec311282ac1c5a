"""``threeworlds export``: films of trained models in the folders that other benchmarks read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from threeworlds.cli.console import say
from threeworlds.cli.overrides import OfWorld


@dataclass(frozen=True, kw_only=True)
class Export(OfWorld):
    """Write films of trained models in the layout of another benchmark: physics-iq, vbench or worldproof."""

    checkpoints: Positional[tuple[Path, ...]]
    """Folders of trained models (model.safetensors, config.json, card.json)."""
    layout: str
    """physics-iq (predicted futures, and the true ones), vbench (films from captions) or worldproof (roll-outs)."""
    out: Path
    """Folder for the films: one folder a route."""
    seed: int = 123
    """Seed of the held-out episodes and of the films."""
    items: int = 20
    """Films a model."""

    def run(self) -> None:
        if not self.checkpoints:
            raise ValueError("export: name at least one folder of a trained model")

        from threeworlds.cli.films import write_film
        from threeworlds.score.export import LAYOUTS, export_films
        from threeworlds.score.scorecard import seated
        from threeworlds.train import use_machine

        if self.layout not in LAYOUTS:
            raise ValueError(f"layout {self.layout!r}; allowed: {', '.join(LAYOUTS)}")
        use_machine()
        with seated(self) as (exam, entrants, _):
            for entrant in entrants:
                count = export_films(
                    self.layout, exam, entrant, self.out, lambda film, path, fps: write_film(film, path, fps=fps)
                )
                say(f"{self.out / entrant.route}: {count} films for {self.layout}")
