"""Prediction: given the first frames, how near do the next ones come? In pixels, and in where the bodies are.

Two protocols, since routes take different inputs. ``prediction/*``: each with its own controls (the data's actions,
latent actions read from the true clip, or none). ``prediction/alone_*``: the given frames and nothing else, for all.

Item by item: squared error, PSNR, structural similarity (Wang et al. 2004, "Image quality assessment: from error
visibility to structural similarity"), positions, and LPIPS where its weights are present (score/perceptual.py). Over
all items at once: the Frechet distance (score/frechet.py).

Legend: n items, t frames ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from threeworlds.score import frechet, perceptual
from threeworlds.score.exam import GIVEN, Answers, Entrant, Exam, Measured
from threeworlds.score.films import film_of, to_uint8
from threeworlds.types import Plays, Predicts, Reconstructs
from threeworlds.worlds.locate import centroids

VERSION = "1"
CHUNK = 50  # items predicted at a time
LOST = 0.5  # distance counted for a body that is not there, in box units: half the box
SHOWN = 6  # items kept as films
WINDOW = 7  # pixels: the side of the window of structural similarity
FRECHET = (8, 16)  # horizons of the Frechet distance
CONTROLS = {
    "none": "the given frames alone",
    "code": "the given frames and the latent actions it reads from the true clip (a few bits a frame)",
    "action": "the given frames and the true actions",
}

Videos = Mapping[str, Tensor]  # route or floor -> [n, t, c, h, w]


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Roll out, compare, and keep a few films."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Predicts)]
    absent = {e.route: "makes no pictures, by design" for e in entrants if e not in able}
    guided = {e.route: predict(e, exam, controls_of(e, exam)) for e in able}
    alone = {e.route: guided[e.route] if e.model.control == "none" else predict(e, exam, None) for e in able}
    floors, best = floors_of(exam), reconstructions(able, exam)
    told = "; ".join(f"{e.route}: {CONTROLS[e.model.control]}" for e in able)
    own, same = f"{GIVEN} frames given. {told}", f"{GIVEN} frames given and nothing else, to every route"
    # A film that both protocols share is looked at once: a tensor is a key by its identity.
    similar = cache(partial(similarity, truth=exam.future, horizons=exam.horizons))
    measured = [
        *_metrics(exam, guided, floors, best, absent, "", own, similar),
        *_frechet_metrics(exam, guided, floors, best, absent, own),
        *_perceptual_metrics(exam, guided, floors, best, absent, own),
        *_metrics(exam, alone, floors, best, absent, "alone_", same, similar),
    ]
    return Answers(measured=tuple(measured), films=tuple(_films(exam, guided)))


def predict(entrant: Entrant, exam: Exam, action: Tensor | None, ahead: int | None = None) -> Tensor:
    """The frames after the given ones, [n, t, c, h, w]; only the first ``ahead`` where no more are needed."""
    ahead = ahead or exam.future.shape[1]
    parts = []
    for start in range(0, len(exam.given), CHUNK):
        chosen = slice(start, start + CHUNK)
        told = action[chosen, : GIVEN - 1 + ahead] if action is not None else None
        parts.append(entrant.model.predict(exam.given[chosen], ahead, action=told, seed=exam.seed + start).video)
    return torch.cat(parts).clamp(-1, 1)


def controls_of(entrant: Entrant, exam: Exam) -> Tensor | None:
    """What the model takes as ``action``, for the true clips."""
    if entrant.model.control == "code" and isinstance(entrant.model, Plays):
        assert exam.test.video is not None
        return entrant.model.infer_codes(exam.test.video)
    return exam.test.action if entrant.model.control == "action" else None


def floors_of(exam: Exam) -> Videos:
    """What needs no learning: copy the last frame; go on changing each pixel as it last changed."""
    last, before = exam.given[:, -1:], exam.given[:, -2:-1]
    ahead = torch.arange(1, exam.future.shape[1] + 1)[:, None, None, None]
    return {
        "copy the last frame": last.expand_as(exam.future),
        "extrapolate each pixel": (last + ahead * (last - before)).clamp(-1, 1),
    }


def reconstructions(entrants: Sequence[Entrant], exam: Exam) -> Videos:
    """The true future, encoded and decoded by each route: the best it could show."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Reconstructs)]
    assert exam.test.video is not None
    return {e.route: e.model.reconstruct(exam.test.video)[:, GIVEN:].clamp(-1, 1) for e in able}


def squared_error(video: Tensor, truth: Tensor) -> np.ndarray:
    """Mean over the frame, on the scale where white is 1 and black 0: [n, t]."""
    difference = (video - truth).contiguous()  # one order of summing: equal films have equal errors, bit for bit
    return (difference.square().mean((2, 3, 4)) / 4).double().cpu().numpy()


