"""A film as a simulator: what was covered comes back, what was changed stays so, a game that is told is played.

Scenes of the arena, drawn by seed and judged by its exact parser; all but the last are given as GIVEN frames, with each
route's own controls, and run on for AFTER more.

- covered: the avatar passes over a small disc at rest. In the last given frame nothing of the disc is seen; then the
  avatar goes away. No clip of training shows this, since bodies of the arena knock and never overlap.
- beside: its control. The same scenes, but the avatar passes beside the disc, and nothing is covered.
- struck: a disc strikes one like it head on, in the given frames. It stops where it struck, for good, and the other
  goes on in its place. The arena has nothing that is painted or eaten: this is its lasting change.
- told: a film from a held-out caption alone. Does the avatar do what the words say, and does a shape that it comes to
  give way?

Legend: n items, t frames, s state variables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threeworlds.score.exam import GIVEN, Answers, Entrant, Exam, Measured
from threeworlds.score.films import film_of, to_uint8
from threeworlds.score.hallucination import carried
from threeworlds.score.prediction import bodies, controls_of, predict
from threeworlds.score.stats import wilson
from threeworlds.score.text import NO_WORDS, generate
from threeworlds.types import Batch, Generates, Predicts, Reconstructs
from threeworlds.worlds import arena
from threeworlds.worlds.arena_text import avatar_behaviour

ITEMS = 50  # scenes, and captions
AFTER, LATE = 8, 4  # frames that follow the given ones; of them the last, in most of which a body must be in its place
NEAR = 0.06  # of the box: in its place, two pixels of 32
GONE = 0.1  # of the box: away from its old place
LEAVES = 4  # steps that the avatar goes on after it has covered a shape
BESIDE = 0.22  # of the box: the avatar passes a shape without touching it
# Of the distance at which the avatar and a disc touch. Nearer than the first, bodies of any shape overlap; a square or
# a triangle that touches with a side is farther off than the second.
OVERLAP, APART = 0.8, 0.85
SHOWN = 2  # films of each kind kept for the report
COLOURS = tuple(name for name in arena.PALETTE if name != "avatar")


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """n scenes of GIVEN + AFTER frames, and the two bodies that are looked at, by colour."""

    states: np.ndarray  # [n, t, s]
    actions: np.ndarray  # int64 [n, t - 1]
    stays: tuple[str, ...]  # the one that is in its place in the end
    leaves: tuple[str, ...] = ()  # the one that is not, where there is one


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Every kind of scene, put to who can answer it."""
    if exam.world is None or exam.world.name != "arena":
        why = {entrant.route: "its scenes are the arena's" for entrant in entrants}
        return Answers(measured=tuple(_measured(metric, {}, absent=why) for metric in METRICS))
    found = [*(ask_scenes(exam, entrants, kind) for kind in JUDGES), ask_told(exam, entrants)]
    return Answers(
        measured=tuple(measured for each in found for measured in each.measured),
        films=tuple(film for each in found for film in each.films),
    )


# -------------------------------------------------------------------------------------- given scenes


