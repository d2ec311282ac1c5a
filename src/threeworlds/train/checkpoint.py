"""A checkpoint: a folder of one safetensors file and one JSON file, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

SCHEMA = "threeworlds.checkpoint/1"
FINISHED = "finished"
_TENSORS, _STATE = "tensors.safetensors", "state.json"


class CheckpointError(ValueError):
    """No checkpoint in a folder can be used."""


class CheckpointWarning(UserWarning):
    """A checkpoint is torn or was changed; an earlier one is used."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a checkpoint holds: tensors by name, and plain values."""

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


def step_name(step: int) -> str:
    """Folder name of the checkpoint after that many steps."""
    return f"step-{step:08d}"


def write_checkpoint(folder: Path, name: str, checkpoint: Checkpoint) -> Path:
    """Write ``folder/name`` so that it is there complete or not there, whenever the process or the machine stops."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary, final = folder / f".{name}.tmp", folder / name
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    save_file({key: value.detach().contiguous() for key, value in checkpoint.tensors.items()}, temporary / _TENSORS)
    document = {"schema": SCHEMA, "tensors_sha256": _file_digest(temporary / _TENSORS), "state": dict(checkpoint.state)}
    (temporary / _STATE).write_text(json.dumps({**document, "sha256": _digest(document)}))
    for part in (temporary / _TENSORS, temporary / _STATE, temporary):
        sync(part)
    if final.exists():  # a bad one of this name: it was passed over when the run was resumed
        shutil.rmtree(final)
    temporary.rename(final)
    sync(folder)
    return final


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify one checkpoint; a ValueError says what is wrong with it."""
    document = json.loads((path / _STATE).read_text())
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f"{_STATE} is not of schema {SCHEMA}")
    if document.pop("sha256", None) != _digest(document):
        raise ValueError(f"{_STATE} was changed: its digest does not fit")
    if document["tensors_sha256"] != _file_digest(path / _TENSORS):
        raise ValueError(f"{_TENSORS} is torn or was changed: its digest does not fit")
    return Checkpoint(tensors=load_file(path / _TENSORS), state=document["state"])


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest usable checkpoint of a stage's folder, None if there is none yet.

    A bad one is named in a :class:`CheckpointWarning` and passed over. All bad: :class:`CheckpointError`.
    """
    causes = []
    for path in reversed(checkpoint_paths(folder)):
        try:
            return read_checkpoint(path)
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            causes.append(f"{path}: {error}")
            warnings.warn(f"checkpoint passed over: {causes[-1]}", CheckpointWarning, stacklevel=2)
    if causes:
        raise CheckpointError("no usable checkpoint: " + "; ".join(causes))
    return None


def checkpoint_paths(folder: Path) -> list[Path]:
    """Checkpoints of a stage's folder, oldest first, the finished one last."""
    steps = sorted(path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name))
    return steps + [path for path in (folder / FINISHED,) if path.exists()]


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Delete all but the last ``keep`` step checkpoints."""
    steps = [path for path in checkpoint_paths(folder) if path.name != FINISHED]
    for path in steps[:-keep]:
        shutil.rmtree(path)


def sync(path: Path) -> None:
    """Have the system put a file or folder on the disk now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
