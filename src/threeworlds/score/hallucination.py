"""Hallucination: left to itself, does a film keep its bodies?

Every route continues the same given frames for ROLL frames and is told nothing more. An exact parser then follows each
colour: its mass, its place, its area, its pieces. An event must last HOLD frames, so that a flicker is none.

- vanish: a body of the given frames is not there;
- appear: a body is there whose colour was not given, or a second one of a given colour;
- colour change: one vanishes where, at nearly the same time, one of a colour not given appears (then it counts as
  neither of those two);
- teleport: between two sightings a body moves farther than twice the world's fastest;
- size change: its area, taken at its own brightness, is off by more than LARGER, for LASTING frames.

A frozen film breaks none of these: prediction and physics are there to catch it.

Legend: n items, t frames, k bodies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threeworlds.score.exam import GIVEN, Answers, Entrant, Exam, Measured
from threeworlds.score.films import film_of, to_uint8
from threeworlds.score.prediction import CHUNK
from threeworlds.score.stats import wilson
from threeworlds.types import Predicts, Reconstructs
from threeworlds.worlds import World
from threeworlds.worlds.base import Action, Law
from threeworlds.worlds.locate import centroids, clear_weights

VERSION = "1"
ROLL = 32  # frames a film runs on by itself
ITEMS = 100  # films a route; more of them would cost more than they tell
SHOWN = 3  # of them kept for the report
HOLD, LASTING = 2, 4  # frames in a row that make an event; that make a change of size
KEPT = 0.35  # of a body's mass: less of it has vanished
GHOST = 0.5  # of the smallest body's area: more of a colour that was not given has appeared
LARGER = 1.6  # factor of area; small and large shapes of the arena differ by 2.7
EDGE = 0.02  # of the box: doubt about where an edge cuts a body
NEARLY = 4  # frames between a vanishing and an appearance that make a change of colour
KINDS = ("vanish", "appear", "colour_change", "teleport", "size_change")
Events = Mapping[str, np.ndarray]  # kind -> first frame of the first event after the given ones, [n]; ROLL: none


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Films that run on by themselves, and what breaks in them."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Predicts)]
    absent = {e.route: "makes no pictures, by design" for e in entrants if e not in able}
    world, state = exam.world, exam.test.state
    if world is None or world.weights is None or world.law is None or state is None:
        why = "no exact parser of the bodies in these clips"
        return Answers(measured=tuple(_metrics({}, {}, {}, {}, {e.route: why for e in able} | absent)))
    given = exam.given[:ITEMS]
    true = simulated(exam, state[: len(given), GIVEN - 1].numpy(), ROLL)
    films = {entrant.route: roll_on(entrant, given, exam.seed) for entrant in able}
    shown = {
        e.route: e.model.reconstruct(torch.cat([given, true], 1))[:, GIVEN:].clamp(-1, 1) for e in able if _shows(e)
    }
    told = {route: events(world, given, film) for route, film in films.items()}
    best = {route: ("its own reconstruction", events(world, given, film)) for route, film in shown.items()}
    measured = _metrics(
        told,
        {"another clip": events(world, given, true.roll(1, 0))},
        {"the simulator": events(world, given, true)},
        best,
        absent,
    )
    return Answers(measured=tuple(measured), films=tuple(_films(exam, {"truth": true, **films})))


def _shows(entrant: Entrant) -> bool:
    return isinstance(entrant.model, Reconstructs)


def roll_on(entrant: Entrant, given: Tensor, seed: int) -> Tensor:
    """The ROLL frames that the model lets follow, [n, ROLL, c, h, w]; it is told nothing."""
    parts = [
        entrant.model.predict(given[i : i + CHUNK], ROLL, seed=seed + i).video for i in range(0, len(given), CHUNK)
    ]
    film = torch.cat(parts).clamp(-1, 1)
    if film.shape[1] != ROLL:
        raise ValueError(f"{entrant.route} was asked for {ROLL} frames and gave {film.shape[1]} frames")
    return film


def simulated(exam: Exam, states: np.ndarray, frames: int, held: Sequence[Action] | None = None) -> Tensor:
    """The world itself from ``states`` [n, s] on, each item's action held, or left alone: [n, frames, c, h, w]."""
    assert exam.world is not None
    simulator, films = exam.world.simulator(**exam.options), []
    still = 0 if exam.spec.action.kind != "continuous" else np.zeros(exam.spec.action.size, np.float32)
    for state, action in zip(states, held or [still] * len(states), strict=True):
        simulator.load(state)
        passed = np.stack([simulator.step(action) for _ in range(frames)])
        films.append(exam.world.render(passed, exam.spec.height))
    return torch.from_numpy(np.stack(films)).movedim(-1, 2).float() / 127.5 - 1


