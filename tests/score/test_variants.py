"""A route twice in one comparison, under a name of its own: `compare --variant`."""

import json
from pathlib import Path
from typing import Any

import pytest

from threeworlds.cli import main
from threeworlds.cli.overrides import variants
from threeworlds.routes import get_route
from threeworlds.score.compare import named_config

PIXELS = "pixels=sora:autoencoder.kind=pixels:generator.patch=1"
QUICK = ["--recipe", "debug", "--budget", "2steps", "--items", "4"]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("compared") / "out"
    assert main(["compare", "--routes", "sora", "--variant", PIXELS, *QUICK, "--out", str(out)]) == 0
    found: dict[str, Any] = json.loads((out / "result.json").read_text())
    return found


def test_both_are_trained_and_asked_the_same(result: dict[str, Any]) -> None:
    assert set(result["routes"]) == set(result["ledger"]) == {"sora", "pixels"}
    asked = {
        name: {(r["question"], r["metric"]) for r in result["rows"] if r["route"] == name} for name in result["routes"]
    }
    assert asked["sora"] == asked["pixels"]
    assert not [row for row in result["rows"] if row["status"] == "failed"]


def test_what_was_changed_is_told_and_nothing_else_is(result: dict[str, Any]) -> None:
    plain, changed = (result["routes"][name]["config"] for name in ("sora", "pixels"))
    assert changed["autoencoder"] == plain["autoencoder"] | {"kind": "pixels"}
    assert changed["generator"] == plain["generator"] | {"patch": 1}
    assert result["routes"]["pixels"]["learns_from"] == result["routes"]["sora"]["learns_from"]
    assert f"--variant {PIXELS}" in result["command"]


def test_the_two_are_compared_item_by_item(result: dict[str, Any]) -> None:
    pairs = {(d["first"], d["second"]) for d in result["differences"] if d["metric"] == "mse_h1"}
    assert ("sora", "pixels") in pairs or ("pixels", "sora") in pairs


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sora:autoencoder.kind=pixels", "NAME=ROUTE:KEY=VALUE"),
        ("Two Words=sora", "NAME=ROUTE:KEY=VALUE"),
        ("../up=sora", "NAME=ROUTE:KEY=VALUE"),
        ("mine=", "allowed: sora, genie, jepa"),
        ("mine=dreamer", "allowed: sora, genie, jepa"),
        ("mine=sora,jepa", "one route"),
        ("mine=sora:kind", "KEY=VALUE"),
    ],
)
def test_what_is_wrong_with_a_variant_is_said(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        variants([text], "debug")


def test_a_name_stands_for_one_thing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="each NAME"):
        variants([PIXELS, PIXELS], "debug")
    assert main(["compare", "--variant", "jepa=sora", *QUICK, "--out", str(tmp_path / "out")]) != 0
    assert "--variant jepa=...: that name is a model of this comparison" in capsys.readouterr().err
    seeds = ["--seeds", "0,1", "--variant", "jepa-seed-1=jepa:world.state=32"]
    assert main(["compare", *seeds, *QUICK, "--out", str(tmp_path / "out")]) != 0
    assert "--variant jepa-seed-1=...: that name is a model of this comparison" in capsys.readouterr().err


def test_one_route_may_take_another_recipe() -> None:
    sora, jepa = get_route("sora").recipes, get_route("jepa").recipes
    assert named_config("sora", "base,sora=large") == sora["large"]() != sora["base"]()
    assert named_config("jepa", "base,sora=large") == jepa["base"]()


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("sora=large", "a name for all routes"),
        ("base,large", "a name for all routes"),
        ("base,dreamer=large", "allowed: sora, genie, jepa"),
        ("base,sora=huge", "has no recipe 'huge'"),
        ("", "has no recipe ''"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(recipe: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        named_config("sora", recipe)


def test_a_recipe_for_a_route_that_is_not_compared_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", "--routes", "jepa", "--recipe", "debug,sora=large", "--budget", "1steps"]
    assert main([*command, "--out", str(tmp_path / "out")]) != 0
    assert "sora is not compared" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
