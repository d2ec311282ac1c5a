"""Planners: functions that know a cost, never a model class."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from threeworlds.planning.cem import cem
from threeworlds.planning.gradient import gradient
from threeworlds.planning.icem import icem
from threeworlds.planning.mppi import mppi
from threeworlds.planning.search import Search

SEARCHES: Mapping[str, Search] = MappingProxyType({"cem": cem, "icem": icem, "mppi": mppi, "gradient": gradient})


def find_search(name: str) -> Search:
    """The search of that name. Raises ValueError where there is none."""
    if name not in SEARCHES:
        raise ValueError(f"search {name!r}: allowed are {', '.join(SEARCHES)}")
    return SEARCHES[name]
