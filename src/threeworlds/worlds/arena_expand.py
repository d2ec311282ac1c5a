"""A short prompt made into a whole caption of the arena, by rules: what is said is kept, what is missing is drawn.

Sora's report has a language model write long captions from short prompts, since it was trained on long ones. In a
closed grammar rules do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

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

Table = Mapping[str, tuple[str, ...]]
Part = tuple[str, list[str]]  # of whom words speak ("avatar", "chased" or "shape"), and the words

LOOKS: dict[str, Table] = {
    "size": SIZE_WORDS,
    "colour": {colour: (colour,) for colour in COLOURS},
    "shape": SHAPE_WORDS,
}
KIND = {word: kind for kind, table in LOOKS.items() for names in table.values() for word in names}
ORDER = tuple(LOOKS)  # in which a caption says them
WAYS = ("left", "right", "up", "down")
ARTICLES = ("a", "the")
CHASING = tuple(words.split(" the ")[0].split()[-1] for words in CHASE_WORDS)  # "after", of "runs after"
ANY = "any"  # a wall that is not named


def _joined(first: Table, second: Table, rest: str) -> Table:
    """What a body does, in the phrases of both tables and in bare words, "left" for "goes left"; ``rest``: nothing."""
    joined: dict[str, tuple[str, ...]] = {}
    for table in (first, second, {way: (way,) for way in WAYS}):
        for key, phrases in table.items():
            name = rest if key in ("rest", "stays") else key
            joined[name] = (*joined.get(name, ()), *phrases)
    return joined


SHAPE_MOVES = _joined(MOTION_WORDS, AVATAR_WORDS, "rest")
AVATAR_MOVES = _joined(AVATAR_WORDS, MOTION_WORDS, "stays")


def expand(text: str, rng: np.random.Generator) -> str:
    """A caption of the grammar that says what ``text`` says, and names what it leaves open.

    "blue square up" -> "a small blue square rises and the avatar stays". Words are those of the arena's vocabulary.

    Raises:
        ValueError: more than two shapes, two of one colour, or a shape that is to do what only the avatar does.
    """
    parts = split_parts(re.findall(r"[a-z0-9]+", text.lower()))
    said: list[Scene] = []
    for words in (words for whom, words in parts if whom == "shape"):
        add(said, read_shape(words))
    chased = [read_shape(words) for whom, words in parts if whom == "chased"]
    target = aim(said, chased[0]) if chased else 0
    if len(said) > 2:
        raise ValueError(f"{text!r} speaks of {len(said)} shapes; the arena has at most 2")
    taken = {shape["colour"] for shape in said if shape["colour"]}
    shapes = tuple(complete(shape, taken, rng) for shape in said or [read_shape([])])
    avatar = read_avatar([word for whom, words in parts if whom == "avatar" for word in words])
    return phrase({"shapes": shapes, "avatar": f"chases {shapes[target]['colour']}" if chased else avatar}, rng)


# ------------------------------------------------------------------------------------------- parting


def split_parts(words: Sequence[str]) -> list[Part]:
    """Words cut where a new body begins: at "avatar", after "chases", and at the looks of the next shape."""
    parts: list[Part] = [("shape", [])]  # what stands before any body speaks of a shape that is not named
    for is_look, run in groupby(words, key=KIND.__contains__):
        for group in noun_phrases(list(run)) if is_look else [[word] for word in run]:
            if is_look and not awaits_looks(parts[-1]):
                parts.append(("shape", []))
            elif group[0] == "avatar":
                parts.append(("avatar", []))
            elif group[0] in CHASING:
                _check_chaser(parts)
                parts.append(("chased", []))
            parts[-1][1].extend(group)
    return [part for part in parts if part[0] != "shape" or says_something(read_shape(part[1]))]


def awaits_looks(part: Part) -> bool:
    """Whether the next looks are of the body that the part speaks of: it is a shape, and has none yet."""
    return part[0] != "avatar" and not any(word in KIND for word in part[1])


def noun_phrases(looks: list[str]) -> Iterator[list[str]]:
    """Words of looks in a row, one list a shape: "blue square small disc" are two, "square small blue" is one."""
    ends = [i + 1 for i, word in enumerate(looks) if KIND[word] == "shape"]
    if ends and not {KIND[word] for word in looks[ends[-1] :]} & {KIND[word] for word in last_of(looks, ends)}:
        ends.pop()  # what follows the last noun is of its shape
    for start, stop in zip([0, *ends], [*ends, len(looks)], strict=True):
        yield from unrepeated(looks[start:stop])


def last_of(looks: list[str], ends: list[int]) -> list[str]:
    """The words up to the last noun, from the noun before it."""
    return looks[ends[-2] if len(ends) > 1 else 0 : ends[-1]]


def unrepeated(looks: list[str]) -> Iterator[list[str]]:
    """The words as they are, or, where they say a thing twice, cut where they leave the order of a caption."""
    kinds = [KIND[word] for word in looks]
    if len(set(kinds)) == len(kinds):
        if looks:
            yield looks
        return
    places = [ORDER.index(kind) for kind in kinds]
    cuts = [i for i in range(1, len(looks)) if places[i] <= places[i - 1]]
    yield from (looks[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(looks)], strict=True))


def _check_chaser(parts: Sequence[Part]) -> None:
    whom, words = parts[-1]
    if whom != "avatar" and any(word in KIND for word in words):
        raise ValueError(f"{' '.join(words)!r}: of the arena's bodies only the avatar chases another")


# ------------------------------------------------------------------------------------------- reading


def read_shape(words: Sequence[str]) -> Scene:
    """What is said of a shape; None where nothing is."""
    said = f" {' '.join(word for word in words if word not in ARTICLES)} "
    walls = [wall for wall, word in WALL_WORDS.items() if f" {word} wall " in said]
    bounces = walls[0] if walls else ANY if " wall " in said else None
    for word in WALL_WORDS.values():
        said = said.replace(f" {word} wall ", " wall ")
    found = {name: meaning(said, table, said, default=None) for name, table in LOOKS.items()}
    way = first_said(said, SHAPE_MOVES)
    if way == "wanders" and any(found.values()):
        raise ValueError(f"{said.strip()!r}: of the arena's bodies only the avatar wanders; shapes go straight")
    speed = meaning(said, SPEED_WORDS, said, default=None)
    return {**found, "direction": way, "speed": speed, "bounces": bounces}


def read_avatar(words: Sequence[str]) -> str:
    """What the avatar does; without a word of it, it stays."""
    return first_said(f" {' '.join(word for word in words if word not in ARTICLES)} ", AVATAR_MOVES) or "stays"


def first_said(said: str, table: Table) -> str | None:
    """The key whose phrase comes first in ``said`` (spaces round it); of two at one place, the longer phrase's."""
    found = [
        (said.index(f" {phrase} "), -len(phrase), key)
        for key, phrases in table.items()
        for phrase in (" ".join(word for word in each.split() if word not in ARTICLES) for each in phrases)
        if f" {phrase} " in said
    ]
    return min(found)[2] if found else None