# ------------------------------------------------------------------------------------------- parsing


@dataclass(frozen=True, kw_only=True)
class Bodies:
    """What the parser sees of the k colours in n films of t frames."""

    mass: np.ndarray  # [n, t, k], part of the frame's area, dimmed where the body is faint
    area: np.ndarray  # [n, t, k], part of the frame's area, taken at the body's own brightness
    place: np.ndarray  # [n, t, k, 2], box units; NaN where there is nothing
    extra: np.ndarray  # [n, t, k], area of the second largest piece of that colour


def parse(world: World, video: Tensor) -> Bodies:
    """video [n, t, c, h, w] -> its bodies."""
    assert world.weights is not None
    frames = to_uint8(video)
    flat = frames.reshape(-1, *frames.shape[2:])
    covered = np.stack(list(world.weights(flat).values()), axis=1)  # [n t, k, h, w]
    clear = clear_weights(covered)
    brightest = np.maximum(covered.max((2, 3)), 1e-6)

    def shaped(values: np.ndarray) -> np.ndarray:
        return values.reshape(*frames.shape[:2], *values.shape[1:])

    return Bodies(
        mass=shaped(clear.mean((2, 3))),
        area=shaped(covered.mean((2, 3)) / brightest),
        place=shaped(centroids(covered)),
        extra=shaped(second_pieces(clear)),
    )


def second_pieces(weights: np.ndarray) -> np.ndarray:
    """Area of the second largest connected piece, as a part of the frame: [n, k, h, w] -> [n, k]."""
    from scipy.ndimage import generate_binary_structure, label

    joined = np.zeros((3, 3, 3), int)
    joined[1] = generate_binary_structure(2, 2)  # pictures do not touch each other, pixels do by their corners
    flat = weights.reshape(-1, *weights.shape[2:])
    pieces, count = label(flat > 0.5, joined)
    areas = np.bincount(pieces.ravel(), weights=flat.ravel(), minlength=count + 1)[1:]
    owner = np.zeros(count, int)
    where = np.nonzero(pieces)
    owner[pieces[where] - 1] = where[0]
    order = np.lexsort((-areas, owner))  # pieces of one picture together, the largest first
    second = np.flatnonzero(np.diff(owner[order], prepend=-1) == 0)
    largest = np.zeros(len(flat))
    np.maximum.at(largest, owner[order][second], areas[order][second])
    return (largest / weights[0, 0].size).reshape(weights.shape[:2])


# -------------------------------------------------------------------------------------------- events


def events(world: World, given: Tensor, film: Tensor) -> dict[str, np.ndarray]:
    """The first frame of ``film`` [n, t, c, h, w], which follows ``given``, in which each kind begins; t where none."""
    assert world.law is not None
    seen = parse(world, torch.cat([given, film], 1))
    first, law = given.shape[1], world.law
    usual, known, leaving, gone = missing(seen, first, law)
    come = (~known & (seen.mass > GHOST * law.smallest)) | (known & (seen.extra > GHOST * law.smallest))
    gone, come = (lasting(there, HOLD)[:, first:] for there in (gone, come))
    changed = colour_changes(gone, come, seen.place[:, first - 1 :], law)
    usual_area = np.median(seen.area[:, :first], axis=1)[:, None]
    ratio = seen.area / np.maximum(usual_area, 1e-6)
    sized = known & (seen.mass >= KEPT * usual) & ~leaving & ((ratio > LARGER) | (ratio < 1 / LARGER))
    jumps = known & teleports(seen.place, law)
    found = {
        "vanish": _first(gone & ~changed[0]),
        "appear": _first(come & ~changed[1]),
        "colour_change": _first(changed[0]),
        "teleport": _first(jumps[:, first:]),
        "size_change": _first(lasting(sized, LASTING)[:, first:]),
    }
    return found


