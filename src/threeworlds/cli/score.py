"""``threeworlds score``: ask trained models the questions of the scorecard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from threeworlds.cli.console import say
from threeworlds.cli.overrides import OfWorld


@dataclass(frozen=True, kw_only=True)
class Score(OfWorld):
    """Score trained models on held-out episodes and write a report."""

    checkpoints: Positional[tuple[Path, ...]]
    """Folders of trained models (model.safetensors, config.json, card.json)."""
    out: Path
    """Folder for result.json and the report."""
    questions: str = ""
    """Questions to ask, separated by commas; empty: all."""
    seed: int = 123
    """Seed of the held-out episodes and of the scoring."""
    items: int = 200
    """Held-out episodes to score on."""

    def run(self) -> None:
        if not self.checkpoints:
            raise ValueError("score: name at least one folder of a trained model")

        from threeworlds.report import write_report
        from threeworlds.score.scorecard import run_score

        run_score(self)
        write_report(self.out)
        say(f"{self.out / 'report.html'}")