def ask_scenes(exam: Exam, entrants: Sequence[Entrant], kind: str) -> Answers:
    """Films that run on from given frames."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Predicts)]
    absent = {e.route: "makes no pictures, by design" for e in entrants if e not in able}
    scenes, own = scenes_of(exam, kind)
    films = {e.route: predict(e, own, controls_of(e, own)) for e in able}
    best = {e.route: _shown(e, own) for e in able if isinstance(e.model, Reconstructs)}
    measured = [
        _measured(
            metric,
            {route: judge(scenes, film) for route, film in films.items()},
            floors={
                "copy the last frame": judge(scenes, own.given[:, -1:].expand_as(own.future)),
                "another scene": judge(scenes, own.future.roll(1, 0)),
            },
            ceilings={"the true films": judge(scenes, own.future)},
            own_ceilings={r: ("its own reconstruction", judge(scenes, film)) for r, film in best.items()},
            absent=absent,
        )
        for metric, judge in JUDGES[kind].items()
    ]
    shown = {"truth": own.future, **films}
    return Answers(measured=tuple(measured), films=tuple(_films(exam, kind, own.given, shown)))


def scenes_of(exam: Exam, kind: str) -> tuple[Scenes, Exam]:
    """The scenes of a kind, and the exam with their films as its items."""
    scenes = MAKERS[kind](np.random.default_rng(exam.seed))
    frames = np.stack([arena.render(states, exam.spec.height) for states in scenes.states])
    video = torch.from_numpy(frames).movedim(-1, 2).float() / 127.5 - 1
    test = Batch(video=video, action=torch.from_numpy(scenes.actions), state=torch.from_numpy(scenes.states))
    return scenes, replace(exam, test=test)


def _shown(entrant: Entrant, exam: Exam) -> Tensor:
    shown: Tensor = entrant.model.reconstruct(exam.test.video)
    return shown[:, GIVEN:].clamp(-1, 1)


def covered(rng: np.random.Generator, *, beside: float = 0.0) -> Scenes:
    """The avatar goes straight over a small disc, which it hides whole, and stops behind it.

    ``beside``: the avatar is so far off, towards the middle of the box.
    """
    offsets = np.array([*range(1 - GIVEN, LEAVES + 1), *[LEAVES] * (AFTER - LEAVES)])
    states, actions, stays = [], [], []
    for _ in range(ITEMS):
        colour, way = int(rng.choice(looks(size=0))), int(rng.integers(1, 5))
        towards, aside = arena.MOVES[way], arena.MOVES[way][::-1] != 0
        low, high = arena.AVATAR_RADIUS + (GIVEN - 1) * arena.AVATAR_SPEED, 1 - arena.AVATAR_RADIUS
        along = rng.uniform(low, high - LEAVES * arena.AVATAR_SPEED)
        place = np.where(aside, rng.uniform(0.15, 0.85), along if towards.sum() > 0 else 1 - along)
        film = np.repeat(scene(place, [(place, (0, 0), colour, 0, 0)])[None], len(offsets), 0)
        film[:, :2] += offsets[:, None] * towards + beside * aside * np.where(place < 0.5, 1, -1)
        states.append(film.astype(np.float32))
        actions.append(np.where(np.diff(offsets) > 0, way, 0))
        stays.append(arena.COLOURS[colour])
    return Scenes(states=np.stack(states), actions=np.stack(actions), stays=tuple(stays))


def struck(rng: np.random.Generator) -> Scenes:
    """A disc runs into its like between the second and the third frame; the avatar rests, far off."""
    states: list[np.ndarray] = []
    stays, leaves = [], []
    while len(states) < ITEMS:
        size, way = int(rng.integers(2)), int(rng.integers(1, 5))
        colours = rng.permutation(looks(size))[:2]
        towards = np.sign(arena.MOVES[way])
        aside = rng.permutation([rng.uniform(0.15, 0.35), rng.uniform(0.7, 0.85)])
        across, first = np.abs(towards[::-1]), rng.uniform(0.12, 0.4)
        apart = 2 * float(arena.RADIUS[size]) + 1.5 * arena.FAST
        line = np.where(towards < 0, 1, 0) + towards * first + across * aside[0]
        discs = [
            (line, towards * arena.FAST, int(colours[0]), 0, size),
            (line + towards * apart, (0, 0), int(colours[1]), 0, size),
        ]
        film = passed(scene(across * aside[1] + (1 - across) * rng.uniform(0.2, 0.8), discs))
        if settles(film):
            states.append(film)
            stays.append(arena.COLOURS[colours[0]])
            leaves.append(arena.COLOURS[colours[1]])
    actions = np.zeros((ITEMS, GIVEN + AFTER - 1), np.int64)
    return Scenes(states=np.stack(states), actions=actions, stays=tuple(stays), leaves=tuple(leaves))


def passed(state: np.ndarray) -> np.ndarray:
    """``state`` and what follows while the avatar stays: [GIVEN + AFTER, s]."""
    simulator = arena.Arena()
    simulator.load(state)
    return np.stack([state, *(simulator.step(0) for _ in range(GIVEN + AFTER - 1))])


def settles(states: np.ndarray) -> bool:
    """Whether the first disc has stopped for good in the given frames, and the second is far from its old place."""
    first, second = (states[:, arena.shape_columns(i)][:, :2] for i in range(2))
    still = np.linalg.norm(first[GIVEN - 2 :] - first[GIVEN - 1], axis=1).max() < 0.01
    return bool(still and np.linalg.norm(second[-LATE:] - second[0], axis=1).min() > 2 * GONE)


Disc = tuple[Any, Any, int, int, int]  # place, velocity, colour, shape, size


def scene(avatar: np.ndarray, shapes: Sequence[Disc]) -> np.ndarray:
    """A state [s] of bodies that do not turn."""
    state = np.full(len(arena.STATE_NAMES), np.nan, np.float32)
    state[:4] = *avatar, 0, 0
    for i in range(2):
        state[arena.shape_columns(i)][-1] = i < len(shapes)
    for i, (place, velocity, colour, shape, size) in enumerate(shapes):
        state[arena.shape_columns(i)] = *place, *velocity, 0, 0, colour, shape, size, 1
    return state


def looks(size: int) -> list[int]:
    """Colours that training has seen in discs of that size."""
    return [colour for colour in range(len(arena.COLOURS)) if not arena.is_held_out(colour, 0, size)]


MAKERS: Mapping[str, Callable[[np.random.Generator], Scenes]] = {
    "covered": covered,
    "beside": partial(covered, beside=BESIDE),
    "struck": struck,
}

# ------------------------------------------------------------------------------------------- judging


def in_place(scenes: Scenes, film: Tensor) -> np.ndarray:
    """1 where the body that stays is seen in its colour where it is in truth, in most of the last frames: [n]."""
    true = np.stack([_place(scenes, item, body) for item, body in enumerate(scenes.stays)])
    return _mostly(np.linalg.norm(_seen(film, scenes.stays) - true[:, None], axis=-1) < NEAR)


def in_colour(scenes: Scenes, film: Tensor) -> np.ndarray:
    """1 where its colour is seen at all, in most of the last frames: [n]."""
    return _mostly(~np.isnan(_seen(film, scenes.stays)).any(-1))


def lasting(scenes: Scenes, film: Tensor) -> np.ndarray:
    """1 where one is in its new place and the other is seen away from its old one: [n]."""
    old = np.stack([_place(scenes, item, body, frame=0) for item, body in enumerate(scenes.leaves)])
    away = _mostly(np.linalg.norm(_seen(film, scenes.leaves) - old[:, None], axis=-1) > GONE)
    return in_place(scenes, film) * away


def _mostly(there: np.ndarray) -> np.ndarray:
    return (there[:, -LATE:].mean(1) > 0.5).astype(float)


def _seen(film: Tensor, names: Sequence[str]) -> np.ndarray:
    """Centroids of one named body a film: [n, t, 2]."""
    where = bodies(arena.locate, film)
    return np.stack([where[name][item] for item, name in enumerate(names)])


def _place(scenes: Scenes, item: int, colour: str, frame: int = -1) -> np.ndarray:
    """Where the shape of that colour truly is."""
    shapes = [scenes.states[item, frame, arena.shape_columns(i)] for i in range(2)]
    (place,) = [s[:2] for s in shapes if s[-1] == 1 and arena.COLOURS[int(s[6])] == colour]
    return place


JUDGES: Mapping[str, Mapping[str, Callable[[Scenes, Tensor], np.ndarray]]] = {
    "covered": {"returns": in_place, "returns_colour": in_colour},
    "beside": {"stays_beside": in_place},
    "struck": {"lasts": lasting, "stays_put": in_place},
}


# --------------------------------------------------------------------------------------- told games


def ask_told(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Films from captions alone."""
    able = [entrant for entrant in entrants if isinstance(entrant.model, Generates)]
    absent = {e.route: NO_WORDS for e in entrants if e not in able}
    if exam.opening is None:
        absent |= {e.route: "these clips have no captions" for e in able}
        return Answers(measured=tuple(_measured(metric, {}, absent=absent) for metric in ("obeys", "gives_way")))
    assert exam.opening.video is not None and exam.opening.caption is not None and exam.world is not None
    assert exam.world.parse_caption is not None
    true, captions = exam.opening.video[:ITEMS], exam.opening.caption[:ITEMS]
    said = [exam.world.parse_caption(caption) for caption in captions]
    films = {entrant.route: generate(entrant, captions, true.shape[1], exam.seed) for entrant in able}
    seen = {route: bodies(arena.locate, film) for route, film in {"truth": true, **films}.items()}
    of_truth = seen.pop("truth")
    order = np.random.default_rng(exam.seed).permutation(len(said))
    shuffled = [said[i] for i in order]
    obeys = _measured(
        "obeys",
        {route: obeyed(where, said) for route, where in seen.items()},
        own_floors={route: ("shuffled captions", obeyed(where, shuffled)) for route, where in seen.items()},
        ceilings={"the true clips": obeyed(of_truth, said)},
        absent=absent,
    )
    gives_way = _measured(
        "gives_way",
        {route: gave_way(where, said) for route, where in seen.items()},
        own_floors={r: ("the avatar of another film", gave_way(_other(where), said)) for r, where in seen.items()},
        ceilings={"the true clips": gave_way(of_truth, said)},
        absent=absent,
        statistic=part,
    )
    return Answers(measured=(obeys, gives_way), films=tuple(_told_films(exam, captions, {"truth": true, **films})))


