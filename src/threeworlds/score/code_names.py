"""What the buttons of a learnt world do: a few labelled steps name them.

A table of codes against true actions gives both ways: the code that commands an action, and the action that a code
stands for. It is kept beside the checkpoint as ``codes.json``.
"""

from __future__ import annotations

import json
import logging
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from threeworlds.data import ClipStore
    from threeworlds.types import ClipSpec

logger = logging.getLogger(__name__)

FILE = "codes.json"
LABELLED = 200  # steps with true actions that name the codes, unless asked otherwise


@dataclass(frozen=True, kw_only=True)
class CodeNames:
    """Names of latent actions."""

    names: tuple[str, ...]  # of the true actions
    action_of_code: tuple[int, ...]  # index into ``names``; -1 where no labelled step had the code
    code_of_action: tuple[int, ...]  # one for each name
    labelled: int  # steps that were looked at
    agreement: float  # part of them whose action is the one their code stands for

    def name(self, code: int) -> str:
        """What ``code`` does; "none" for the null action, "?" where nothing is known."""
        if code == len(self.action_of_code):
            return "none"
        action = self.action_of_code[code]
        return self.names[action] if action >= 0 else "?"

    def save(self, folder: Path) -> Path:
        """Write ``codes.json`` into the folder of a checkpoint."""
        path = folder / FILE
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return path


def count(codes: np.ndarray, actions: np.ndarray, n_codes: int, n_actions: int) -> np.ndarray:
    """How often each code went with each action: [n_codes, n_actions]."""
    table = np.zeros((n_codes, n_actions))
    np.add.at(table, (codes.ravel(), actions.ravel()), 1)
    return table


def commands(table: np.ndarray) -> np.ndarray:
    """The code that commands each action best: counts [codes, actions] -> int64 [actions]."""
    return (table / (table.sum(1, keepdims=True) + 1)).argmax(0)  # + 1: a code seen once proves little


def meanings(table: np.ndarray) -> np.ndarray:
    """The commonest action of each code, -1 where it was never seen: counts [codes, actions] -> int64 [codes]."""
    return np.where(table.sum(1) > 0, table.argmax(1), -1)


def name_codes(codes: np.ndarray, actions: np.ndarray, n_codes: int, names: tuple[str, ...]) -> CodeNames:
    """Learn the names from labelled steps: codes and actions, integers of one shape."""
    if codes.shape != actions.shape or codes.size == 0:
        raise ValueError(f"{codes.shape} codes and {actions.shape} actions; needed: one action for each code")
    table = count(codes, actions, n_codes, len(names))
    unseen = [name for name, steps in zip(names, table.sum(0), strict=True) if not steps]
    if unseen:
        told = ", ".join(unseen)
        logger.warning("%d labelled steps have no %s: the codes of these are guesses; label more", codes.size, told)
    return CodeNames(
        names=tuple(names),
        action_of_code=tuple(meanings(table).tolist()),
        code_of_action=tuple(commands(table).tolist()),
        labelled=codes.size,
        agreement=float(table.max(1).sum() / codes.size),
    )


def own_names(spec: ClipSpec) -> CodeNames:
    """The names of discrete actions, where they are what the model is told: nothing is to be learnt."""
    each = tuple(range(spec.action.size))
    names = spec.action.names or tuple(map(str, each))
    return CodeNames(names=names, action_of_code=each, code_of_action=each, labelled=0, agreement=1.0)


def names_from_clips(model: Any, store: ClipStore, *, labelled: int = LABELLED, seed: int = 0) -> CodeNames:
    """Names from ``labelled`` steps of a store's training split, in windows drawn by seed."""
    from threeworlds.data import Windows

    action = store.spec.action
    if action.kind != "discrete":
        raise ValueError(f"codes are named by discrete actions; these clips have {action.kind}")
    frames = min(20, min(store.length(int(i)) for i in store.split("train")))
    windows = Windows(store, split="train", frames=frames, batch_size=1, columns=("video", "action"))
    batch = windows.fixed(-(-labelled // (frames - 1)), seed)
    assert batch.video is not None and batch.action is not None
    codes = model.infer_codes(batch.video).flatten()[:labelled].numpy()
    names = action.names or tuple(map(str, range(action.size)))
    return name_codes(codes, batch.action.flatten()[:labelled].numpy(), model.n_codes, names)


def names_from_world(model: Any, spec: ClipSpec, *, labelled: int = LABELLED, seed: int = 1) -> CodeNames:
    """Names from episodes made anew of the world, or the game, that the model was trained on.

    Raises:
        ValueError: it was trained on video from outside, or has no discrete actions.
    """
    from threeworlds.score.clips import generate

    if not spec.world or spec.action.kind != "discrete":
        raise ValueError("codes are named by labelled steps; this model's clips have no world that could give them")
    with tempfile.TemporaryDirectory() as folder:
        episodes = max(20, labelled // 10)
        store = generate(spec.world, Path(folder) / "clips", episodes=episodes, seed=seed, size=spec.height, workers=1)
        return names_from_clips(model, store, labelled=labelled)


def load_names(folder: Path) -> CodeNames | None:
    """What ``codes.json`` says, or None where there is none.

    Raises:
        ValueError: the file is not what `CodeNames.save` writes.
    """
    from threeworlds.train.model_files import rebuild

    path = folder / FILE
    if not path.exists():
        return None
    try:
        found: CodeNames = rebuild(CodeNames, json.loads(path.read_text()), str(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} does not name codes: {error}") from error
    return found
