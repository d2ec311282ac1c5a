"""A model on disk: model.safetensors, config.json, card.json. Loading one never runs code from it."""

from __future__ import annotations

import json
import shutil
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from threeworlds.routes import get_route
from threeworlds.train.optim import copy_into
from threeworlds.types import ClipSpec, Ledger, Route

SCHEMA = "threeworlds.model/1"
_LARGEST_JSON = 1 << 20  # bytes; ours are a few kilobytes
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_DTYPES |= {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8}
_DTYPES |= {"U8": torch.uint8, "BOOL": torch.bool}


class ModelFileError(ValueError):
    """A model folder is broken, or is not what it says it is."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """Where a model comes from, what it cost and how it scores."""

    route: str
    recipe: str
    config: Any  # the route's config dataclass
    spec: ClipSpec  # of the clips it was trained on
    seed: int = 0
    data_hash: str = ""
    split_hash: str = ""
    ledger: Mapping[str, Ledger] = field(default_factory=dict)  # by stage; "total" is without helpers
    command: str = ""  # what makes this model again
    scores: Mapping[str, float] = field(default_factory=dict)  # "question/metric" -> value


def save_model(path: Path, model: nn.Module, card: Card) -> None:
    """Write the model's weights and its card into the folder ``path``.

    The config is written last and taken away first, and without it there is no model: what a write that was stopped
    leaves is not taken for one.
    """
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").unlink(missing_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in unique_state(model).items()}
    save_file(weights, path / "model.safetensors")
    ledger = {stage: asdict(value) for stage, value in card.ledger.items()}
    rest = ("recipe", "seed", "data_hash", "split_hash", "command")
    plain = {name: getattr(card, name) for name in rest}
    _write_json(path / "card.json", {"schema": SCHEMA, **plain, "ledger": ledger, "scores": dict(card.scores)})
    shutil.copymode(path / "card.json", path / "model.safetensors")  # safetensors lets nobody else read it
    config = {"route": card.route, "recipe": card.recipe, "config": asdict(card.config), "spec": asdict(card.spec)}
    _write_json(path / "config.json", {"schema": SCHEMA, **config})


def load_model(path: str | Path) -> tuple[nn.Module, Card]:
    """Read a model (eval mode, on the CPU) and its card; :class:`ModelFileError` says what is wrong with a folder.

    The route is looked up by its registered name, the config is rebuilt key by key, and every tensor must be one
    that the built model has, of the same shape and type.
    """
    path = Path(path)
    if not (path / "config.json").exists():
        raise ModelFileError(
            f"{path}: no model there (no config.json); `threeworlds zoo list` names those that come along"
        )
    config_file, card_file = path / "config.json", path / "card.json"
    document = _read_json(config_file, ("schema", "route", "recipe", "config", "spec"))
    rest = _read_json(card_file, ("schema", "recipe", "seed", "data_hash", "split_hash", "command", "ledger", "scores"))
    route = _find_route(document["route"], config_file)
    config = rebuild(
        _config_class(route, document["recipe"], config_file), document["config"], f"{config_file}: config"
    )
    spec = rebuild(ClipSpec, document["spec"], f"{config_file}: spec")
    ledger = {name: rebuild(Ledger, value, f"{card_file}: ledger") for name, value in rest.pop("ledger").items()}
    for repeated in ("schema", "recipe"):
        del rest[repeated]
    card = Card(route=route.name, recipe=document["recipe"], config=config, spec=spec, ledger=ledger, **rest)
    return _load_weights(path / "model.safetensors", route, card), card


def unique_state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name; a shared one once, under its first name."""
    first: dict[int, str] = {}
    state = module.state_dict(keep_vars=True)
    return {name: value for name, value in state.items() if first.setdefault(id(value), name) == name}


