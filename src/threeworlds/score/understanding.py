"""Understanding: what of the true state can be read off a model's states by a linear probe?

The probe is ridge regression on states of training episodes, judged on held-out episodes. The floor is the same
network before training: random features of a small picture tell much already.

Legend: n items, t frames, d state, v variables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from threeworlds.score.exam import GIVEN, Answers, Entrant, Exam, Measured
from threeworlds.types import Represents

CHUNK = 50
RIDGE = 1e-3  # on standardised features, times their number of samples
FLOOR = "untrained encoder"

Probe = tuple[np.ndarray, np.ndarray]  # read and true values [n, t, v]


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Position, velocity and attributes, wherever the state is known."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Represents)]
    absent = {e.route: "keeps no state" for e in entrants if e not in able}
    if exam.test.state is None or exam.train.state is None:
        why = "the true state of these clips is not known"
        return Answers(measured=tuple(_measured(m, {}, {}, {e.route: why for e in entrants}) for m in _metrics(exam)))
    states = {e.route: (_states(e.model, exam), _states(e.untrained, exam)) for e in able}
    found = []
    for metric in _metrics(exam):
        trained = {route: metric.probe(exam, *both[0]) for route, both in states.items()}
        random = {route: (FLOOR, metric.probe(exam, *both[1])) for route, both in states.items()}
        found.append(_measured(metric, trained, random, absent))
    return Answers(measured=tuple(found))


@dataclass(frozen=True)
class _Metric:
    """A metric of probes: which variables, and how well they are read."""

    name: str
    unit: str
    text: str
    columns: list[int]  # of the state
    statistic: Callable[..., float]
    classes: bool = False  # not numbers but kinds

    def probe(self, exam: Exam, train: np.ndarray, test: np.ndarray) -> Probe:
        assert exam.train.state is not None and exam.test.state is not None
        truth = _truth(exam.train.state, exam)[..., self.columns], _truth(exam.test.state, exam)[..., self.columns]
        fit = _classify if self.classes else _regress
        read = np.stack([fit(train, test, truth[0][..., i]) for i in range(len(self.columns))], axis=-1)
        return read, truth[1]


def _metrics(exam: Exam) -> list[_Metric]:
    places = _columns(exam, "x", "y")
    speeds, looks = _columns(exam, "vx", "vy"), _columns(exam, "colour", "shape", "size")
    metrics = [_Metric("position_r", "Pearson r", "mean correlation over positions", places, correlation)]
    if speeds or not exam.spec.state_names:
        metrics.append(_Metric("velocity_r2", "R2", "mean R2 over velocities", speeds, r_squared))
    if looks:
        text = "part of the held-out frames whose colour, shape and size are read right"
        metrics.append(_Metric("attributes", "of frames", text, looks, accuracy, classes=True))
    return metrics


def _measured(metric: _Metric, values: Any, floors: Any, absent: dict[str, str]) -> Measured:
    return Measured(
        question="understanding",
        metric=metric.name,
        unit=metric.unit,
        direction="higher",
        protocol=f"linear probe on frozen states, trained on other episodes: {metric.text}",
        values=values,
        own_floors=floors,
        absent=absent,
        statistic=metric.statistic,
    )


# -------------------------------------------------------------------------------------- statistics


def correlation(read: np.ndarray, true: np.ndarray) -> float:
    """Mean Pearson correlation over variables; [n, t, v] each."""
    return _mean_over_variables(_pearson, read, true)


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    """0 where one of the two is constant."""
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else 0.0


def r_squared(read: np.ndarray, true: np.ndarray) -> float:
    """Mean over variables of 1 - (squared error) / (variance)."""
    return _mean_over_variables(lambda a, b: float(1 - ((a - b) ** 2).mean() / b.var()), read, true)


def accuracy(read: np.ndarray, true: np.ndarray) -> float:
    """Mean over variables of the part read right."""
    return _mean_over_variables(lambda a, b: float((a == b).mean()), read, true)


def _mean_over_variables(statistic: Callable[..., float], read: np.ndarray, true: np.ndarray) -> float:
    columns = [(read[..., v], true[..., v]) for v in range(true.shape[-1])]
    return float(np.mean([statistic(a[~np.isnan(b)], b[~np.isnan(b)]) for a, b in columns]))


# ------------------------------------------------------------------------------------------ probes


def _states(model: Any, exam: Exam) -> tuple[np.ndarray, np.ndarray]:
    """Standardised states of the training and the held-out windows, [n, t, d]; the first frames lack their past."""
    train, test = (_represent(model, batch.video) for batch in (exam.train, exam.test))
    mean, std = train.mean((0, 1)), train.std((0, 1)) + 1e-6
    return (train - mean) / std, (test - mean) / std


def _represent(model: Any, video: Tensor | None) -> np.ndarray:
    assert video is not None
    parts = [model.represent(video[i : i + CHUNK]).z[:, GIVEN - 1 :] for i in range(0, len(video), CHUNK)]
    return np.concatenate([part.cpu().numpy() for part in parts]).astype(np.float64)


def _regress(train: np.ndarray, test: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Ridge regression: states [m, t, d], target [m, t] with NaN left out -> read values of the held-out [n, t]."""
    known = ~np.isnan(target)
    x, y = train[known], target[known]
    gram = x.T @ x + RIDGE * len(x) * np.eye(x.shape[1])
    return test @ np.linalg.solve(gram, x.T @ (y - y.mean())) + y.mean()


def _classify(train: np.ndarray, test: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The class whose indicator the ridge regression reads highest."""
    classes = np.unique(target[~np.isnan(target)])
    marks = [np.where(np.isnan(target), np.nan, target == c) for c in classes]
    return classes[np.stack([_regress(train, test, mark) for mark in marks]).argmax(0)]


def _columns(exam: Exam, *endings: str) -> list[int]:
    """State variables of moving bodies by the end of their names; of several shapes the first stands for all.

    What never varies has nothing to be read: the second ball where there is one, the height of a ball that rolls.
    """
    left_out = ("shape1", "wall", "door")
    states = [_truth(batch.state, exam) for batch in (exam.train, exam.test) if batch.state is not None]
    names = enumerate(exam.spec.state_names)
    asked = [i for i, name in names if name.split("_")[-1] in endings and not name.startswith(left_out)]
    return [i for i in asked if all(_varies(state[..., i]) for state in states)]


def _varies(values: np.ndarray) -> bool:
    return len(np.unique(values[~np.isnan(values)])) > 1


def _truth(state: Tensor, exam: Exam) -> np.ndarray:
    """True states of the probed frames [n, t, s]. With two shapes "the first" is a matter of order, so NaN there."""
    truth = state[:, GIVEN - 1 :].double().numpy().copy()
    names = exam.spec.state_names
    if "shape1_x" in names:
        crowded = ~np.isnan(truth[..., names.index("shape1_x")])
        first = [i for i, name in enumerate(names) if name.startswith("shape0")]
        truth[..., first] = np.where(crowded[..., None], np.nan, truth[..., first])
    return truth
