"""Where the commands print, and the shapes they print in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

output = Console()
errors = Console(stderr=True)


def say(text: str) -> None:
    """Print a line as it is: no markup, no wrapping, so that a path can be copied."""
    output.print(text, markup=False, highlight=False, soft_wrap=True)


def print_table(columns: Iterable[str], rows: Iterable[Iterable[Any]], *, title: str | None = None) -> None:
    """A table of plain values; nothing in them is read as markup."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")  # a hash or a path is worth more whole than on one line
    for row in rows:
        table.add_row(*(escape(as_text(cell)) for cell in row))
    output.print(table)


def as_text(cell: Any) -> str:
    if cell is None or cell in ("", [], (), {}):
        return "-"
    return ", ".join(map(str, cell)) if isinstance(cell, list | tuple) else str(cell)


def print_mapping(values: Mapping[str, Any], *, title: str | None = None) -> None:
    """Name and value, one a line; nested mappings with dotted names."""
    print_table(("what", "value"), flatten(values), title=title)


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """{"a": {"b": 1}} -> [("a.b", 1)]."""
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            pairs += flatten(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", value))
    return pairs