def says_something(shape: Scene) -> bool:
    return any(value is not None for value in shape.values())


# ------------------------------------------------------------------------------------------- joining


def fits(one: Scene, other: Scene) -> bool:
    """Whether both can be said of one shape."""
    return all(None in (one[name], other[name]) or one[name] == other[name] for name in one)


def merged(one: Scene, other: Scene) -> Scene:
    return {name: one[name] if one[name] is not None else other[name] for name in one}


def add(said: list[Scene], shape: Scene) -> int:
    """Put a shape to those said, or what is said of it to the one of its colour; the number of its place."""
    for i, other in enumerate(said):
        if shape["colour"] and shape["colour"] == other["colour"]:
            if not fits(shape, other):
                raise ValueError(f"two different {shape['colour']} shapes; the arena has each colour once")
            said[i] = merged(other, shape)
            return i
    said.append(shape)
    return len(said) - 1


def aim(said: list[Scene], chased: Scene) -> int:
    """The number of the shape that is chased: the one said that is most like it, else a new one."""
    alike = [(sum(shape[name] == chased[name] is not None for name in chased), -i) for i, shape in enumerate(said)]
    best = max((pair for pair, shape in zip(alike, said, strict=True) if fits(shape, chased)), default=None)
    if best is None or (chased["colour"] and any(shape["colour"] == chased["colour"] for shape in said)):
        return add(said, chased)
    said[-best[1]] = merged(said[-best[1]], chased)
    return -best[1]


# ---------------------------------------------------------------------------------------- completing


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
    wall = shape["bounces"]
    way = shape["direction"] or (wall if wall in WAYS else WAYS[rng.integers(4)])
    if wall == ANY:
        wall = way if way in WAYS else WAYS[rng.integers(4)]
    return {**shape, **look, "direction": way, "bounces": wall}


def _numbers(look: Scene) -> tuple[int, int, int]:
    return COLOURS.index(look["colour"]), SHAPES.index(look["shape"]), SIZES.index(look["size"])
