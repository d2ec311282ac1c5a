"""Words for the arena: a closed grammar with paraphrases, from states, and its inverse.

A scene (what a caption says) is a plain dictionary::

    {"shapes": ({"size": "large", "colour": "red", "shape": "disc", "direction": "down",
                 "speed": "quickly" | None, "bounces": "left" | None}, ...),
     "avatar": "left" | "right" | "up" | "down" | "stays" | "wanders" | "chases red"}

``speed`` None: not said. ``parse_caption(phrase(scene, rng)) == scene`` for every scene and every draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from threeworlds.types import Caption
from threeworlds.worlds.arena import AVATAR_SPEED, COLOURS, FASTEST, SHAPES, SIZES, reach, shape_columns

SEGMENT, STRIDE = 16, 8  # frames a caption speaks of; frames from one caption to the next
RESTING, QUICK = 0.005, 0.035  # speeds (box units a step) below and above which a shape rests and is quick
Scene = dict[str, Any]

SIZE_WORDS = {"small": ("small", "little"), "large": ("large", "big")}
SHAPE_WORDS = {"disc": ("disc", "circle", "ball"), "square": ("square", "box"), "triangle": ("triangle",)}
MOTION_WORDS = {
    "left": ("moves left", "goes left", "slides left", "moves to the left"),
    "right": ("moves right", "goes right", "slides right", "moves to the right"),
    "up": ("rises", "moves up", "goes up", "climbs"),
    "down": ("falls", "moves down", "goes down", "drops"),
    "rest": ("rests", "stays still", "does not move"),
}
SPEED_WORDS = {"slowly": ("slowly", "gently"), "quickly": ("quickly", "fast")}
WALL_WORDS = {"left": "left", "right": "right", "up": "top", "down": "bottom"}
BOUNCE_WORDS = ("and bounces off the {} wall", "then bounces off the {} wall", "and hits the {} wall")
AVATAR_WORDS = {
    "left": ("goes left", "moves left", "walks left"),
    "right": ("goes right", "moves right", "walks right"),
    "up": ("goes up", "moves up", "walks up"),
    "down": ("goes down", "moves down", "walks down"),
    "stays": ("stays", "waits", "stands still"),
    "wanders": ("wanders", "wanders around", "roams around"),
}
CHASE_WORDS = ("chases the {}", "follows the {}", "runs after the {}")
TEMPLATES = (
    "{shapes} while the avatar {avatar}",
    "{shapes} as the avatar {avatar}",
    "the avatar {avatar} while {shapes}",
    "{shapes} and the avatar {avatar}",
)


# -------------------------------------------------------------------------------- states -> scene


def captions(states: np.ndarray, rng: np.random.Generator) -> tuple[Caption, ...]:
    """One caption for every segment of 16 frames, at 0, 8, 16, ...: states [t, s]."""
    starts = range(0, len(states) - SEGMENT + 1, STRIDE)
    return tuple(
        Caption(start=start, stop=start + SEGMENT, text=phrase(describe(states[start : start + SEGMENT], rng), rng))
        for start in starts
    )


def describe(states: np.ndarray, rng: np.random.Generator) -> Scene:
    """The scene of a segment [t, s]; speeds are left unsaid in four of ten."""
    present = [i for i in range(2) if states[0, shape_columns(i)][-1] == 1]
    shapes = [describe_shape(states[:, shape_columns(i)]) for i in present]
    for shape in shapes:
        if rng.random() < 0.4:
            shape["speed"] = None
    if rng.random() < 0.5:
        shapes.reverse()
    return {"shapes": tuple(shapes), "avatar": avatar_behaviour(states, present)}


def describe_shape(columns: np.ndarray) -> Scene:
    """One shape [t, 10]: direction and speed at the start, first wall it bounces off."""
    velocity = columns[0, 2:4]
    speed = float(np.hypot(*velocity))
    colour, shape, size = columns[0, 6:9].astype(int)
    return {
        "size": SIZES[size],
        "colour": COLOURS[colour],
        "shape": SHAPES[shape],
        "direction": "rest" if speed < RESTING else axis_direction(velocity),
        "speed": None if speed < RESTING else "quickly" if speed > QUICK else "slowly",
        "bounces": first_bounce(columns, reach(shape, size)),
    }


def axis_direction(vector: np.ndarray) -> str:
    """left, right, up or down: the axis along which the vector is longer."""
    x, y = vector
    if abs(x) >= abs(y):
        return "left" if x < 0 else "right"
    return "up" if y > 0 else "down"


def first_bounce(columns: np.ndarray, extent: float) -> str | None:
    """First wall off which a shape of radius ``extent`` bounces, from its columns [t, 10].

    The velocity towards the wall turns round within a step's way of it, where no other body fits in between.
    """
    near = extent + FASTEST
    found = []
    for axis, (low, high) in enumerate((("left", "right"), ("down", "up"))):
        place, before, after = columns[:-1, axis], columns[:-1, 2 + axis], columns[1:, 2 + axis]
        for wall, towards, distance in ((low, -1, place), (high, 1, 1 - place)):
            turns = (towards * before > RESTING) & (towards * after < 0) & (distance < near)
            if turns.any():
                found.append((int(np.argmax(turns)), wall))
    return min(found)[1] if found else None


def avatar_behaviour(states: np.ndarray, present: list[int]) -> str:
    """What the avatar does in more than half of the steps; else whom it chases; else it wanders."""
    moves = np.diff(states[:, :2], axis=0)
    steps = ["stays" if np.hypot(*move) < AVATAR_SPEED / 4 else axis_direction(move) for move in moves]
    most = max(sorted(set(steps)), key=steps.count)
    if steps.count(most) > len(steps) / 2:
        return most
    for i in present:
        if chases(states, states[:, shape_columns(i)]):
            return f"chases {COLOURS[int(states[0, shape_columns(i)][6])]}"
    return "wanders"


def chases(states: np.ndarray, columns: np.ndarray) -> bool:
    """Whether nine of ten moves of the avatar bring it nearer to where the shape is."""
    moves = np.diff(states[:, :2], axis=0)
    moving = np.hypot(*moves.T) > AVATAR_SPEED / 4
    nearer = np.einsum("td,td->t", moves, columns[1:, :2] - states[:-1, :2]) > 0
    return bool(moving.sum() > len(moves) / 2 and nearer[moving].mean() >= 0.9)


# --------------------------------------------------------------------------------- scene -> words


def phrase(scene: Scene, rng: np.random.Generator) -> str:
    """Say a scene, in words chosen at random among the paraphrases."""
    shapes = " and ".join(phrase_shape(shape, rng) for shape in scene["shapes"])
    avatar = phrase_avatar(scene, rng)
    return pick(TEMPLATES, rng).format(shapes=shapes, avatar=avatar)


def phrase_shape(shape: Scene, rng: np.random.Generator) -> str:
    """ "a large red disc falls quickly and bounces off the left wall"."""
    words = ["a", pick(SIZE_WORDS[shape["size"]], rng), shape["colour"], pick(SHAPE_WORDS[shape["shape"]], rng)]
    words.append(pick(MOTION_WORDS[shape["direction"]], rng))
    if shape["speed"]:
        words.append(pick(SPEED_WORDS[shape["speed"]], rng))
    if shape["bounces"]:
        words.append(pick(BOUNCE_WORDS, rng).format(WALL_WORDS[shape["bounces"]]))
    return " ".join(words)


def phrase_avatar(scene: Scene, rng: np.random.Generator) -> str:
    """ "goes left", "chases the red disc"."""
    verb, _, colour = scene["avatar"].partition(" ")
    if verb != "chases":
        return pick(AVATAR_WORDS[verb], rng)
    (shape,) = {shape["shape"] for shape in scene["shapes"] if shape["colour"] == colour}
    return pick(CHASE_WORDS, rng).format(f"{colour} {pick(SHAPE_WORDS[shape], rng)}")


def pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    """One of them."""
    return options[rng.integers(len(options))]


# --------------------------------------------------------------------------------- words -> scene


def parse_caption(text: str) -> Scene:
    """The scene a caption of this grammar speaks of.

    Raises:
        ValueError: a word outside the vocabulary, or a sentence outside the grammar.
    """
    words = text.split()
    unknown = [word for word in words if word not in VOCABULARY]
    if unknown:
        raise ValueError(f"not in the arena's vocabulary: {', '.join(unknown)}; allowed are {', '.join(VOCABULARY)}")
    sizes = {word for synonyms in SIZE_WORDS.values() for word in synonyms}
    starts = [i for i, word in enumerate(words) if word in sizes or word == "avatar"]
    parts = [" ".join(words[start:stop]) for start, stop in zip(starts, [*starts[1:], len(words)], strict=True)]
    avatars = [part for part in parts if part.startswith("avatar")]
    shapes = tuple(parse_shape(part) for part in parts if not part.startswith("avatar"))
    if len(avatars) != 1 or not shapes:
        raise ValueError(f"{text!r}: a caption names at least one shape, and the avatar once")
    return {"shapes": shapes, "avatar": parse_avatar(avatars[0])}


def parse_shape(part: str) -> Scene:
    """ "large red disc falls quickly and ..." -> its part of the scene."""
    size, colour, noun, *rest = part.split()
    said = f" {' '.join(rest)} "
    walls = [wall for wall, word in WALL_WORDS.items() if f" the {word} wall " in said]
    return {
        "size": meaning(f" {size} ", SIZE_WORDS, part),
        "colour": meaning(f" {colour} ", {name: (name,) for name in COLOURS}, part),
        "shape": meaning(f" {noun} ", SHAPE_WORDS, part),
        "direction": meaning(said, MOTION_WORDS, part),
        "speed": meaning(said, SPEED_WORDS, part, default=None),
        "bounces": walls[0] if walls else None,
    }


def parse_avatar(part: str) -> str:
    """ "avatar chases the red disc while a" -> "chases red"."""
    said = f" {part} "
    if any(f" {words.format('')}" in said for words in CHASE_WORDS):
        return f"chases {meaning(said, {name: (name,) for name in COLOURS}, part)}"
    return str(meaning(said, AVATAR_WORDS, part))


def meaning(said: str, words: Mapping[str, tuple[str, ...]], part: str, **otherwise: None) -> str | None:
    """The key one of whose phrases is in ``said`` (spaces round it); ``default`` if there is none."""
    for key, phrases in words.items():
        if any(f" {phrase} " in said for phrase in phrases):
            return key
    if otherwise:
        return otherwise["default"]
    raise ValueError(f"{part!r}: expected one of {', '.join(p for phrases in words.values() for p in phrases)}")


def _vocabulary() -> tuple[str, ...]:
    tables = (SIZE_WORDS, SHAPE_WORDS, MOTION_WORDS, SPEED_WORDS, AVATAR_WORDS)
    phrases = [phrase for table in tables for synonyms in table.values() for phrase in synonyms]
    phrases += [*COLOURS, *WALL_WORDS.values(), *BOUNCE_WORDS, *CHASE_WORDS, *TEMPLATES, "a"]
    words = {word for phrase in phrases for word in phrase.split() if "{" not in word}
    return tuple(sorted(words))


VOCABULARY = _vocabulary()  # every word a caption can have
