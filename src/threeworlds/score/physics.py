"""Physics: do things move as the law says?

In the world `motion`: velocity error after Kang et al. (arXiv 2411.02385), inside and outside the range of training, by
the paper's formula and by the released code's (`_code`); three frames are given, the rest of the episode is predicted.
In a world where an avatar acts: what happens while it does nothing (`passive_error`), against the simulator.

Legend: n items, t frames, s state variables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threeworlds.score.control import code_map
from threeworlds.score.exam import EXAM_SEEDS, GIVEN, Answers, Entrant, Exam, Measured
from threeworlds.score.films import film_of, to_uint8
from threeworlds.score.hallucination import ITEMS, ROLL, simulated
from threeworlds.score.prediction import CHUNK, LOST, bodies, controls_of, places, position_error
from threeworlds.types import Predicts, Reconstructs
from threeworlds.worlds import collect, motion

VERSION = "2"
EPISODES = 60  # of each task and range
HORIZONS = (8, 16, 32)
Errors = Callable[[Mapping[str, np.ndarray], np.ndarray], float]  # centres of a film, its true states -> error
FORMULAS: Mapping[str, tuple[Errors, str]] = {
    "": (motion.velocity_error, "mean over frames of |v - true v|"),
    "_code": (motion.velocity_error_code, "|mean over frames of v - true v|, as the released code has it"),
}


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Velocity error where balls fly; passive motion where an avatar could act."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Predicts)]
    absent = {e.route: "makes no pictures, by design" for e in entrants if e not in able}
    if exam.world is not None and exam.world.name == "motion":
        return _velocities(exam, able, absent)
    if exam.world is None or exam.world.weights is None or exam.world.law is None or exam.test.state is None:
        why = "the true law of these clips is not known"
        return Answers(measured=(_passive(8, {}, {}, {}, {e.route: why for e in able} | absent),))
    return _left_alone(exam, able, absent)


# ------------------------------------------------------------------------------------------ velocity


def _velocities(exam: Exam, able: Sequence[Entrant], absent: Mapping[str, str]) -> Answers:
    measured, films = [], []
    for number, (task, span) in enumerate((task, span) for task in motion.TASKS for span in ("in", "out")):
        states, truth = draw_episodes(exam, task, span, EXAM_SEEDS + exam.seed + 2 + number)
        made = {e.route: continue_films(e, truth[:, : motion.GIVEN], truth.shape[1], exam.seed) for e in able}
        best = {e.route: e.model.reconstruct(truth).clamp(-1, 1) for e in able if isinstance(e.model, Reconstructs)}
        found = {route: bodies(motion.locate, video) for route, video in made.items()}
        shown = {route: bodies(motion.locate, video) for route, video in best.items()}
        seen = bodies(motion.locate, truth)
        naive = naive_centres(seen, states, clamped=span == "out" and task != "collision")
        for ending, (formula, text) in FORMULAS.items():
            measured.append(
                Measured(
                    question="physics",
                    metric=f"{task}_{span}{ending}",
                    unit="units/s",
                    direction="lower",
                    protocol=f"{motion.GIVEN} frames given, {truth.shape[1] - motion.GIVEN} predicted, radii and "
                    f"speeds {span} of the range of training; {text}; a ball that is not seen counts as at rest",
                    values={route: per_film(formula, centres, states) for route, centres in found.items()},
                    floors={name: per_film(formula, centres, states) for name, centres in naive.items()},
                    ceilings={"the true pictures, measured": per_film(formula, seen, states)},
                    own_ceilings={
                        r: ("its own reconstruction", per_film(formula, c, states)) for r, c in shown.items()
                    },
                    absent=absent,
                    windows=False,
                )
            )
        films += _films(exam, f"{task}, {span} of range", {"truth": truth, **made}, 1, motion.GIVEN)
    return Answers(measured=tuple(measured), films=tuple(films))


def draw_episodes(exam: Exam, task: str, span: str, seed: int) -> tuple[np.ndarray, Tensor]:
    """States [n, t, s] and films [n, t, c, h, w] of episodes made for this exam alone."""
    count = min(EPISODES, len(exam.given))
    clips = list(collect("motion", episodes=count, seed=seed, size=exam.spec.height, task=task, range=span))
    states = np.stack([clip.state for clip in clips if clip.state is not None])
    return states, torch.from_numpy(np.stack([clip.video for clip in clips])).movedim(-1, 2).float() / 127.5 - 1


def continue_films(entrant: Entrant, given: Tensor, frames: int, seed: int, action: Tensor | None = None) -> Tensor:
    """The given frames and what the model lets follow, ``frames`` together: [n, frames, c, h, w]."""
    ahead, parts = frames - given.shape[1], []
    for start in range(0, len(given), CHUNK):
        chosen = slice(start, start + CHUNK)
        told = None if action is None else action[chosen]
        parts.append(entrant.model.predict(given[chosen], ahead, action=told, seed=seed + start).video)
    return torch.cat([given, torch.cat(parts).clamp(-1, 1)], dim=1)


def per_film(formula: Errors, centres: Mapping[str, np.ndarray], states: np.ndarray) -> np.ndarray:
    """The formula for each film: centres {name: [n, t, 2]}, states [n, t, s] -> [n]; NaN where no frame counts."""
    return np.array([formula({k: c[i] for k, c in centres.items()}, truth) for i, truth in enumerate(states)])


def naive_centres(
    seen: Mapping[str, np.ndarray], states: np.ndarray, *, clamped: bool
) -> dict[str, dict[str, np.ndarray]]:
    """Centres that need no learning: freeze; go on with the last speed; know the law, but only the speeds of training.

    The last is what a model does that has learnt its range by heart: it is the floor outside of that range.
    """
    last, steps = motion.GIVEN - 1, np.arange(states.shape[1])[:, None] - motion.GIVEN + 1
    found: dict[str, dict[str, np.ndarray]] = {"freeze": {}, "constant velocity": {}}
    for name, centres in seen.items():
        here, before = centres[:, last : last + 1], centres[:, last - 1 : last]
        found["freeze"][name] = np.repeat(here, len(steps), axis=1)
        found["constant velocity"][name] = here + steps * (here - before)
    if clamped:
        excess = np.clip(states[:, :1, 2], *motion.SPEEDS_IN) - states[:, :1, 2]  # units / s
        at_range = states[..., 0:2].copy()
        at_range[..., 0] += excess * motion.FRAME * steps[:, 0]
        found["clamp to the range of training"] = {"red": at_range, "blue": np.full_like(at_range, np.nan)}
    return found


# ---------------------------------------------------------------------------------------- left alone


def _left_alone(exam: Exam, able: Sequence[Entrant], absent: Mapping[str, str]) -> Answers:
    """Where the bodies are that no one moves, while the avatar does nothing."""
    assert exam.world is not None and exam.world.weights is not None and exam.test.state is not None
    weights, given = exam.world.weights, exam.given[:ITEMS]
    true = simulated(exam, exam.test.state[: len(given), GIVEN - 1].numpy(), ROLL)
    made = {e.route: continue_films(e, given, GIVEN + ROLL, exam.seed, at_rest(e, exam))[:, GIVEN:] for e in able}
    truth, before = (_without_avatar(places(weights, video)) for video in (true, given))
    steps = np.arange(1, ROLL + 1)[:, None]
    naive = {
        "copy the last frame": {name: np.repeat(p[:, -1:], ROLL, 1) for name, p in before.items()},
        "constant velocity": {name: p[:, -1:] + steps * (p[:, -1:] - p[:, -2:-1]) for name, p in before.items()},
    }
    errors = {route: position_error(places(weights, video), truth) for route, video in made.items()}
    floors = {name: position_error(where, truth) for name, where in naive.items()}
    shown = {
        e.route: e.model.reconstruct(torch.cat([given, true], 1))[:, GIVEN:].clamp(-1, 1)
        for e in able
        if isinstance(e.model, Reconstructs)
    }
    best = {route: position_error(places(weights, video), truth) for route, video in shown.items()}
    measured = tuple(_passive(horizon, errors, floors, best, absent) for horizon in HORIZONS)
    return Answers(measured=measured)


def at_rest(entrant: Entrant, exam: Exam) -> Tensor | None:
    """Controls under which the avatar stays: none where the model takes none, or where no action means staying."""
    controls = controls_of(entrant, exam)
    names = exam.spec.action.names
    if controls is None or "stay" not in names:
        return None
    stay = names.index("stay")
    meaning = code_map(entrant, exam)[stay] if entrant.model.control == "code" else stay
    kept = controls[:ITEMS, : GIVEN - 1]
    return torch.cat([kept, torch.full((len(kept), ROLL), int(meaning), dtype=kept.dtype)], dim=1)


def _without_avatar(where: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: place for name, place in where.items() if name != "avatar"}


def _passive(horizon: int, values: Any, floors: Any, best: Any, absent: Mapping[str, str]) -> Measured:
    return Measured(
        question="physics",
        metric=f"passive_error_h{horizon}",
        unit="box",
        direction="lower",
        protocol=f"{GIVEN} frames given, then the avatar does nothing (told by the action or the code that means "
        "staying; nothing is told to who takes neither): distance of the shapes from where the simulator has them "
        f"{horizon} frames later; a faint one counts where it is, one that is not there as {LOST} away",
        values={route: error[:, horizon - 1] for route, error in values.items()},
        floors={name: error[:, horizon - 1] for name, error in floors.items()},
        own_ceilings={route: ("its own reconstruction", error[:, horizon - 1]) for route, error in best.items()},
        absent=absent,
    )


def _films(exam: Exam, name: str, videos: Mapping[str, Tensor], count: int, given: int) -> list[Any]:
    return [
        film_of(f"{name}, {item + 1}", route, "physics", to_uint8(video[item]), given=given, fps=exam.spec.fps)
        for item in range(count)
        for route, video in videos.items()
    ]