def rebuild(kind: Any, value: Any, where: str) -> Any:
    """A value of the annotated type ``kind`` from what JSON gave back; ``where`` names it in errors.

    Knows dataclasses (every key present, none unknown), tuples, mappings, unions, literals and plain values.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _rebuild_dataclass(kind, value, where)
    if origin in (Union, types.UnionType):
        return _rebuild_union(arguments, value, where)
    if origin is tuple and isinstance(value, list):
        kinds = [arguments[0]] * len(value) if arguments[-1:] == (...,) else list(arguments)
        if len(kinds) == len(value):
            return tuple(rebuild(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if origin is Literal and value in arguments:
        return value
    if origin in (dict, Mapping) and isinstance(value, dict):
        return {key: rebuild(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is Any or type(value) is kind or (kind is type(None) and value is None):
        return value
    if kind is float and type(value) is int:
        return float(value)
    raise ModelFileError(f"{where}: expected {kind}, got {value!r:.80}")


def _rebuild_dataclass(kind: Any, value: Any, where: str) -> Any:
    """A field that is not given was added since, and its default says what was done before."""
    names = {field.name for field in fields(kind)}
    needed = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    given = set(value) if isinstance(value, dict) else {repr(value)[:80]}
    if not isinstance(value, dict) or not needed <= given <= names:
        raise ModelFileError(
            f"{where}: not a {kind.__name__}: unknown {sorted(given - names)}, missing {sorted(needed - given)}"
        )
    hints = get_type_hints(kind)
    return kind(**{name: rebuild(hints[name], item, f"{where}.{name}") for name, item in value.items()})


def _rebuild_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    causes = []
    for kind in kinds:
        try:
            return rebuild(kind, value, where)
        except ModelFileError as error:
            causes.append(str(error))
    raise ModelFileError("; ".join(causes))


def _find_route(name: Any, file: Path) -> Route:
    try:
        return get_route(name)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{file}: route {name!r:.80} is not registered: {error}") from error


def _config_class(route: Route, recipe: Any, file: Path) -> type:
    if not isinstance(recipe, str) or recipe not in route.recipes:
        raise ModelFileError(f"{file}: recipe {recipe!r:.80} of route {route.name}: expected {sorted(route.recipes)}")
    return type(route.recipes[recipe]())


def _load_weights(file: Path, route: Route, card: Card) -> nn.Module:
    try:
        with safe_open(file, framework="pt") as reader:
            # First on the meta device: a config that asks for more than the file holds must not take the memory.
            with torch.device("meta"):
                _check_tensors(file, reader, unique_state(route.build(card.config, card.spec)))
            model = route.build(card.config, card.spec)
            state = unique_state(model)
            copy_into(state, {name: reader.get_tensor(name) for name in state})
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"{file}: not a readable safetensors file: {error}") from error
    return model.eval()


def _check_tensors(file: Path, reader: Any, expected: Mapping[str, Tensor]) -> None:
    given = set(reader.keys())
    if given != set(expected):
        unknown, missing = sorted(given - set(expected)), sorted(set(expected) - given)
        raise ModelFileError(f"{file}: not this model's tensors: unknown {unknown[:5]}, missing {missing[:5]}")
    for name, tensor in expected.items():
        part = reader.get_slice(name)
        shape, dtype = tuple(part.get_shape()), _DTYPES.get(part.get_dtype())
        if shape != tuple(tensor.shape) or dtype != tensor.dtype:
            raise ModelFileError(
                f"{file}: tensor {name!r} is {part.get_dtype()} {shape}, expected {tensor.dtype} {tuple(tensor.shape)}"
            )


def _write_json(file: Path, document: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(document, indent=1) + "\n")


def _read_json(file: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """An object with exactly these keys."""
    try:
        if file.stat().st_size > _LARGEST_JSON:
            raise ModelFileError(f"{file}: larger than {_LARGEST_JSON} bytes")
        document = json.loads(file.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelFileError(f"{file}: not a readable JSON file: {error}") from error
    if not isinstance(document, dict) or set(document) != set(keys):
        given = sorted(document) if isinstance(document, dict) else type(document).__name__
        raise ModelFileError(f"{file}: expected the keys {sorted(keys)}, got {given}")
    if document["schema"] != SCHEMA:
        raise ModelFileError(f"{file}: schema {document['schema']!r:.80}, expected {SCHEMA!r}")
    return document
