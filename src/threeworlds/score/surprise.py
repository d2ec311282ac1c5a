"""Surprise: does a model notice when the impossible happens?

Matched twins (see worlds/impossible.py) are equal until something impossible happens in one of them. A model says how
surprised it is by each frame, in a unit of its own; so only the order of clips counts. After the intuitive-physics
protocol of V-JEPA (arXiv 2502.11831): single clips by their most surprising frame, pairs by their mean.

Legend: n pairs, t frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from threeworlds.score.exam import EXAM_SEEDS, Answers, Entrant, Exam, Measured
from threeworlds.types import Surprised
from threeworlds.worlds.impossible import EARLIEST, KINDS, Twins, make_twins

if TYPE_CHECKING:
    from torch import Tensor

VERSION = "1"
CHUNK = 50
PAIRS = 100
WORLDS_WITH_TWINS = ("arena",)

Scores = tuple[np.ndarray, np.ndarray]  # surprise [n, t] of the possible and of the impossible clips


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """AUROC and relative accuracy, for each kind of impossible event."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Surprised)]
    absent = {e.route: "does not say how surprised it is" for e in entrants if e not in able}
    if exam.spec.world not in WORLDS_WITH_TWINS:
        why = f"impossible twins are made of {', '.join(WORLDS_WITH_TWINS)} alone"
        unasked = {e.route: why for e in entrants}
        return Answers(measured=tuple(m for kind in KINDS for m in _measured(kind, {}, {}, unasked)))
    assert exam.test.video is not None
    pairs = min(PAIRS, len(exam.test.video))
    found: list[Measured] = []
    for kind in KINDS:
        twins = make_twins(kind, pairs=pairs, seed=exam.seed + EXAM_SEEDS, size=exam.spec.height)
        values = {e.route: _scores(e.model, twins) for e in able}
        found += _measured(kind, values, {"change of the picture": _changes(twins)}, absent)
    return Answers(measured=tuple(found))


def _measured(
    kind: str, values: dict[str, Scores], floors: dict[str, Scores], absent: dict[str, str]
) -> list[Measured]:
    common: dict[str, Any] = {
        "question": "surprise",
        "direction": "higher",
        "absent": absent,
        "values": values,
        "windows": False,
    }
    event = kind.replace("_", " ")
    return [
        Measured(
            **common,
            metric=f"auroc_{kind}",
            unit="AUROC",
            protocol=f"{event}: the most surprising frame of impossible clips against that of possible ones, unpaired",
            floors=floors,
            statistic=auroc,
        ),
        Measured(
            **common,
            metric=f"relative_{kind}",
            unit="of pairs",
            protocol=f"{event}: the impossible clip of a matched pair surprises more, in the mean over frames",
            floors=floors,
            statistic=relative_accuracy,
        ),
    ]


def auroc(possible: np.ndarray, impossible: np.ndarray) -> float:
    """Chance that an impossible clip peaks above a possible one [n, t] each; ties count half (Mann-Whitney)."""
    low, high = possible.max(1), impossible.max(1)
    ranks = rankdata(np.concatenate([low, high]))[len(low) :]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(low) * len(high)))


def relative_accuracy(possible: np.ndarray, impossible: np.ndarray) -> float:
    """Part of the pairs [n, t] whose impossible clip has the higher mean; ties count half."""
    gap = impossible.mean(1) - possible.mean(1)
    return float((gap > 0).mean() + (gap == 0).mean() / 2)


def _scores(model: Surprised, twins: Twins) -> Scores:
    return _surprise(model, twins.possible, twins.action), _surprise(model, twins.impossible, twins.action)


def _surprise(model: Surprised, frames: np.ndarray, action: np.ndarray) -> np.ndarray:
    """[n, t] from the first frame on that an event may touch: before it, models are still looking."""
    import torch

    video, actions = _as_video(frames), torch.from_numpy(action)
    parts = [model.surprise(video[i : i + CHUNK], actions[i : i + CHUNK]) for i in range(0, len(video), CHUNK)]
    return torch.cat(parts)[:, EARLIEST:].double().numpy()


def _changes(twins: Twins) -> Scores:
    """The floor: squared change of each picture from the last."""
    films = (_as_video(twins.possible), _as_video(twins.impossible))
    first, second = (film.diff(dim=1).square().mean((2, 3, 4))[:, EARLIEST - 1 :].double().numpy() for film in films)
    return first, second


def _as_video(frames: np.ndarray) -> Tensor:
    """uint8 [n, t, h, w, 3] -> float32 [n, t, 3, h, w] in [-1, 1]."""
    import torch

    return torch.from_numpy(frames).movedim(-1, 2).float() * (2 / 255) - 1
