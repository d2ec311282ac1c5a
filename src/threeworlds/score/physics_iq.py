"""Physics-IQ's score (arXiv 2501.09038, Section 3; github.com/google-deepmind/physics-IQ-benchmark, ``code/``).

Where did anything move, where and when, where and how much? Masks of motion of a predicted film are compared with those
of the true one, and each score is set against what a second take of the same scene scores: 100 is physics up to chance.
Nothing here is learnt. Its films are real and 3840 pixels wide; ours are of a world that can be run again.

Legend: n items, t frames, h height, w width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from threeworlds.score.exam import GIVEN, Answers, Entrant, Exam, Measured
from threeworlds.score.films import to_uint8
from threeworlds.score.prediction import controls_of, floors_of, predict, squared_error
from threeworlds.types import Predicts

VERSION = "1"
THRESHOLD, KERNEL, PACE = 10, 5, 0.3  # grey levels; pixels; weight of the newest frame in the running mean
SMALL = 1  # pixels: the kernel here, since five pixels of 32 are a whole body
GREY = np.array([0.299, 0.587, 0.114])  # of red, green and blue
BLUR = np.array([1, 4, 6, 4, 1]) / 16  # Gaussian, five pixels
DOUBT = 0.5  # pixels: how far a body's place is unknown from the given frames
TEXTS = {
    "spatial": "IoU of where anything ever moves",
    "weighted_spatial": "IoU of where and how often anything moves",
    "spatiotemporal": "IoU of where anything moves, frame by frame",
    "mse": "squared error, white is 1",
}

Masks = NDArray[np.bool_]  # [n, t, h, w]


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """The four scores, and the one number made of them."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Predicts)]
    absent = {e.route: "makes no pictures, by design" for e in entrants if e not in able}
    if exam.world is None or exam.test.state is None:
        why = "there is no second take of these clips"
        return Answers(measured=(_score({}, {}, {e.route: why for e in able} | absent),))
    second = scores(exam.future, second_take(exam))
    made = {e.route: scores(exam.future, predict(e, exam, controls_of(e, exam))) for e in able}
    floors = {name: scores(exam.future, film) for name, film in floors_of(exam).items()}
    values, naive = ({name: (*s.values(), *second.values()) for name, s in d.items()} for d in (made, floors))
    return Answers(measured=(_score(values, naive, absent), *_parts(made, floors, second, absent)))


def second_take(exam: Exam) -> Tensor:
    """The world run again under the same actions, its bodies up to DOUBT pixels off: [n, t, c, h, w]."""
    assert exam.world is not None and exam.test.state is not None
    rng = np.random.default_rng(exam.seed)
    places = [i for i, name in enumerate(exam.spec.state_names) if name.endswith(("_x", "_y"))]
    starts = exam.test.state[:, GIVEN - 1].numpy().copy()
    starts[:, places] += rng.uniform(-1, 1, (len(starts), len(places))) * DOUBT / exam.spec.height
    simulator, films = exam.world.simulator(**exam.options), []
    for item, start in enumerate(starts):
        simulator.load(start)
        passed = np.stack([simulator.step(action) for action in _actions(exam, item)])
        films.append(exam.world.render(passed, exam.spec.height))
    return torch.from_numpy(np.stack(films)).movedim(-1, 2).float() / 127.5 - 1


def _actions(exam: Exam, item: int) -> Any:
    if exam.test.action is None:
        return [0] * exam.future.shape[1]
    return exam.test.action[item, GIVEN - 1 :].numpy()


# --------------------------------------------------------------------------------------------- scores


def scores(truth: Tensor, film: Tensor) -> dict[str, np.ndarray]:
    """Each score of TEXTS for films [n, t, c, h, w] in [-1, 1]: {name: [n]}."""
    a, b = motion_masks(to_uint8(truth), kernel=SMALL), motion_masks(to_uint8(film), kernel=SMALL)
    return {
        "spatial": iou(np.asarray(a.any(1)), np.asarray(b.any(1))),
        "weighted_spatial": iou(a.mean(1), b.mean(1)),
        "spatiotemporal": iou(a.reshape(-1, *a.shape[2:]), b.reshape(-1, *b.shape[2:])).reshape(a.shape[:2]).mean(1),
        "mse": squared_error(film, truth).mean(1),
    }


def motion_masks(video: np.ndarray, *, kernel: int = KERNEL, threshold: int = THRESHOLD) -> Masks:
    """Where each frame of uint8 [n, t, h, w, 3] differs from the running mean of the frames up to it: [n, t, h, w].

    Grey, blurred, more than ``threshold`` levels off; then opened and closed with a square of ``kernel`` pixels.
    Nothing moves in the first frame.
    """
    from scipy.ndimage import correlate1d

    grey = np.rint(video @ GREY)
    for axis in (2, 3):
        grey = correlate1d(grey, BLUR, axis=axis, mode="mirror")
    grey, mean, masks = np.rint(grey), np.rint(grey[:, 0]), np.zeros(video.shape[:4], bool)
    for t in range(1, video.shape[1]):
        mean = (1 - PACE) * mean + PACE * grey[:, t]
        masks[:, t] = np.abs(grey[:, t] - np.rint(mean)) > threshold
    return opened_and_closed(masks, kernel)


def opened_and_closed(masks: Masks, kernel: int) -> Masks:
    """Specks smaller than the square vanish, gaps smaller than it are filled; what is beyond the edge has no say."""
    from scipy.ndimage import maximum_filter, minimum_filter

    size, found = (1, 1, kernel, kernel), masks.astype(np.uint8)
    for step in (minimum_filter, maximum_filter, maximum_filter, minimum_filter):
        found = step(found, size=size, mode="nearest")
    return found.astype(bool)


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sum of minima over sum of maxima of two masks or weights [n, h, w]: [n]; 1 where both are empty."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    shared, either = np.minimum(a, b).sum((1, 2)), np.maximum(a, b).sum((1, 2))
    return np.where(either > 0, shared / np.where(either > 0, either, 1), 1.0)


def physics_iq(*arrays: np.ndarray) -> float:
    """Percent: the mean of three IoU, each over the second take's, less the squared error beyond the second take's.

    arrays: spatial, weighted spatial, spatiotemporal, squared error [n] of the films, then of the second take.
    """
    means = np.array([array.mean() for array in arrays])
    ratios = means[:3] / means[4:7]
    return float(np.clip(100 * (ratios.mean() - (means[3] - means[7])), 0, 100))


# ---------------------------------------------------------------------------------------------- rows


def _score(values: Mapping[str, Any], floors: Mapping[str, Any], absent: Mapping[str, str]) -> Measured:
    return Measured(
        question="physics_iq",
        metric="score",
        unit="%",
        direction="higher",
        protocol=f"{GIVEN} frames given, each route with its own controls; arXiv 2501.09038, where the second take is "
        f"the world run again with its bodies up to {DOUBT} pixels off, and masks are not opened: frames are small",
        values=values,
        floors=floors,
        absent=absent,
        statistic=physics_iq,
    )


def _parts(
    made: Mapping[str, Any], floors: Mapping[str, Any], second: Any, absent: Mapping[str, str]
) -> list[Measured]:
    return [
        Measured(
            question="physics_iq",
            metric=name,
            unit="squared error" if name == "mse" else "IoU",
            direction="lower" if name == "mse" else "higher",
            protocol=text,
            values={route: found[name] for route, found in made.items()},
            floors={floor: found[name] for floor, found in floors.items()},
            ceilings={"the second take": second[name]},
            absent=absent,
        )
        for name, text in TEXTS.items()
    ]
