"""Strips are checked before they become part of the page."""

import base64

import pytest
from PIL import Image

from threeworlds.report.films import items_of
from threeworlds.types import Film


def film(**changes):
    return Film(
        **({"item": "episode 1", "route": "truth", "kind": "prediction", "path": "a.png", "frames": 4} | changes)
    )


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (32, 8), "red").save(tmp_path / "a.png")
    return tmp_path


def only(folder, **changes):
    return items_of([film(**changes)], folder)[0].strips[0]


def test_a_strip_carries_the_pngs_own_bytes(folder):
    strip = only(folder)
    assert (strip.width, strip.height, strip.problem) == (8, 8, "")
    assert base64.b64decode(strip.data.removeprefix("data:image/png;base64,")) == (folder / "a.png").read_bytes()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"path": "b.png"}, "b.png cannot be read: No such file"),
        ({"path": "text.png"}, "text.png cannot be read: not a PNG picture"),
        ({"path": "../a.png"}, "lies outside the folder"),
        ({"path": "/etc/passwd"}, "lies outside the folder"),
        ({"frames": 5}, "32 pixels wide, which is not 5 equal frames"),
        ({"frames": 0}, "not 0 equal frames"),
    ],
)
def test_what_cannot_be_shown_says_why(folder, changes, problem):
    (folder / "text.png").write_text("not a picture")
    strip = only(folder, **changes)
    assert problem in strip.problem
    assert strip.data == ""


def test_films_of_one_item_stand_together_truth_first(folder):
    films = [
        film(item=item, route=route) for item in ("episode 10", "episode 2") for route in ("jepa", "truth", "sora")
    ]
    items = items_of([*films, film(kind="text", item="a disc", route="sora")], folder)
    assert [(item.kind, item.name) for item in items] == [
        ("prediction", "episode 2"), ("prediction", "episode 10"), ("text", "a disc"),
    ]  # fmt: skip
    assert [strip.film.route for strip in items[0].strips] == ["truth", "sora", "jepa"]
