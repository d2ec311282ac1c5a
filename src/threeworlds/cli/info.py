"""``threeworlds info``: this installation and machine, one trained model, or the price of published sizes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from threeworlds import __version__
from threeworlds.cli.console import print_mapping, print_table, say
from threeworlds.routes import ROUTES, get_route


@dataclass(frozen=True, kw_only=True)
class Info:
    """Say which versions and which machine these are; with CHECKPOINT, show the card of a trained model.

    With --price, what the published sizes of a route would cost to train.
    """

    checkpoint: Positional[Path | None] = None
    """Folder of a trained model."""
    price: str | None = None
    """Route whose published sizes to price, or "all"."""

    def run(self) -> None:
        if self.price is not None:
            print_prices(ROUTES if self.price == "all" else (self.price,))
            return
        if self.checkpoint is not None:
            print_mapping(read_card(self.checkpoint), title=str(self.checkpoint))
            return

        from threeworlds.score.machine import describe_machine
        from threeworlds.train import use_machine

        use_machine()
        print_mapping({"threeworlds": __version__, **describe_machine()})


def print_prices(names: tuple[str, ...]) -> None:
    """One line a published size of these routes."""
    from threeworlds.train.price import DEVICE, UTILISATION, price

    bills = {f"{name} {key}": (size, price(size)) for name in names for key, size in get_route(name).paper.items()}
    lines = [
        (
            name,
            f"{bill.parameters / 1e6:,.0f} M ({bill.published_parameters / 1e6:,.0f} M)",
            f"{bill.clip_flops / 1e9:,.0f}",
            f"{bill.memory_gb:,.1f}",
            f"{bill.clips / 1e6:,.1f} M",
            f"{bill.device_hours:,.0f}",
        )
        for name, (_, bill) in bills.items()
    ]
    columns = ("size", "parameters (published)", "GFLOP a clip", "GB to train", "clips", f"{DEVICE} hours")
    print_table(columns, lines, title=f"Traced without memory; hours at {UTILISATION:.0%} of the device's peak")
    for name, (size, _) in bills.items():
        say(f"{name}: {size.source}")


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
