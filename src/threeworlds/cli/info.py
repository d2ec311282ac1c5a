"""``threeworlds info``: this installation and machine, or one trained model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from threeworlds import __version__
from threeworlds.cli.console import print_mapping


@dataclass(frozen=True, kw_only=True)
class Info:
    """Say which versions and which machine these are; with CHECKPOINT, show the card of a trained model."""

    checkpoint: Positional[Path | None] = None
    """Folder of a trained model."""

    def run(self) -> None:
        if self.checkpoint is not None:
            print_mapping(read_card(self.checkpoint), title=str(self.checkpoint))
            return

        from threeworlds.score.machine import describe_machine
        from threeworlds.train import use_machine

        use_machine()
        print_mapping({"threeworlds": __version__, **describe_machine()})


def read_card(checkpoint: Path) -> dict[str, object]:
    """card.json of a trained model.

    Raises:
        FileNotFoundError: no card there.
        ValueError: not JSON.
    """
    path = checkpoint / "card.json"
    try:
        card = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(card, dict):
        raise ValueError(f"{path} holds {type(card).__name__}, not an object")
    return card
