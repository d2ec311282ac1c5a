"""``--set key.sub=value``: change single values of a config, by name, with the type the config declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import tyro

Config = TypeVar("Config")


def override(config: Config, assignments: Sequence[str]) -> Config:
    """A copy of a config dataclass with some values changed: ``override(config, ["encoder.width=64", "heads=1,2"])``.

    An unknown key or a value of the wrong type is printed with the near names, and the process exits with 2.

    Raises:
        ValueError: an assignment without "=".
    """
    words: list[str] = []
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise ValueError(f"--set takes KEY=VALUE, such as generator.width=128; got {assignment!r}")
        words += [f"--{key}", *value.split(",")]
    style = (tyro.conf.FlagConversionOff, tyro.conf.AvoidSubcommands)
    return tyro.cli(type(config), default=config, args=words, prog="--set", add_help=False, config=style)
