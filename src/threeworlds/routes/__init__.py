"""The three routes, found by name. A route wires parts and states its objective; routes never import each other."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threeworlds.types import Route

ROUTES = ("sora", "genie", "jepa")
HELPERS = ("captioner",)  # trained and kept as routes are, but no world models


def get_route(name: str) -> Route:
    """The route (or helper) of that registered name, imported now and not before."""
    if name not in (*ROUTES, *HELPERS):
        raise ValueError(f"no route {name!r}; routes: {', '.join(ROUTES)}")
    module = "sora.captioner" if name == "captioner" else f"{name}.route"
    route: Route = import_module(f"threeworlds.routes.{module}").ROUTE
    return route