def missing(seen: Bodies, first: int, law: Law) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each body [n, 1 or t, k]: its mass in the ``first`` frames; was it there; may it leave; is it gone."""
    usual = np.median(seen.mass[:, :first], axis=1)[:, None]
    known = usual > GHOST * law.smallest
    leaving = np.zeros_like(seen.mass, bool) if law.closed else out_of_view(seen)
    return usual, known, leaving, known & (seen.mass < KEPT * usual) & ~leaving


def bodies_kept(world: World, given: Tensor, film: Tensor) -> np.ndarray:
    """Of the bodies that ``given`` shows, the part that is there in each frame of ``film``: [n, t]; NaN: there is none.

    As everywhere here, it takes HOLD frames in a row without it to lose one.
    """
    assert world.law is not None
    first = given.shape[1]
    _, known, _, gone = missing(parse(world, torch.cat([given, film], 1)), first, world.law)
    bodies = known.sum(-1)
    return np.where(bodies > 0, 1 - lasting(gone, HOLD)[:, first:].sum(-1) / np.maximum(bodies, 1), np.nan)


def lasting(there: np.ndarray, frames: int) -> np.ndarray:
    """True from the first to the last frame of every run of at least ``frames`` along axis 1."""
    from scipy.ndimage import binary_opening

    run = np.ones((1, frames, 1), bool)
    return np.asarray(binary_opening(there, run))


def out_of_view(seen: Bodies) -> np.ndarray:
    """Where a body may have left an open view, or is cut by its edge: [n, t, k].

    When last seen, it was within its radius and one of its own strides of an edge.
    """
    radius = np.sqrt(np.median(seen.area[:, :GIVEN], axis=1) / np.pi)[:, None, :, None]
    strides = np.linalg.norm(np.diff(seen.place, axis=1, prepend=seen.place[:, :1]), axis=-1, keepdims=True)
    near = radius + carried(strides) + EDGE
    place = carried(seen.place)
    touching = ((place < near) | (place > 1 - near)).any(-1)
    return np.asarray(touching | np.concatenate([touching[:, :1], touching[:, :-1]], axis=1))


def carried(place: np.ndarray) -> np.ndarray:
    """What was last known, [n, t, k, c]: NaN is filled with what was before, along axis 1."""
    known = ~np.isnan(place).any(-1)
    index = np.where(known, np.arange(place.shape[1])[None, :, None], 0)
    index = np.maximum.accumulate(index, axis=1)
    return np.take_along_axis(place, index[..., None], axis=1)


def teleports(place: np.ndarray, law: Law) -> np.ndarray:
    """Where a body is seen farther from its last place than it could have gone: [n, t, k]."""
    known = ~np.isnan(place).any(-1)
    frames = np.arange(place.shape[1])[None, :, None]
    before = np.maximum.accumulate(np.where(known, frames, -1), axis=1)
    before = np.concatenate([np.full_like(before[:, :1], -1), before[:, :-1]], axis=1)
    last = np.take_along_axis(place, np.maximum(before, 0)[..., None], axis=1)
    with np.errstate(invalid="ignore"):
        far = np.linalg.norm(place - last, axis=-1) > 2 * law.fastest * (frames - before)
    return np.asarray(far & known & (before >= 0))


def colour_changes(gone: np.ndarray, come: np.ndarray, place: np.ndarray, law: Law) -> tuple[np.ndarray, np.ndarray]:
    """Which vanishings and appearances belong together: (of ``gone``, of ``come``), [n, t, k] each.

    ``place`` [n, t + 1, k, 2] begins with the last given frame.
    """
    before = carried(place)
    of_gone, of_come = np.zeros_like(gone), np.zeros_like(come)
    ever_gone, ever_come = np.any(gone, axis=1), np.any(come, axis=1)
    both = ever_gone[:, :, None] & ever_come[:, None, :]  # [n, old, new]
    for item, old, new in np.argwhere(both):
        left, arrived = gone[item, :, old].argmax(), come[item, :, new].argmax()
        away = np.linalg.norm(place[item, arrived + 1, new] - before[item, left, old])
        if new != old and abs(left - arrived) <= NEARLY and away <= 2 * law.fastest * (1 + abs(left - arrived)):
            of_gone[item, :, old], of_come[item, :, new] = gone[item, :, old], come[item, :, new]
    return of_gone, of_come


def _first(there: np.ndarray) -> np.ndarray:
    """First frame in which it is there for any body: [n, t, k] -> [n]; t where it never is."""
    seen = np.any(there, axis=-1)
    return np.where(np.any(seen, axis=1), np.argmax(seen, axis=1), seen.shape[1])


# ------------------------------------------------------------------------------------------- metrics


def _metrics(
    told: Mapping[str, Events],
    floors: Mapping[str, Events],
    ceilings: Mapping[str, Events],
    best: Mapping[str, tuple[str, Events]],
    absent: Mapping[str, str],
) -> list[Measured]:
    found = []
    for metric, unit, direction, text, judge in METRICS:
        values = {route: judge(when) for route, when in told.items()}
        rates = {r: wilson(int(v.sum()), len(v)) for r, v in values.items()} if metric != "clean_frames" else {}
        found.append(
            Measured(
                question="hallucination",
                metric=metric,
                unit=unit,
                direction=direction,
                protocol=f"{GIVEN} frames given, {ROLL} more by itself, told nothing: {text}",
                values=values,
                floors={name: judge(when) for name, when in floors.items()},
                ceilings={name: judge(when) for name, when in ceilings.items()},
                own_ceilings={route: (name, judge(when)) for route, (name, when) in best.items()},
                intervals=rates,
                absent=absent,
            )
        )
    return found


def _without(*kinds: str) -> Any:
    return lambda when: np.all([when[kind] >= ROLL for kind in kinds], axis=0).astype(float)


def _with(kind: str) -> Any:
    return lambda when: (when[kind] < ROLL).astype(float)


def _clean_frames(when: Events) -> np.ndarray:
    return np.min([when[kind] for kind in KINDS], axis=0).astype(float)


METRICS: tuple[tuple[str, str, Any, str, Any], ...] = (
    ("clean_fraction", "of films", "higher", "films in which no body breaks any rule", _without(*KINDS)),
    ("clean_frames", "frames", "higher", f"frames before the first event, {ROLL} if there is none", _clean_frames),
    (
        "kept",
        "of films",
        "higher",
        "films in which the number of bodies and their colours stay",
        _without("vanish", "appear", "colour_change"),
    ),
    ("vanish", "of films", "lower", "films in which a body vanishes", _with("vanish")),
    ("appear", "of films", "lower", "films in which a body appears or doubles", _with("appear")),
    ("colour_change", "of films", "lower", "films in which a body changes its colour", _with("colour_change")),
    ("teleport", "of films", "lower", "films in which a body jumps", _with("teleport")),
    ("size_change", "of films", "lower", f"films in which an area is off by a factor {LARGER}", _with("size_change")),
)


def _films(exam: Exam, videos: Mapping[str, Tensor]) -> list[Any]:
    films = []
    for item in range(min(SHOWN, len(exam.given))):
        for route, future in videos.items():
            frames = to_uint8(torch.cat([exam.given[item], future[item]]))
            name = f"left alone, clip {item + 1}"
            films.append(film_of(name, route, "hallucination", frames, given=GIVEN, fps=exam.spec.fps))
    return films
