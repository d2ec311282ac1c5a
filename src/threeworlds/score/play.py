"""Play: how fast does the world answer, one frame at a time, the picture included? And how long does it stay itself?

Drift: FILMS worlds are played for the longest of DRIFT with commands drawn at random; a route that takes none runs on.
How far the look of the last LOOK frames is from that of true frames needs no parser; where there is one, it says which
of the bodies are still there.

Legend: n films, t frames, f features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threeworlds.score import frechet
from threeworlds.score.exam import GIVEN, Answers, Entrant, Exam, Measured
from threeworlds.score.films import to_uint8
from threeworlds.score.hallucination import bodies_kept, simulated
from threeworlds.score.prediction import controls_of
from threeworlds.types import Dreams, Predicts

VERSION = "2"
WARM, TIMED = 12, 120  # steps before the clock, and under it
FILMS = 12  # played: genie's, of all routes, take the longest
DRIFT = (8, 16, 32, 64)  # steps
LOOK = 8  # frames that tell the look at a step: those up to it
EVERY = 4  # of the true frames that are the measure, one in so many: neighbours look alike
STILL_FASTER = "what shows nothing is faster than any world"

Videos = Mapping[str, Tensor]  # route -> [n, t, c, h, w]


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Seconds a step, and what is left of the world after many."""
    able = [e for e in entrants if isinstance(e.model, Dreams | Predicts)]
    absent = {e.route: "makes no pictures, by design" for e in entrants if e not in able}
    played = {e.route: free_play(e, exam) for e in able if isinstance(e.model, Predicts)}
    unplayed = absent | {e.route: "is played step by step alone" for e in able if e.route not in played}
    return Answers(
        measured=(*_speeds(exam, able, absent), *_looks(exam, played, unplayed), *_kept(exam, played, unplayed))
    )


# ------------------------------------------------------------------------------------------- speed


def _speeds(exam: Exam, able: Sequence[Entrant], absent: Mapping[str, str]) -> list[Measured]:
    """A world of its own where the model is one, else a prediction of one frame each time."""
    seconds = {e.route: clocked(stepper(e, exam)) for e in able}
    size = f"{exam.spec.width} x {exam.spec.height} pixels"
    told = f"one step at a time, picture included, {size}, {TIMED} steps after {WARM} to warm up"
    common: dict[str, Any] = {
        "question": "play",
        "values": {route: (spent,) for route, spent in seconds.items()},
        "absent": absent,
        "floorless": f"{STILL_FASTER}; the clips' own pace is {exam.spec.fps:g} frames/s",
        "windows": False,
    }
    return [
        Measured(
            **common,
            metric="fps",
            unit="frames/s",
            direction="higher",
            protocol=f"{told}: steps a second of wall clock",
            statistic=lambda spent: float(1 / spent.mean()),
        ),
        Measured(
            **common,
            metric="latency_p95_ms",
            unit="ms",
            direction="lower",
            protocol=f"{told}: 95th percentile of the time of a step",
            statistic=lambda spent: float(1e3 * np.quantile(spent, 0.95)),
        ),
    ]


def stepper(entrant: Entrant, exam: Exam) -> Callable[[int], object]:
    """A function that makes the next frame; it is called with 0, 1, 2, ..."""
    model = entrant.model
    if isinstance(model, Dreams):
        world = model.as_world()
        world.reset(seed=exam.seed, options={"video": to_uint8(exam.given[0])})
        world.action_space.seed(exam.seed)
        return lambda _: world.step(world.action_space.sample())
    context, controls = exam.given[:1], controls_of(entrant, exam)
    told = controls[:1, :GIVEN] if controls is not None else None
    return lambda step: to_uint8(model.predict(context, 1, action=told, seed=step).video)


def clocked(step: Callable[[int], object]) -> np.ndarray:
    """Seconds of each of TIMED steps."""
    spent = []
    for number in range(WARM + TIMED):
        start = perf_counter()
        step(number)
        spent.append(perf_counter() - start)
    return np.array(spent[WARM:])


# ------------------------------------------------------------------------------------------- drift


