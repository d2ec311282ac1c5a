"""Expanding prompts: what is said stays said, what comes out is a caption, and nothing is said that was not open."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from threeworlds.worlds import WORLDS
from threeworlds.worlds.arena import COLOURS, SHAPES, SIZES, is_held_out
from threeworlds.worlds.arena_expand import expand
from threeworlds.worlds.arena_text import SHAPE_WORDS, SIZE_WORDS, parse_caption, phrase

DIRECTIONS = ("left", "right", "up", "down")


def scene_of(text, seed=0):
    return parse_caption(expand(text, np.random.default_rng(seed)))


def keeps(look, **said):
    return look.items() >= said.items()


EXAMPLES = {
    "blue square up": [{"colour": "blue", "shape": "square", "direction": "up"}],
    "a small blue box goes up": [{"size": "small", "colour": "blue", "shape": "square", "direction": "up"}],
    "big disc": [{"size": "large", "shape": "disc"}],
    "red disc left and blue square right quickly": [
        {"colour": "red", "shape": "disc", "direction": "left", "speed": None},
        {"colour": "blue", "shape": "square", "direction": "right", "speed": "quickly"},
    ],
    "red disc hits the left wall": [{"colour": "red", "bounces": "left", "direction": "left"}],
    "A small blue square moves up!": [{"size": "small", "colour": "blue", "shape": "square", "direction": "up"}],
    "BIG, RED DISC... goes left; then bounces off top wall": [
        {"size": "large", "colour": "red", "shape": "disc", "direction": "left", "bounces": "up"}
    ],
    "moves up": [{"direction": "up"}],
    "falls slowly, then moves left": [{"direction": "down", "speed": "slowly"}],
    "a red disc stays": [{"colour": "red", "direction": "rest"}],
    "a red disc walks left": [{"colour": "red", "direction": "left"}],
    "a red disc falls and the red disc bounces off the left wall": [
        {"colour": "red", "direction": "down", "bounces": "left"}
    ],
    "disc moves right and hits the wall": [{"direction": "right", "bounces": "right"}],
    "square small blue moves up": [{"size": "small", "colour": "blue", "shape": "square", "direction": "up"}],
    "blue square small disc": [{"colour": "blue", "shape": "square"}, {"size": "small", "shape": "disc"}],
    "red small blue square": [{"colour": "red"}, {"size": "small", "colour": "blue", "shape": "square"}],
    "red blue": [{"colour": "red"}, {"colour": "blue"}],
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_what_is_said_stays(text):
    for seed in range(20):
        scene = scene_of(text, seed)
        assert scene["avatar"] == "stays"
        assert len(scene["shapes"]) == len(EXAMPLES[text])
        for look, said in zip(scene["shapes"], EXAMPLES[text], strict=True):
            assert keeps(look, **said)


@pytest.mark.parametrize(
    ("text", "avatar"),
    [
        ("the avatar chases the red disc", "chases red"),
        ("avatar up", "up"),
        ("a disc rests while the avatar runs after the green box", "chases green"),
        ("the avatar wanders around and a large box falls", "wanders"),
        ("avatar chases red disc", "chases red"),
        ("Avatar runs after blue box!", "chases blue"),
        ("the avatar rises", "up"),
        ("avatar drops", "down"),
        ("avatar does not move", "stays"),
    ],
)
def test_the_avatar_does_what_it_is_told(text, avatar):
    scene = scene_of(text)
    assert scene["avatar"] == avatar
    assert not avatar.startswith("chases") or avatar.split()[1] in {shape["colour"] for shape in scene["shapes"]}


@pytest.mark.parametrize(
    ("text", "chased", "others"),
    [
        ("avatar chases", {}, 0),
        ("avatar follows triangle", {"shape": "triangle"}, 0),
        ("the avatar follows the triangle and a small blue square moves up", {"shape": "triangle"}, 1),
        ("a disc falls while the avatar chases the red disc", {"colour": "red", "direction": "down"}, 0),
        ("a small square, a large square, the avatar chases the large square", {"size": "large"}, 1),
        ("avatar chases red, small blue square moves up", {"colour": "red"}, 1),
    ],
)
def test_whom_the_avatar_chases_is_who_was_named(text, chased, others):
    for seed in range(20):
        scene = scene_of(text, seed)
        assert len(scene["shapes"]) == 1 + others
        (target,) = [shape for shape in scene["shapes"] if scene["avatar"] == f"chases {shape['colour']}"]
        assert keeps(target, **chased)


def test_what_is_open_is_drawn_and_combinations_are_those_of_training():
    drawn = [scene_of("", seed)["shapes"][0] for seed in range(200)]
    numbers = [(COLOURS.index(s["colour"]), SHAPES.index(s["shape"]), SIZES.index(s["size"])) for s in drawn]
    assert not any(is_held_out(*look) for look in numbers)
    assert {s["colour"] for s in drawn} == set(COLOURS)
    assert {s["direction"] for s in drawn} == set(DIRECTIONS)
    (asked,) = scene_of("yellow triangle")["shapes"]
    assert keeps(asked, colour="yellow", shape="triangle")  # never seen together in training, but asked for


shapes = st.fixed_dictionaries(
    {
        "size": st.sampled_from(SIZES),
        "shape": st.sampled_from(SHAPES),
        "direction": st.sampled_from((*DIRECTIONS, "rest")),
        "speed": st.sampled_from((None, "slowly", "quickly")),
        "bounces": st.sampled_from((None, *DIRECTIONS)),
    }
)


@given(
    st.lists(shapes, min_size=1, max_size=2),
    st.permutations(COLOURS),
    st.sampled_from((*DIRECTIONS, "stays", "wanders", "chases")),
    st.integers(0, 99),
)
def test_a_whole_caption_comes_back_as_it_was(looks, colours, avatar, seed):
    shapes = tuple({**look, "colour": colour} for look, colour in zip(looks, colours, strict=False))
    does = f"chases {colours[0]}" if avatar == "chases" else avatar
    rng = np.random.default_rng(seed)
    scene = {"shapes": shapes, "avatar": does}
    assert parse_caption(expand(phrase(scene, rng), rng)) == scene


def mangled(text, rng):
    """As people type: capitals, commas, exclamation marks, and articles left out here and there."""
    words = [word for word in text.split() if word not in ("a", "the") or rng.random() < 0.5]
    return " ".join(
        word.upper() * (rng.random() < 0.2) or word + rng.choice(["", "", ",", "!", "..."]) for word in words
    )


@given(
    st.lists(shapes, min_size=1, max_size=2),
    st.permutations(COLOURS),
    st.sampled_from((*DIRECTIONS, "stays", "wanders", "chases")),
    st.integers(0, 99),
)
def test_however_a_caption_is_typed_it_comes_back_as_it_was(looks, colours, avatar, seed):
    shapes = tuple({**look, "colour": colour} for look, colour in zip(looks, colours, strict=False))
    rng = np.random.default_rng(seed)
    scene = {"shapes": shapes, "avatar": f"chases {colours[0]}" if avatar == "chases" else avatar}
    typed = mangled(phrase(scene, rng), rng)
    assert parse_caption(expand(typed, rng)) == scene, typed


LEFT_OUT = {"size": SIZE_WORDS, "shape": SHAPE_WORDS, "colour": {colour: (colour,) for colour in COLOURS}}


@given(
    shapes,
    st.sampled_from(COLOURS),
    st.sampled_from((*DIRECTIONS, "stays", "wanders")),
    st.sets(st.sampled_from(("size", "shape", "colour")), max_size=2),
    st.integers(0, 99),
)
def test_what_is_left_of_a_caption_is_kept(look, colour, avatar, gone, seed):
    """Of size, shape and colour one or two may be left out of the words: the rest is said as before."""
    rng = np.random.default_rng(seed)
    shape = {**look, "colour": colour}
    words = phrase({"shapes": (shape,), "avatar": avatar}, rng).split()
    out = {word for name in gone for word in LEFT_OUT[name][shape[name]]}
    scene = parse_caption(expand(" ".join(word for word in words if word not in out), rng))
    (found,) = scene["shapes"]
    assert scene["avatar"] == avatar
    assert keeps(found, **{name: value for name, value in shape.items() if name not in gone and value is not None})


def test_what_the_arena_cannot_show_is_refused():
    with pytest.raises(ValueError, match="3 shapes"):
        scene_of("red disc blue disc green disc")
    with pytest.raises(ValueError, match="two different red shapes"):
        scene_of("red disc, red square")
    with pytest.raises(ValueError, match="only the avatar wanders"):
        scene_of("a red disc wanders around")
    with pytest.raises(ValueError, match="only the avatar chases"):
        scene_of("blue disc follows red disc")


def test_words_outside_the_vocabulary_are_named_with_those_near_them():
    arena = WORLDS["arena"]
    arena.check_words("A small blue square, moves up.")
    with pytest.raises(ValueError, match=r"arena: 'purple'; 'sqare' \(near it: square"):
        arena.check_words("a purple sqare")
