"""``threeworlds info``: this installation and machine, one trained model, or the price of published sizes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
    out: Path | None = None
    """With --price: JSON file for the prices."""

    def run(self) -> None:
        if self.price is not None:
            rows = prices(ROUTES if self.price == "all" else (self.price,))
            print_prices(rows)
            if self.out is not None:
                command = f"threeworlds info --price {self.price} --out {self.out}"
                self.out.write_text(json.dumps({"command": command, "rows": rows}, indent=1) + "\n")
            return
        if self.out is not None:
            raise ValueError("--out goes with --price")
        if self.checkpoint is not None:
            print_mapping(read_card(self.checkpoint), title=str(self.checkpoint))
            return

        from threeworlds.score.machine import describe_machine
        from threeworlds.train import use_machine

        use_machine()
        print_mapping({"threeworlds": __version__, **describe_machine()})


def prices(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The price of every published size of these routes."""
    from threeworlds.train.price import DEVICE, UTILISATION, price

    how = {"device": DEVICE, "utilisation": UTILISATION}
    return [
        {"size": f"{name} {key}", "source": size.source, **asdict(price(size)), **how}
        for name in names
        for key, size in get_route(name).paper.items()
    ]


def print_prices(rows: list[dict[str, Any]]) -> None:
    """One line a published size, and where each was published."""
    lines = [
        (
            row["size"],
            f"{row['parameters'] / 1e6:,.0f} M ({row['published_parameters'] / 1e6:,.0f} M)",
            f"{row['clip_flops'] / 1e9:,.0f}",
            f"{row['memory_gb']:,.1f}",
            f"{row['clips'] / 1e6:,.1f} M",
            f"{row['device_hours']:,.0f}",
        )
        for row in rows
    ]
    device, utilisation = rows[0]["device"], rows[0]["utilisation"]
    columns = ("size", "parameters (published)", "GFLOP a clip", "GB to train", "clips", f"{device} hours")
    print_table(columns, lines, title=f"Traced without memory; hours at {utilisation:.0%} of the device's peak")
    for row in rows:
        say(f"{row['size']}: {row['source']}")


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
