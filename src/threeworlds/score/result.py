"""``result.json``: one :class:`~threeworlds.types.Result` as strict JSON, the same bytes for the same result.

Keys are sorted, rows stand in a canonical order, numbers are written as the shortest text that reads back the same.
JSON has no NaN and no infinity, so both are written as null.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import tempfile
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union

import numpy as np

from threeworlds.types import Result

SCHEMA = "threeworlds.result/1"

# What a row of each table is sorted by.
ORDER: dict[str, tuple[str, ...]] = {
    "rows": ("question", "metric", "world", "route", "checkpoint", "seed"),
    "differences": ("question", "metric", "first", "second"),
    "verdicts": ("claim",),
    "films": ("kind", "item", "route", "path"),
}


class ResultError(ValueError):
    """A result that cannot be read or written; the message names the field, what it held and what is allowed."""


def write_result(result: Result, path: str | Path) -> None:
    """Write ``result`` to ``path``, whole or not at all. Raises ResultError where a field has the wrong type."""
    content = _plain(result)
    _decode(Result, content, "result")  # what is written can be read
    text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False, default=_reject_object)
    write_atomically(Path(path), text + "\n")


def read_result(path: str | Path) -> Result:
    """Read what :func:`write_result` wrote. Raises ResultError naming the file and the field that is wrong."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_reject_constant)
        _check_schema(content)
        return _decode(Result, content, "result")
    except ResultError as error:
        raise ResultError(f"{path}: {error}") from None
    except ValueError as error:  # not UTF-8, or not JSON
        raise ResultError(f"{path}: not a JSON file ({error})") from None


def natural(text: object) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which psnr_h8 stands before psnr_h16."""
    parts = re.split(r"(\d+)", str(text))
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts if part)


def _check_schema(content: Any) -> None:
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise ResultError(f"schema: this version reads {SCHEMA!r}, got {schema!r}")


def _reject_constant(name: str) -> None:
    raise ResultError(f"{name} is not strict JSON; a missing number is null")


# ------------------------------------------------------------------------------------------- writing


def _reject_object(value: object) -> None:
    raise ResultError(f"a result holds numbers, texts, lists and mappings; got a {type(value).__name__}: {value!r}")


def _plain(value: Any) -> Any:
    """Dataclasses, mappings, tuples and numpy values as what JSON knows."""
    if dataclasses.is_dataclass(value):
        return {f.name: _field(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _field(name: str, value: Any) -> Any:
    if name in ORDER:
        value = sorted(value, key=lambda row: [natural(getattr(row, key)) for key in ORDER[name]])
    return _plain(value)


def write_atomically(path: Path, text: str) -> None:
    """Whole or not at all, whenever the process stops."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


# ------------------------------------------------------------------------------------------- reading


def _decode(kind: Any, value: Any, where: str) -> Any:
    """``value``, as JSON gave it, as an instance of the annotated type ``kind``."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    if origin in (Union, types.UnionType):  # only "X or None" crosses this border
        return None if value is None else _decode(arguments[0], value, where)
    if origin is tuple:
        items = _expect(isinstance(value, list), value, "a list", where)
        return tuple(_decode(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if origin is Mapping:
        items = _expect(isinstance(value, dict), value, "an object", where)
        return {key: _decode(arguments[1], item, f"{where}.{key}") for key, item in items.items()}
    if origin is Literal:
        return _expect(value in arguments, value, f"one of {', '.join(map(repr, arguments))}", where)
    return _decode_scalar(kind, value, where)


def _decode_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if kind is float:  # NaN was written as null, a whole number may have lost its point
        return math.nan if value is None else float(_expect(_is_number(value), value, "a number", where))
    allowed = {str: "a text", int: "a whole number"}[kind]
    return _expect(isinstance(value, kind) and not isinstance(value, bool), value, allowed, where)


def _decode_dataclass(kind: Any, value: Any, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    content = _expect(isinstance(value, dict), value, "an object", where)
    if unknown := sorted(content.keys() - hints.keys()):
        raise ResultError(f"{where}: unknown field {unknown[0]!r}; allowed: {', '.join(hints)}")
    required = [f.name for f in dataclasses.fields(kind) if _is_required(f)]
    if missing := [name for name in required if name not in content]:
        raise ResultError(f"{where}: missing field {missing[0]!r}; required: {', '.join(required)}")
    return kind(**{name: _decode(hints[name], item, f"{where}.{name}") for name, item in content.items()})


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _expect(holds: bool, value: Any, allowed: str, where: str) -> Any:
    if not holds:
        raise ResultError(f"{where}: must be {allowed}, got {value!r}")
    return value
