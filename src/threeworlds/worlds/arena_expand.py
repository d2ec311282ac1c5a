"""A short prompt made into a whole caption of the arena, by rules: what is said is kept, what is missing is drawn.

Sora's report has a language model write long captions from short prompts, since it was trained on long ones. In a
closed grammar rules do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from threeworlds.worlds.arena import COLOURS, SHAPES, SIZES, is_held_out
from threeworlds.worlds.arena_text import (
    AVATAR_WORDS,
    CHASE_WORDS,
    MOTION_WORDS,
    SHAPE_WORDS,
    SIZE_WORDS,
    SPEED_WORDS,
    WALL_WORDS,
    Scene,
    meaning,
    phrase,
)

LOOKS: dict[str, Mapping[str, tuple[str, ...]]] = {
    "size": SIZE_WORDS,
    "colour": {colour: (colour,) for colour in COLOURS},
    "shape": SHAPE_WORDS,
}
BARE_DIRECTIONS = {way: (way,) for way in ("left", "right", "up", "down")}  # "a red disc left"
_AFTER = "|".join(words.format("").strip() for words in CHASE_WORDS)
_NOUNS = "|".join(noun for nouns in SHAPE_WORDS.values() for noun in nouns)
CHASE = re.compile(rf"\b(?:{_AFTER})\s+(?:\w+\s+)??(?P<colour>{'|'.join(COLOURS)})\b(?:\s+(?:{_NOUNS})\b)?")


def expand(text: str, rng: np.random.Generator) -> str:
    """A caption of the grammar that says what ``text`` says, and names what it leaves open.

    "blue square up" -> "a small blue square rises and the avatar stays". Words are those of the arena's vocabulary.

    Raises:
        ValueError: more than two shapes.
    """
    chase = CHASE.search(text.lower())
    subjects = split_subjects(CHASE.sub(" ", text.lower()).split())
    said = [read_shape(words) for words in subjects if words[0] != "avatar"]
    if chase and chase["colour"] not in {shape["colour"] for shape in said}:
        said.append(read_shape(chase[0].split()))
    if len(said) > 2:
        raise ValueError(f"{text!r} speaks of {len(said)} shapes; the arena has at most 2")
    taken = {shape["colour"] for shape in said if shape["colour"]}
    shapes = tuple(complete(shape, taken, rng) for shape in said or [read_shape([])])
    avatar = next((words for words in subjects if words[0] == "avatar"), [])
    return phrase({"shapes": shapes, "avatar": f"chases {chase['colour']}" if chase else read_avatar(avatar)}, rng)


def split_subjects(words: Sequence[str]) -> list[list[str]]:
    """Words cut where a new body begins: at "avatar", and at a word of looks after the looks of the one before."""
    subjects: list[list[str]] = []
    seen: set[str] = set()
    for word in words:
        kind = next((name for name, table in LOOKS.items() if any(word in names for names in table.values())), None)
        if word == "avatar" or (kind and (not seen or kind in seen or "other" in seen)):
            subjects.append([])
            seen = set()
        if subjects:
            subjects[-1].append(word)
            seen.add(kind or "other")
    return subjects


def read_shape(words: Sequence[str]) -> Scene:
    """What is said of a shape; None where nothing is."""
    said = f" {' '.join(words)} "
    walls = [wall for wall, word in WALL_WORDS.items() if f" {word} wall " in said]
    for word in WALL_WORDS.values():
        said = said.replace(f" {word} wall ", " wall ")
    found = {name: meaning(said, table, said, default=None) for name, table in LOOKS.items()}
    way = meaning(said, MOTION_WORDS, said, default=None) or meaning(said, BARE_DIRECTIONS, said, default=None)
    speed = meaning(said, SPEED_WORDS, said, default=None)
    return {**found, "direction": way, "speed": speed, "bounces": walls[0] if walls else None}


def complete(shape: Scene, taken: set[str], rng: np.random.Generator) -> Scene:
    """The shape with its open attributes drawn among those that training has seen together; no colour twice."""
    options = [
        {"size": SIZES[size], "colour": COLOURS[colour], "shape": SHAPES[form]}
        for colour in range(len(COLOURS))
        for form in range(len(SHAPES))
        for size in range(len(SIZES))
        if shape["colour"] or COLOURS[colour] not in taken
    ]
    fitting = [look for look in options if all(shape[name] in (None, value) for name, value in look.items())]
    seen = [look for look in fitting if not is_held_out(*_numbers(look))] or fitting
    look = seen[rng.integers(len(seen))]
    taken.add(look["colour"])
    way = shape["direction"] or tuple(BARE_DIRECTIONS)[rng.integers(4)]
    return {**shape, **look, "direction": way}


def read_avatar(words: Sequence[str]) -> str:
    """What the avatar does; without a word of it, it stays."""
    said = f" {' '.join(words)} "
    way = meaning(said, AVATAR_WORDS, said, default=None) or meaning(said, BARE_DIRECTIONS, said, default=None)
    return way or "stays"


def _numbers(look: Scene) -> tuple[int, int, int]:
    return COLOURS.index(look["colour"]), SHAPES.index(look["shape"]), SIZES.index(look["size"])
