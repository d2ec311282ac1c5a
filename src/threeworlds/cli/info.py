"""``threeworlds info``: this installation and machine, one trained model, or the price of published sizes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
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
    out: Path | None = None
    """For --price: file to write the list to as well, .json."""

    def run(self) -> None:
        if self.price is not None:
            print_prices(ROUTES if self.price == "all" else (self.price,), self.out)
            return
        if self.out is not None:
            raise ValueError(f"--out {self.out} goes with --price")
        if self.checkpoint is not None:
            print_mapping(read_card(self.checkpoint), title=str(self.checkpoint))
            return

        from threeworlds.score.machine import describe_machine
        from threeworlds.train import use_machine

        use_machine()
        print_mapping({"threeworlds": __version__, **describe_machine()})


def print_prices(names: tuple[str, ...], out: Path | None) -> None:
    """One line a published size of these routes, and their sources; as JSON to ``out``.

    Raises:
        ValueError: these routes have none.
    """
    from threeworlds.train.price import COLUMNS, UTILISATION, lines, price

    sizes = {f"{name} {key}": size for name in names for key, size in get_route(name).paper.items()}
    if not sizes:
        have = ", ".join(name for name in ROUTES if get_route(name).paper)
        raise ValueError(f"{', '.join(names)}: no published sizes to price; these have some: {have}")
    bills = {name: price(size) for name, size in sizes.items()}
    title = f"Traced without memory; hours at {UTILISATION:.0%} of the device's peak"
    print_table(COLUMNS, lines(bills), title=title)
    for name, source in dict.fromkeys((name.partition("/")[0], size.source) for name, size in sizes.items()):
        say(f"{name}: {source}")
    if out is not None:
        out.write_text(json.dumps({name: asdict(bill) for name, bill in bills.items()}, indent=1) + "\n")


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
