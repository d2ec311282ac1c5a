"""Expanding prompts: what is said stays said, what comes out is a caption, and nothing is said that was not open."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from threeworlds.worlds import WORLDS
from threeworlds.worlds.arena import COLOURS, SHAPES, SIZES, is_held_out
from threeworlds.worlds.arena_expand import expand
from threeworlds.worlds.arena_text import parse_caption, phrase

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
    "red disc hits the left wall": [{"colour": "red", "bounces": "left"}],
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
    ],
)
def test_the_avatar_does_what_it_is_told(text, avatar):
    scene = scene_of(text)
    assert scene["avatar"] == avatar
    assert not avatar.startswith("chases") or avatar.split()[1] in {shape["colour"] for shape in scene["shapes"]}


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


def test_three_shapes_are_too_many():
    with pytest.raises(ValueError, match="3 shapes"):
        scene_of("red disc blue disc green disc")


def test_words_outside_the_vocabulary_are_named_with_those_near_them():
    arena = WORLDS["arena"]
    arena.check_words("A small blue square, moves up.")
    with pytest.raises(ValueError, match=r"arena: 'purple'; 'sqare' \(near it: square"):
        arena.check_words("a purple sqare")