Where = Mapping[str, np.ndarray]  # body -> centroids [n, t, 2], NaN where it is not seen


def obeyed(where: Where, said: Sequence[Any]) -> np.ndarray:
    """1 where the avatar does what the caption says, by the rule by which captions say it: [n]."""
    return np.array([float(behaviour(where, item, scene) == scene["avatar"]) for item, scene in enumerate(said)])


def behaviour(where: Where, item: int, told: Any) -> str | None:
    """What the avatar does; None where it is not seen in most frames. The shape it is to chase is looked at first."""
    avatar = where["avatar"][item]
    if np.isnan(avatar).any(-1).mean() > 0.5:
        return None
    colours = [shape["colour"] for shape in told["shapes"]]
    colours.sort(key=lambda colour: told["avatar"] != f"chases {colour}")
    states = np.full((len(avatar), len(arena.STATE_NAMES)), np.nan, np.float32)
    states[:, :2] = _filled(avatar)
    for i, colour in enumerate(colours):
        columns = states[:, arena.shape_columns(i)]
        columns[:, :2], columns[:, 6] = _filled(where[colour][item]), arena.COLOURS.index(colour)
    return avatar_behaviour(states, list(range(len(colours))))


def gave_way(where: Where, said: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Meetings of the avatar and a shape, and those after which the shape gives way: ([n], [n])."""
    met, gave = np.zeros(len(said)), np.zeros(len(said))
    for item, told in enumerate(said):
        for shape in told["shapes"]:
            touch = arena.AVATAR_RADIUS + float(arena.RADIUS[arena.SIZES.index(shape["size"])])
            reacted = reaction(where["avatar"][item], where[shape["colour"]][item], touch)
            met[item] += reacted is not None
            gave[item] += bool(reacted)
    return met, gave


def reaction(avatar: np.ndarray, shape: np.ndarray, touch: float) -> bool | None:
    """Whether a shape gives way when they first meet: it is seen, and beside the avatar. Paths are [t, 2].

    They meet where the shape, were it to go on as in the two frames before, would be inside the avatar. None: never.
    """
    going_on = 2 * shape[1:-1] - shape[:-2]
    apart_before = np.linalg.norm(shape[1:-1] - avatar[1:-1], axis=1) > OVERLAP * touch
    meets = np.flatnonzero(apart_before & (np.linalg.norm(going_on - avatar[2:], axis=1) < OVERLAP * touch))
    return bool(np.linalg.norm(shape[2:] - avatar[2:], axis=1)[meets[0]] > APART * touch) if len(meets) else None


def part(met: np.ndarray, gave: np.ndarray) -> float:
    """Part of the meetings after which the shape gave way; NaN where there was none."""
    return float(gave.sum() / met.sum()) if met.any() else float("nan")


def _other(where: Where) -> Where:
    return {**where, "avatar": np.roll(where["avatar"], 1, axis=0)}


def _filled(path: np.ndarray) -> np.ndarray:
    """A path [t, 2] in which what is not seen is where it was last seen."""
    return carried(path[None, :, None])[0, :, 0]


# ------------------------------------------------------------------------------------------- metrics

GIVEN_TEXT = f"{GIVEN} frames given, with each route's own controls, {AFTER} more"
METRICS: Mapping[str, tuple[str, str]] = {  # metric -> unit, protocol
    "returns": (
        "of films",
        f"{GIVEN_TEXT}: a disc at rest that the avatar passed over is seen again, in its colour and at its place",
    ),
    "returns_colour": ("of films", f"{GIVEN_TEXT}: its colour is seen again, wherever"),
    "stays_beside": ("of films", f"{GIVEN_TEXT}: control, the avatar passes beside the disc, which is at its place"),
    "lasts": (
        "of films",
        f"{GIVEN_TEXT}: of two discs that knocked, one is still where it stopped and the other has left its place",
    ),
    "stays_put": ("of films", f"{GIVEN_TEXT}: the one is still where it stopped; a frozen film does that too"),
    "obeys": ("of captions", "a film from each held-out caption alone: the avatar does what the words say"),
    "gives_way": (
        "of meetings",
        "the same films: where the avatar first comes to a shape that would else be inside it, the shape is beside it",
    ),
}


def _measured(metric: str, values: Mapping[str, Any], *, absent: Mapping[str, str], **known: Any) -> Measured:
    unit, protocol = METRICS[metric]
    rates = {} if "statistic" in known else {r: wilson(int(v.sum()), len(v)) for r, v in values.items()}
    return Measured(
        question="simulator",
        metric=metric,
        unit=unit,
        direction="higher",
        protocol=protocol,
        values=values,
        intervals=rates,
        windows=False,
        absent=absent,
        **known,
    )


def _films(exam: Exam, kind: str, given: Tensor, videos: Mapping[str, Tensor]) -> list[Any]:
    films = []
    for item in range(SHOWN):
        for route, future in videos.items():
            frames = to_uint8(torch.cat([given[item], future[item]]))
            films.append(
                film_of(f"{kind}, scene {item + 1}", route, "simulator", frames, given=GIVEN, fps=exam.spec.fps)
            )
    return films


def _told_films(exam: Exam, captions: Sequence[str], videos: Mapping[str, Tensor]) -> list[Any]:
    return [
        film_of(captions[item], route, "simulator", to_uint8(video[item]), fps=exam.spec.fps)
        for item in range(min(SHOWN, len(captions)))
        for route, video in videos.items()
    ]