def free_play(entrant: Entrant, exam: Exam) -> Tensor:
    """FILMS worlds played at random for as long as the longest of DRIFT, [n, t, c, h, w]."""
    given, controls = exam.given[:FILMS], controls_of(entrant, exam)
    told = None if controls is None else at_random(controls[: len(given), : GIVEN - 1], entrant, exam)
    video: Tensor = entrant.model.predict(given, DRIFT[-1], action=told, seed=exam.seed).video
    return video.clamp(-1, 1)


def at_random(seen: Tensor, entrant: Entrant, exam: Exam) -> Tensor:
    """What led through the given frames, [n, k - 1(, a)], and any commands from there on."""
    generator = torch.Generator().manual_seed(exam.seed)
    shape = (len(seen), DRIFT[-1], *seen.shape[2:])
    if seen.is_floating_point():
        return torch.cat([seen, torch.rand(shape, generator=generator) * 2 - 1], dim=1)
    kinds = entrant.model.n_codes if entrant.model.control == "code" else exam.spec.action.size
    return torch.cat([seen, torch.randint(kinds, shape, generator=generator)], dim=1)


def _looks(exam: Exam, played: Videos, absent: Mapping[str, str]) -> list[Measured]:
    """Frechet distance from true frames, by step."""
    assert exam.test.video is not None
    true = exam.test.video[:, ::EVERY].flatten(0, 1)
    measure = partial(from_true, true=frechet.features(true))
    mean = true.mean(0).expand(min(FILMS, len(exam.given)), LOOK, -1, -1, -1)
    return [
        Measured(
            question="play",
            metric=f"drift_h{step}",
            unit="distance",
            direction="lower",
            protocol=f"{_told(exam)}: Frechet distance of the features of {frechet.NET} of frames {step - LOOK + 1} to "
            f"{step} to those of true frames of all clips. Biased upward by few films: compare within a table alone",
            values={route: (look(video[:, step - LOOK : step]),) for route, video in played.items()},
            floors={"the mean frame": (look(mean),)},
            ceilings={"true frames": (look(exam.test.video[:FILMS, -LOOK:]),)},
            absent=absent,
            statistic=measure,
            distance=True,
        )
        for step in DRIFT
    ]


def look(video: Tensor) -> np.ndarray:
    """Features of each frame: [n, t, c, h, w] -> [n, t, f]."""
    return frechet.features(video.flatten(0, 1)).reshape(*video.shape[:2], -1)


def from_true(looks: np.ndarray, true: np.ndarray) -> float:
    """Distance of looks [n, t, f] from those of true frames [m, f]."""
    return frechet.distance(looks.reshape(-1, looks.shape[-1]), true)


def _kept(exam: Exam, played: Videos, absent: Mapping[str, str]) -> list[Measured]:
    """The part of the bodies that are still there, by step."""
    world, state, given = exam.world, exam.test.state, exam.given[:FILMS]
    if world is None or world.weights is None or world.law is None or state is None:
        why = dict.fromkeys(played, "no exact parser of the bodies in these clips")
        return [_part(exam, DRIFT[0], {}, {}, {}, {**why, **absent})]
    still = given.roll(1, 0)[:, -1:].expand(-1, DRIFT[-1], -1, -1, -1)
    kept = {route: bodies_kept(world, given, video) for route, video in played.items()}
    floors = {"another clip": bodies_kept(world, given, still)}
    true = simulated(exam, state[: len(given), GIVEN - 1].numpy(), DRIFT[-1])
    ceilings = {"the simulator, left alone": bodies_kept(world, given, true)}
    return [_part(exam, step, kept, floors, ceilings, absent) for step in DRIFT]


def _part(exam: Exam, step: int, kept: Any, floors: Any, ceilings: Any, absent: Mapping[str, str]) -> Measured:
    return Measured(
        question="play",
        metric=f"bodies_kept_h{step}",
        unit="of bodies",
        direction="higher",
        protocol=f"{_told(exam)}: part of the bodies of the given frames that are there in its frame {step}",
        values={route: part[:, step - 1] for route, part in kept.items()},
        floors={name: part[:, step - 1] for name, part in floors.items()},
        ceilings={name: part[:, step - 1] for name, part in ceilings.items()},
        absent=absent,
    )


def _told(exam: Exam) -> str:
    films = min(FILMS, len(exam.given))
    return f"{GIVEN} frames given, then {films} worlds played with commands drawn at random (none where it takes none)"
