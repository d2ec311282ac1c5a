"""``threeworlds check``: does a route, or a trained model, keep the contract?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from threeworlds.cli.console import print_table


@dataclass(frozen=True, kw_only=True)
class Check:
    """Check that a model keeps the contract of threeworlds.types. For a route, its debug recipe is trained first."""

    target: Positional[str]
    """Folder of a trained model, or name of a route."""

    def run(self) -> None:
        from threeworlds.score.check import check_folder, check_route
        from threeworlds.train import use_machine

        use_machine()
        found = check_folder(Path(self.target)) if Path(self.target).is_dir() else check_route(self.target)
        print_table(("what", "kept", "why not"), ((f.rule, "yes" if not f.problem else "no", f.problem) for f in found))
        broken = [finding.rule for finding in found if finding.problem]
        if broken:
            raise ValueError(f"{self.target} breaks {len(broken)} of {len(found)} rules: {', '.join(broken)}")
