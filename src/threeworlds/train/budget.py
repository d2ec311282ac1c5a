"""How much may be spent on a model: seconds, FLOPs, clips or steps."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Literal

from threeworlds.types import Ledger

_UNITS: dict[str, tuple[Literal["seconds", "flops", "clips", "steps"], float]] = {
    "s": ("seconds", 1.0),
    "m": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
    "flops": ("flops", 1.0),
    "clips": ("clips", 1.0),
    "steps": ("steps", 1.0),
}
_FORM = re.compile(r"(?P<number>\d+(\.\d*)?(e\+?\d+)?)\s*(?P<unit>[a-z]+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """An amount of one thing that a ledger counts.

    Clips, FLOPs and steps are spent the same way in every run, so such a run can be repeated bit for bit. Seconds
    are not: the learning rate follows the progress, and the progress then follows the clock.
    """

    kind: Literal["seconds", "flops", "clips", "steps"]
    amount: float  # > 0, in the unit that ``kind`` names

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read "4m", "90s", "2h", "2e13flops", "50000clips" or "300steps"; anything else is a ValueError."""
        match = _FORM.fullmatch(text.strip())
        unit = match["unit"].lower() if match else ""
        number = float(match["number"]) if match else 0.0
        if unit not in _UNITS or not 0 < number < math.inf:
            raise ValueError(
                f"budget {text!r}: expected a positive number and one of {', '.join(_UNITS)}, "
                "such as 4m, 90s, 2h, 2e13flops, 50000clips or 300steps"
            )
        kind, scale = _UNITS[unit]
        return cls(kind=kind, amount=number * scale)

    def scaled(self, part: float) -> Budget:
        """That part of the budget; a budget of 300 steps scaled by 0.5 is one of 150."""
        return replace(self, amount=self.amount * part)

    def progress(self, spent: Ledger) -> float:
        """What was spent as a part of the budget: 0 at the start, 1 or a little more at the end."""
        return float(getattr(spent, self.kind)) / self.amount

    def __str__(self) -> str:
        unit = "s" if self.kind == "seconds" else self.kind
        return f"{self.amount:.12g}{unit}"
