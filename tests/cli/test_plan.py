"""``threeworlds plan`` on a model that was hardly trained, and what it says to those who ask for too much."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from threeworlds.cli import main
from threeworlds.cli.films import moments
from threeworlds.planning import SEARCHES


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def planner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    words = ("--episodes", 24, "--option", "layout=random", "--out", folder / "clips")
    assert run("data", "generate", "--world", "rooms", "--size", 32, *words) == 0
    small = (
        "world.hidden=32",
        "world.channels=8,8,8",
        "world.batch_size=8",
        "world.directions=8",
        "decoder.channels=8,8,8",
    )
    small += ("critic.hidden=32", "critic.batch_size=4", "actor.hidden=32", "actor.batch_size=4", "planner.rounds=1")
    changes = [word for change in small for word in ("--set", change)]
    words = ("--recipe", "rooms", "--data", folder / "clips", "--budget", "10steps", *changes)
    assert run("train", "jepa", *words, "--out", folder / "run") == 0
    return folder / "run"


@pytest.mark.parametrize("mode", ["search", "actor"])
def test_a_film_shows_real_imagined_and_goal(planner: Path, tmp_path: Path, mode: str, capsys) -> None:
    out = tmp_path / "way.png"
    assert (
        run("plan", planner, "--seed", 3, "--steps", 3, "--mode", mode, "--option", "layout=random", "--out", out) == 0
    )
    assert "after 3 steps" in capsys.readouterr().out
    with Image.open(out) as picture:
        assert np.asarray(picture).shape == (8 * 32, 4 * 8 * (3 * 32 + 4), 3)


def test_a_still_picture_shows_eight_moments_from_first_to_last(planner: Path, tmp_path: Path) -> None:
    out = tmp_path / "way.png"
    assert run("plan", planner, "--seed", 3, "--steps", 20, "--mode", "actor", "--out", out) == 0
    with Image.open(out) as picture:
        assert np.asarray(picture).shape == (8 * 32, 8 * 8 * (3 * 32 + 4), 3)
    assert moments(np.arange(21), 8).tolist() == [0, 3, 6, 9, 11, 14, 17, 20]
    assert moments(np.arange(3), 8).tolist() == [0, 1, 2]


def test_a_search_is_chosen_by_name(planner: Path, tmp_path: Path, monkeypatch) -> None:
    from threeworlds.routes.jepa.model import Jepa

    plan, asked = Jepa.plan, []

    def noted(self, context, goal, **options):
        asked.append((options["search"], options["start"] is None))
        return plan(self, context, goal, **options)

    monkeypatch.setattr(Jepa, "plan", noted)
    for search in SEARCHES:
        assert run("plan", planner, "--steps", 2, "--search", search, "--out", tmp_path / "way.png") == 0
        assert asked[-2:] == [(search, True), (search, False)]


def test_a_search_that_there_is_not_is_told_which_there_are(planner: Path, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        run("plan", planner, "--search", "sem")
    assert end.value.code == 2
    shown = capsys.readouterr().err
    assert all(name in shown for name in ("--search", "sem", *SEARCHES))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--search", "cem", "--mode", "actor"), "an actor does not search"),
        (("--goal", 0.5, 0.9), "goal 0.5 0.9 is outside the box or in a wall"),
        (("--start", 1.5, 0.5), "start 1.5 0.5 is outside"),
        (("--steps", 0), "0 steps: allowed are 1 to 1000"),
        (("--option", "layout=none"), "layout='none': allowed are"),
        (("--option", "doors=3"), "options of rooms are: layout=VALUE"),
        (("--out", "way.txt"), "written as one of"),
    ],
)
def test_bad_requests_end_in_one_line(planner: Path, tmp_path: Path, words, said, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("plan", planner, "--steps", 1, *words) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")


def test_weights_of_another_model_are_refused(planner: Path, tmp_path: Path, capsys) -> None:
    broken = shutil.copytree(planner, tmp_path / "broken")
    config = (broken / "config.json").read_text()
    (broken / "config.json").write_text(config.replace('"hidden": 32', '"hidden": 64'))
    assert run("plan", broken) == 2
    assert "expected" in capsys.readouterr().err