def psnr(error: np.ndarray) -> np.ndarray:
    """Decibels under white; the error is not let under that of rounding to 8 bits, so that 59 dB is perfect."""
    return -10 * np.log10(np.maximum(error, 1 / 12 / 255**2))


def similarity(video: Tensor, truth: Tensor, horizons: Iterable[int]) -> np.ndarray:
    """Structural similarity of frames [n, t, c, h, w], 1 where they are equal: [n, t], NaN at a horizon not asked for.

    The mean over channels and over square windows of WINDOW pixels, less where the frame is smaller.
    """
    window = min(WINDOW, *video.shape[-2:])
    window -= 1 - window % 2  # odd: it has a middle
    how = {"win_size": window, "channel_axis": 0, "data_range": 1.0}
    how["use_sample_covariance"] = window > 1  # a single pixel has no variance to correct

    def alike(*pair: Tensor) -> list[float]:
        shown, true = ((frames.double().cpu().numpy() + 1) / 2 for frames in pair)
        return [structural_similarity(a, b, **how) for a, b in zip(shown, true, strict=True)]

    return _at_horizons(video, of=alike, truth=truth, horizons=horizons)


def _at_horizons(
    video: Tensor, *, of: Callable[[Tensor, Tensor], Any], truth: Tensor, horizons: Iterable[int]
) -> np.ndarray:
    """What ``of`` says of frames [n, c, h, w] and the true ones: [n, t], NaN at a horizon not asked for."""
    found = np.full(video.shape[:2], np.nan)
    for t in (horizon - 1 for horizon in horizons):
        found[:, t] = of(video[:, t], truth[:, t])
    return found


def _metrics(
    exam: Exam,
    videos: Videos,
    floors: Videos,
    best: Videos,
    absent: Mapping[str, str],
    prefix: str,
    protocol: str,
    similar: Callable[[Tensor], np.ndarray],
) -> list[Measured]:
    pixels = {name: squared_error(video, exam.future) for name, video in {**videos, **floors}.items()}
    ceiling = {route: squared_error(video, exam.future) for route, video in best.items()}
    found = _by_horizon(
        exam, prefix + "mse", "squared error", "lower", protocol, pixels, videos, floors, ceiling, absent
    )
    decibels = {name: psnr(error) for name, error in pixels.items()}
    above = {name: psnr(error) for name, error in ceiling.items()}
    found += _by_horizon(exam, prefix + "psnr", "dB", "higher", protocol, decibels, videos, floors, above, absent)
    alike = {name: similar(video) for name, video in {**videos, **floors}.items()}
    above = {name: similar(video) for name, video in best.items()}
    found += _by_horizon(exam, prefix + "ssim", "0 to 1", "higher", protocol, alike, videos, floors, above, absent)
    return found + _position_metrics(exam, videos, best, absent, prefix, protocol)


def _by_horizon(
    exam: Exam,
    metric: str,
    unit: str,
    direction: Any,
    protocol: str,
    items: Mapping[str, np.ndarray],
    videos: Iterable[str],
    floors: Iterable[str],
    ceilings: Mapping[str, np.ndarray],
    absent: Mapping[str, str],
) -> list[Measured]:
    return [
        Measured(
            question="prediction",
            metric=f"{metric}_h{horizon}",
            unit=unit,
            direction=direction,
            protocol=f"{protocol}. Frame {horizon} after the given ones",
            values={route: items[route][:, horizon - 1] for route in videos},
            floors={name: items[name][:, horizon - 1] for name in floors},
            own_ceilings={r: ("its own reconstruction", c[:, horizon - 1]) for r, c in ceilings.items() if r in videos},
            absent=absent,
        )
        for horizon in exam.horizons
    ]


def _frechet_metrics(
    exam: Exam, videos: Videos, floors: Videos, best: Videos, absent: Mapping[str, str], protocol: str
) -> list[Measured]:
    """How far the pictures, all together, are from the true ones: what a likely but other future does not cost."""
    return [_frechet(exam, videos, floors, best, absent, protocol, h) for h in FRECHET if h in exam.horizons]


