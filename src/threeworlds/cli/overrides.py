"""``--set key.sub=value``: change single values of a config, by name, with the type the config declares.

``--option key=value``: choose a variant of a built-in world.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

import tyro
from tyro.conf import UseAppendAction, arg

if TYPE_CHECKING:
    from threeworlds.score.compare import Contestant

Config = TypeVar("Config")
NOTHING = ("none", "null")  # as a value: no such part
NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, kw_only=True)
class OfWorld:
    """What every command asks that draws episodes of a built-in world."""

    world: str = "arena"
    """Built-in world (see `threeworlds worlds`) that episodes are drawn from."""
    option: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="KEY=VALUE")] = ()
    """Variant of the world, such as combinations=all (arena) or task=parabola (motion)."""

    @property
    def world_options(self) -> dict[str, str]:
        """--option as keyword arguments of the world."""
        return world_options(self.world, self.option) if self.option else {}


def override(config: Config, assignments: Sequence[str]) -> Config:
    """A copy of a config dataclass with some values changed: ``override(config, ["encoder.width=64", "heads=1,2"])``.

    "critic=none" leaves a part out that may be left out. An unknown key or a value of the wrong type is printed with
    the near names, and the process exits with 2.

    Raises:
        ValueError: an assignment without "=".
    """
    words: list[str] = []
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise ValueError(f"--set takes KEY=VALUE, such as generator.width=128; got {assignment!r}")
        if value.lower() in NOTHING and _may_be_none(type(config), key):
            config = _without(config, key)  # first of all: the parser knows only the options of parts that are there
        else:
            words += [f"--{key}", *value.split(",")]
    style = (tyro.conf.FlagConversionOff, tyro.conf.AvoidSubcommands)
    return tyro.cli(type(config), default=config, args=words, prog="--set", add_help=False, config=style)


def _may_be_none(kind: Any, key: str) -> bool:
    """Whether the field of a config dataclass, "a.b" for one of its parts, can hold None."""
    name, _, rest = key.partition(".")
    kinds = {kind} if is_dataclass(kind) else {part for part in get_args(kind) if is_dataclass(part)}
    allowed = [get_type_hints(part).get(name) for part in kinds]
    if rest:
        return any(_may_be_none(one, rest) for one in allowed)
    return any(type(None) in get_args(one) for one in allowed)


def _without(config: Any, key: str) -> Any:
    """The config with None at ``key``; a part that is not there is left as it is."""
    name, _, rest = key.partition(".")
    if config is None:
        return None
    return replace(config, **{name: _without(getattr(config, name), rest) if rest else None})


def variants(texts: Sequence[str], recipe: str) -> dict[str, Contestant]:
    """Routes with changed recipes, by name, from words such as "pixels=sora:autoencoder.kind=pixels".

    Raises:
        ValueError: not of that form, a name given twice or with other signs than letters, digits and "-", or no such
            route or recipe.
    """
    from threeworlds.score.compare import Contestant, checked_routes, named_config

    found: dict[str, Contestant] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        route, *changes = rest.split(":")
        if not equals or not NAME.fullmatch(name) or name in found:
            raise ValueError(f"--variant {text!r}: takes NAME=ROUTE:KEY=VALUE, each NAME of a-z, 0-9 and - once")
        if len(checked_routes(route)) > 1:
            raise ValueError(f"--variant {text!r}: {route!r} is more than one route")
        found[name] = Contestant(route=route, config=override(named_config(route, recipe), changes))
    return found


def world_options(world: str, assignments: Sequence[str]) -> dict[str, str]:
    """Options of a built-in world, from words such as "layout=random"; the world itself checks the values.

    A game has none.

    Raises:
        ValueError: no such world, or it has no such option.
    """
    from inspect import signature

    from threeworlds.worlds import COLLECTIONS
    from threeworlds.worlds.collect import find_world

    allowed = () if world in COLLECTIONS else tuple(signature(find_world(world).simulator).parameters)
    options: dict[str, str] = {}
    for assignment in assignments:
        key, _, value = assignment.partition("=")
        if key not in allowed or not value:
            known = ", ".join(f"{name}=VALUE" for name in allowed) or "none"
            raise ValueError(f"--option {assignment!r}: options of {world} are: {known}")
        options[key] = value
    return options
