"""Training: one loop for every trainable, its budget and ledger, checkpoints and model files.

What lives here: how weights come to be and are kept. Not here: what is learnt (routes) and how good it is (score).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threeworlds.train.budget import Budget
    from threeworlds.train.checkpoint import CheckpointError, CheckpointWarning
    from threeworlds.train.loop import TrainingError
    from threeworlds.train.machine import use_machine
    from threeworlds.train.model_files import Card, ModelFileError, load_model, save_model
    from threeworlds.train.run import ResumeError, TrainedRun, train_route

__all__ = [
    "Budget",
    "Card",
    "CheckpointError",
    "CheckpointWarning",
    "ModelFileError",
    "ResumeError",
    "TrainedRun",
    "TrainingError",
    "load_model",
    "save_model",
    "train_route",
    "use_machine",
]

_HOME = {
    "Budget": "budget",
    "Card": "model_files",
    "CheckpointError": "checkpoint",
    "CheckpointWarning": "checkpoint",
    "ModelFileError": "model_files",
    "ResumeError": "run",
    "TrainedRun": "run",
    "TrainingError": "loop",
    "load_model": "model_files",
    "save_model": "model_files",
    "train_route": "run",
    "use_machine": "machine",
}


def __getattr__(name: str) -> Any:
    """Torch takes seconds to import, so each name is fetched when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