def _frechet(
    exam: Exam, videos: Videos, floors: Videos, best: Videos, absent: Mapping[str, str], protocol: str, horizon: int
) -> Measured:
    true = frechet.features(exam.future[:, horizon - 1])

    def both(video: Tensor) -> tuple[np.ndarray, np.ndarray]:
        return frechet.features(video[:, horizon - 1]), true

    still = "copy the last frame"
    return Measured(
        question="prediction",
        metric=f"frechet_h{horizon}",
        unit="distance",
        direction="lower",
        protocol=f"{protocol}. Frame {horizon} after the given ones, over all items: Frechet distance of the features "
        f"of {frechet.NET} to those of the true frames. Biased upward by few items: compare within a table alone",
        values={route: both(video) for route, video in videos.items()},
        floors={still: both(floors[still])},
        own_ceilings={r: ("its own reconstruction", both(video)) for r, video in best.items() if r in videos},
        absent=absent,
        statistic=frechet.distance,
        distance=True,
    )


def _perceptual_metrics(
    exam: Exam, videos: Videos, floors: Videos, best: Videos, absent: Mapping[str, str], protocol: str
) -> list[Measured]:
    """Nothing where the weights are not present: no other network would be this distance."""
    if perceptual.weights() is None:
        return []
    unlike = partial(_at_horizons, of=perceptual.distance, truth=exam.future, horizons=exam.horizons)
    found = {name: unlike(video) for name, video in {**videos, **floors}.items()}
    ceilings = {name: unlike(video) for name, video in best.items()}
    told = f"{protocol}. {perceptual.NAME}, of frames of at least {perceptual.SIDE} pixels"
    return _by_horizon(exam, "lpips", "distance", "lower", told, found, videos, floors, ceilings, absent)


def _position_metrics(
    exam: Exam, videos: Videos, best: Videos, absent: Mapping[str, str], prefix: str, protocol: str
) -> list[Measured]:
    """Mean distance of the bodies from where they should be, in units of the box's side."""
    if exam.world is None or exam.world.weights is None:
        return []
    weights = exam.world.weights
    truth, last = places(weights, exam.future), places(weights, exam.given)
    steps = np.arange(1, exam.future.shape[1] + 1)[:, None]
    where = {route: places(weights, video) for route, video in videos.items()}
    naive = {
        "copy the last frame": {name: np.repeat(p[:, -1:], len(steps), 1) for name, p in last.items()},
        "constant velocity": {name: p[:, -1:] + steps * (p[:, -1:] - p[:, -2:-1]) for name, p in last.items()},
    }
    errors = {name: position_error(found, truth) for name, found in {**where, **naive}.items()}
    ceiling = {route: position_error(places(weights, video), truth) for route, video in best.items()}
    text = f"{protocol}. A faint body counts where it is; one that is not there at all counts as {LOST} away"
    return _by_horizon(exam, prefix + "position_error", "box", "lower", text, errors, videos, naive, ceiling, absent)


def bodies(locate: Callable[[np.ndarray], Mapping[str, np.ndarray]], video: Tensor) -> dict[str, np.ndarray]:
    """Centroids of each body in each frame: {name: [n, t, 2]}, NaN where it is not seen."""
    frames = to_uint8(video)
    found = locate(frames.reshape(-1, *frames.shape[2:]))
    return {name: where.reshape(*frames.shape[:2], 2) for name, where in found.items()}


def places(weights: Callable[[np.ndarray], Mapping[str, np.ndarray]], video: Tensor) -> dict[str, np.ndarray]:
    """Centroids of each body in box units, however faint: {name: [n, t, 2]}, NaN where there is nothing of it.

    The dead zone is relative to the body's brightest pixel, so a film that fades is not judged more harshly than one
    that blurs: that a body fades is counted by the question of hallucination.
    """
    frames = to_uint8(video)
    covered = weights(frames.reshape(-1, *frames.shape[2:]))
    where = centroids(np.stack(list(covered.values()), axis=1))
    return {name: where[:, k].reshape(*frames.shape[:2], 2) for k, name in enumerate(covered)}


def position_error(found: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean over the bodies that are seen in the truth: [n, t]; NaN where none is."""
    distances = []
    for name, where in truth.items():
        distance = np.linalg.norm(found[name] - where, axis=-1)
        distance = np.where(np.isnan(distance), LOST, np.minimum(distance, LOST))
        distances.append(np.where(np.isnan(where).any(-1), np.nan, distance))
    stacked = np.stack(distances)
    count = (~np.isnan(stacked)).sum(0)
    return np.where(count > 0, np.nansum(stacked, 0) / np.maximum(count, 1), np.nan)


def _films(exam: Exam, videos: Videos) -> list[Any]:
    films = []
    for item in range(min(SHOWN, len(exam.given))):
        name = f"held-out clip {item + 1}"
        for route, future in {"truth": exam.future, **videos}.items():
            frames = to_uint8(torch.cat([exam.given[item], future[item]]))
            films.append(film_of(name, route, "prediction", frames, given=GIVEN, fps=exam.spec.fps))
    return films
