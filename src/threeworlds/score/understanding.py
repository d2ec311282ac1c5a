"""Understanding: what of the true state can be read off a model's states by a probe?

Probes are fitted to states of training episodes and judged on held-out episodes: a linear one, and a small network
that finds what is there but not laid out; states made of tokens are also read by one that attends to them. The floor
is the same model before training: random features of a small picture tell much already. Positions are also read by a
linear probe that was told the state of few training windows alone. Where a model predicts states, the linear probe
also reads these, beside the last state it was given, and their error is told.

Legend: n items, t frames, d state, v variables, k targets of a probe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from threeworlds.score.exam import GIVEN, Answers, Entrant, Exam, Measured
from threeworlds.score.probes import Probe, attentive, linear, small_network
from threeworlds.types import Imagines, Represents

VERSION = "3"
CHUNK = 50
FLOOR = "untrained encoder"
STILL = "no change"  # the floor of what is foreseen: the state of the last given frame, taken for the one to come
LABELS = (5, 20, 100)  # training windows, one an episode, whose state a probe of few labels is told
PROBES: Mapping[str, tuple[Probe, str]] = {"": (linear, "linear probe"), "_mlp": (small_network, "small network")}

Read = tuple[np.ndarray, np.ndarray]  # read and true values [n, t, v]
States = tuple[np.ndarray, np.ndarray]  # of the training and of the held-out windows [n, t, d]


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Position, velocity and attributes, wherever the state is known; and how far ahead states are foreseen."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Represents)]
    absent = {e.route: "keeps no state" for e in entrants if e not in able}
    ahead = {e.route: Ahead(e.model, exam) for e in able if isinstance(e.model, Imagines)}
    shy = absent | {e.route: "predicts no states" for e in able if e.route not in ahead}
    return Answers(measured=(*_read(exam, able, ahead, absent, shy), *_roll_outs(exam, ahead, shy)))


def _read(
    exam: Exam,
    able: Sequence[Entrant],
    ahead: Mapping[str, Ahead],
    absent: dict[str, str],
    shy: dict[str, str],
) -> list[Measured]:
    metrics = _metrics(exam)
    if exam.test.state is None or exam.train.state is None:
        why = dict.fromkeys([*absent, *(e.route for e in able)], "the true state of these clips is not known")
        return [_measured(metric, "", f"{PROBES[''][1]} on frozen states", {}, {}, why) for metric in metrics]
    states = {e.route: (_states(e.model, exam), _states(e.untrained, exam)) for e in able}
    found = []
    for suffix, (probe, name) in PROBES.items():
        trained = {route: _probed(probe, metrics, exam, *both[0]) for route, both in states.items()}
        random = {route: _probed(probe, metrics, exam, *both[1]) for route, both in states.items()}
        for i, metric in enumerate(metrics):
            floors = {route: (FLOOR, reads[i]) for route, reads in random.items()}
            values = {r: reads[i] for r, reads in trained.items()}
            found.append(_measured(metric, suffix, f"{name} on frozen states", values, floors, absent))
    found += _of_tokens(exam, metrics, able, states, absent)
    if metrics[0].columns:
        found += [_few_labels(exam, metrics[0], states, absent, n) for n in LABELS if n <= len(exam.train.state)]
    how = "linear probe on states predicted that far"
    for metric in metrics:
        for horizon in exam.horizons:
            values = {route: ahead[route].read(metric, exam, states[route][0][0], horizon) for route in ahead}
            still = {r: (STILL, each.read_still(metric, exam, states[r][0][0], horizon)) for r, each in ahead.items()}
            found.append(_measured(metric, f"_h{horizon}", how, values, still, shy))
    return found


def _of_tokens(
    exam: Exam,
    metrics: Sequence[_Metric],
    able: Sequence[Entrant],
    states: Mapping[str, tuple[States, States]],
    absent: dict[str, str],
) -> list[Measured]:
    """The attentive probe, where a state is made of tokens; asked of nobody where none is."""
    tokens = {e.route: _tokens(e.model, exam) for e in able}
    probes = {route: attentive(n) for route, n in tokens.items() if n > 1}
    if not probes:
        return []
    trained, random = (
        {route: _probed(probe, metrics, exam, *states[route][i]) for route, probe in probes.items()} for i in (0, 1)
    )
    absent = absent | {
        route: "its state is one vector: nothing to attend to" for route in tokens if route not in probes
    }
    found = []
    for i, metric in enumerate(metrics):
        values = {route: reads[i] for route, reads in trained.items()}
        floors = {route: (FLOOR, reads[i]) for route, reads in random.items()}
        found.append(_measured(metric, "_attentive", "attentive probe on frozen tokens", values, floors, absent))
    return found


def _few_labels(
    exam: Exam, metric: _Metric, states: Mapping[str, tuple[States, States]], absent: dict[str, str], labels: int
) -> Measured:
    """The linear probe, told the state of the first ``labels`` training windows; they are in an order drawn by seed.

    Its inputs are standardised by all training windows: pictures cost nothing, it is labels that are few.
    """
    trained, random = (
        {route: _probed(linear, [metric], exam, *both[i], labels)[0] for route, both in states.items()} for i in (0, 1)
    )
    floors = {route: (FLOOR, read) for route, read in random.items()}
    how = f"linear probe on frozen states, with the labels of {labels} windows"
    return _measured(metric, f"_labels_{labels}", how, trained, floors, absent)


@dataclass(frozen=True)
class _Metric:
    """A metric of probes: which variables, and how well they are read."""

    name: str
    unit: str
    text: str
    columns: list[int]  # of the state
    statistic: Callable[..., float]
    classes: bool = False  # not numbers but kinds

    def truth(self, state: np.ndarray) -> np.ndarray:
        return state[..., self.columns]

    def kinds(self, exam: Exam) -> list[np.ndarray]:
        """Of each variable, the values it takes in the training windows."""
        assert exam.train.state is not None
        truth = self.truth(_truth(exam.train.state, exam))
        return [np.unique(truth[..., i][~np.isnan(truth[..., i])]) for i in range(len(self.columns))]

    def targets(self, exam: Exam) -> np.ndarray:
        """What a probe is fitted to, [m, t, k]: the variables themselves, or an indicator of each kind."""
        assert exam.train.state is not None
        truth = self.truth(_truth(exam.train.state, exam))
        if not self.classes:
            return truth
        marks = [np.where(np.isnan(truth[..., i]), np.nan, truth[..., i] == c) for i, c in self._each_kind(exam)]
        return np.stack(marks, axis=-1)

    def answer(self, exam: Exam, read: np.ndarray) -> np.ndarray:
        """What a probe has read [n, t, k] -> values of the variables [n, t, v]: the kind it reads highest."""
        if not self.classes:
            return read
        places = np.array([i for i, _ in self._each_kind(exam)])
        return np.stack([c[read[..., places == i].argmax(-1)] for i, c in enumerate(self.kinds(exam))], axis=-1)

    def _each_kind(self, exam: Exam) -> list[tuple[int, float]]:
        return [(i, c) for i, kinds in enumerate(self.kinds(exam)) for c in kinds]


def _probed(
    probe: Probe,
    metrics: Sequence[_Metric],
    exam: Exam,
    train: np.ndarray,
    test: np.ndarray,
    labels: int | None = None,
) -> list[Read]:
    """One call of the probe for all metrics -> what each reads of the held-out windows, and the truth.

    It learns from the first ``labels`` training windows, or from all of them.
    """
    assert exam.test.state is not None
    targets = [metric.targets(exam) for metric in metrics]
    read = probe(train[:labels], np.concatenate(targets, axis=-1)[:labels], test)
    parts = np.split(read, np.cumsum([target.shape[-1] for target in targets])[:-1], axis=-1)
    truth = _truth(exam.test.state, exam)
    return [(metric.answer(exam, part), metric.truth(truth)) for metric, part in zip(metrics, parts, strict=True)]


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


def _measured(metric: _Metric, suffix: str, how: str, values: Any, floors: Any, absent: dict[str, str]) -> Measured:
    return Measured(
        question="understanding",
        metric=metric.name + suffix,
        unit=metric.unit,
        direction="higher",
        protocol=f"{how}, trained on other episodes: {metric.text}",
        values=values,
        own_floors=floors,
        absent=absent,
        statistic=metric.statistic,
    )


# -------------------------------------------------------------------------------------- states ahead


class Ahead:
    """States as they are, and as they were foreseen from the given frames alone, of the held-out windows."""

    def __init__(self, model: Any, exam: Exam) -> None:
        assert exam.test.video is not None
        video, action, frames = exam.test.video, exam.test.action, exam.future.shape[1]
        wrong = action.roll(1, 0) if action is not None else None
        self.true = _represent(model, video)  # [n, 1 + ahead, d], from the last given frame on
        self.told = self._imagine(model, exam, frames, action)
        self.misled = self._imagine(model, exam, frames, wrong)
        self.mean, self.std = _scale(_represent(model, exam.train.video))

    @staticmethod
    def _imagine(model: Any, exam: Exam, frames: int, action: Tensor | None) -> np.ndarray:
        return model.imagine(exam.given, frames, action).z.cpu().numpy().astype(np.float64)

    def read(self, metric: _Metric, exam: Exam, train: np.ndarray, horizon: int) -> Read:
        """A linear probe of true states, held to the states foreseen ``horizon`` frames ahead."""
        return self._read(self.told[:, horizon - 1 : horizon], metric, exam, train, horizon)

    def read_still(self, metric: _Metric, exam: Exam, train: np.ndarray, horizon: int) -> Read:
        """The same probe, held to the state of the last given frame, as if nothing changed."""
        return self._read(self.true[:, :1], metric, exam, train, horizon)

    def _read(self, states: np.ndarray, metric: _Metric, exam: Exam, train: np.ndarray, horizon: int) -> Read:
        assert exam.test.state is not None
        read = metric.answer(exam, linear(train, metric.targets(exam), (states - self.mean) / self.std))
        return read, metric.truth(_truth(exam.test.state, exam))[:, horizon : horizon + 1]

    def error(self, horizon: int) -> np.ndarray:
        """Squared error of each item, [n]."""
        return ((self.told[:, horizon - 1] - self.true[:, horizon]) ** 2).mean(-1)

    def persistence(self, horizon: int) -> np.ndarray:
        return ((self.true[:, 0] - self.true[:, horizon]) ** 2).mean(-1)

    def misled_error(self, horizon: int) -> np.ndarray:
        return ((self.misled[:, horizon - 1] - self.true[:, horizon]) ** 2).mean(-1)


def _roll_outs(exam: Exam, ahead: Mapping[str, Ahead], absent: dict[str, str]) -> list[Measured]:
    """The error of foreseen states, as a part of that of no change; and what the right actions are worth."""
    common: dict[str, Any] = {"question": "understanding", "unit": "ratio", "absent": absent, "statistic": ratio}
    errors = [
        Measured(
            **common,
            metric=f"rollout_error_h{h}",
            direction="lower",
            protocol=f"squared error of states foreseen {h} frames ahead, as a part of that of predicting no change",
            values={route: (found.error(h), found.persistence(h)) for route, found in ahead.items()},
            own_floors={r: (STILL, (found.persistence(h),) * 2) for r, found in ahead.items()},
        )
        for h in exam.horizons
    ]
    if exam.test.action is None:
        return errors
    far = exam.horizons[-2:][0]
    shuffled = Measured(
        **common,
        metric=f"action_shuffle_h{far}",
        direction="higher",
        protocol=f"squared error of states foreseen {far} frames ahead: under another clip's actions, by under its own",
        values={route: (found.misled_error(far), found.error(far)) for route, found in ahead.items()},
        own_floors={r: ("actions ignored", (found.error(far),) * 2) for r, found in ahead.items()},
    )
    return [*errors, shuffled]


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


def ratio(above: np.ndarray, below: np.ndarray) -> float:
    """Sum of the one by the sum of the other; [n] each."""
    return float(above.sum() / max(below.sum(), 1e-12))


# ------------------------------------------------------------------------------------------ states


def _states(model: Any, exam: Exam) -> States:
    """Standardised states of the training and the held-out windows, [n, t, d]; the first frames lack their past."""
    train, test = (_represent(model, batch.video) for batch in (exam.train, exam.test))
    mean, std = _scale(train)
    return (train - mean) / std, (test - mean) / std


def _scale(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return states.mean((0, 1)), states.std((0, 1)) + 1e-6


def _represent(model: Any, video: Tensor | None) -> np.ndarray:
    assert video is not None
    parts = [model.represent(video[i : i + CHUNK]).z[:, GIVEN - 1 :] for i in range(0, len(video), CHUNK)]
    return np.concatenate([part.cpu().numpy() for part in parts]).astype(np.float64)


def _tokens(model: Any, exam: Exam) -> int:
    """How many a frame's state is made of."""
    assert exam.train.video is not None
    count: int = model.represent(exam.train.video[:1]).tokens
    return count


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
