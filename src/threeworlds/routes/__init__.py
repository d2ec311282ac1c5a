"""The three routes, found by name. A route wires parts and states its objective; routes never import each other.

A package from outside joins with an entry point of the group ``threeworlds.routes``, whose name is the route's and
whose object is a :class:`~threeworlds.types.Route`. It is then trained, scored and compared like the three.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threeworlds.types import Route

ROUTES = ("sora", "genie", "jepa")
HELPERS = ("captioner",)  # trained and kept as routes are, but no world models
GROUP = "threeworlds.routes"


def route_names() -> tuple[str, ...]:
    """The three routes, then those of installed packages by name."""
    return ROUTES + tuple(sorted({point.name for point in entry_points(group=GROUP)} - {*ROUTES, *HELPERS}))


def get_route(name: str) -> Route:
    """The route (or helper) of that registered name, imported now and not before."""
    if name in (*ROUTES, *HELPERS):
        module = "sora.captioner" if name == "captioner" else f"{name}.route"
        own: Route = import_module(f"threeworlds.routes.{module}").ROUTE
        return own
    for point in entry_points(group=GROUP, name=name):
        found: Route = point.load()
        if found.name != name:
            raise ValueError(f"the entry point {name!r} of {GROUP} holds a route called {found.name!r}")
        return found
    raise ValueError(f"no route {name!r}; routes: {', '.join(route_names())}")
