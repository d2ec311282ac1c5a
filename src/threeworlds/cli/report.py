"""``threeworlds report``: write the report of a result again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from threeworlds.cli.console import say


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write report.md and report.html from DIR/result.json. Measures nothing."""

    directory: Positional[Path]
    """Folder that holds result.json and its film strips."""
    beside: tuple[Path, ...] = ()
    """Folders of further results for the guide, where this one has no answer. Remembered in DIR/beside.json."""

    def run(self) -> None:
        from threeworlds.report import remember_beside, write_report

        if self.beside:
            remember_beside(self.directory, self.beside)
        write_report(self.directory)
        say(f"{self.directory / 'report.md'}\n{self.directory / 'report.html'}")
