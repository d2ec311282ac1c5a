"""The commands of docs/genie.md on a game: with a game that is made up here, and with one that is not installed."""

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from threeworlds.cli import main
from threeworlds.cli.overrides import world_options
from threeworlds.types import Clip
from threeworlds.worlds import COLLECTIONS, coinrun
from threeworlds.worlds.foreign import Collection

LONG = 24  # frames of an episode


class Runner:
    """A light square that goes left and right over a dark sky, two pixels a step."""

    def episode(self, rng: np.random.Generator, size: int) -> Clip | None:
        action = rng.integers(1, 3, LONG - 1)
        place = (size // 2 + np.concatenate([[0], 4 * action - 6]).cumsum()).clip(0, size - 6)
        video = np.full((LONG, size, size, 3), 40, np.uint8)
        for frame, x in zip(video, place, strict=True):
            frame[size // 2 : size // 2 + 6, x : x + 6] = 230
        state = np.stack([place, *np.zeros((3, LONG))], axis=1).astype(np.float32)
        return Clip(video=video, action=action, state=state)

    def close(self) -> None:
        """Nothing to end."""


def made_up() -> Collection:
    return Collection(
        name="coinrun", player=Runner, action=coinrun.ACTION, state_names=coinrun.STATE_NAMES, steps=LONG, size=32
    )


@pytest.fixture
def coinrun_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COLLECTIONS, "coinrun", made_up())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("games")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(COLLECTIONS, "coinrun", made_up())
        words = f"train genie --world coinrun --recipe debug --episodes 40 --budget 4steps --out {folder / 'coinrun'}"
        assert main(words.split()) == 0
    return folder / "coinrun"


@pytest.mark.usefixtures("coinrun_is_made_up")
def test_clips_of_a_game_are_generated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"data generate --world coinrun --episodes 12 --out {tmp_path / 'clips'}"
    assert main(words.split()) == 0, capsys.readouterr().err
    assert "coinrun" in capsys.readouterr().out


@pytest.mark.usefixtures("coinrun_is_made_up")
def test_a_model_of_a_game_is_trained_and_scored(trained: Path, tmp_path: Path) -> None:
    assert (trained / "model.safetensors").is_file() and (trained / "clips" / "store.json").is_file()
    words = f"score {trained} --world coinrun --items 4 --questions prediction,control --out {tmp_path / 'score'}"
    assert main(words.split()) == 0
    assert (tmp_path / "score" / "report.html").is_file()


@pytest.mark.usefixtures("coinrun_is_made_up")
def test_a_game_has_no_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert world_options("coinrun", ()) == {}
    words = f"train genie --world coinrun --option layout=random --out {tmp_path / 'run'}"
    assert main(words.split()) == 2
    assert "options of coinrun are: none" in capsys.readouterr().err


GAMES = {"coinrun": "procgen", "doom": "vizdoom"}


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("command", ["train genie --recipe debug", "data generate"])
def test_a_game_that_is_not_installed_says_what_to_install(
    game: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, GAMES[game], None)
    assert main([*shlex.split(command), "--world", game, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {game} needs more packages") and "pip install" in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "out" / "clips").exists()


def first_frame(film: Path) -> np.ndarray:
    with Image.open(film) as strip:
        return np.asarray(strip)[:, : strip.size[1]]


@pytest.mark.usefixtures("coinrun_is_made_up")
def test_a_model_of_a_game_is_played_from_the_game(trained: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.png"
    assert main(f"play {trained} --headless 2 --codes 1,none --out {film}".split()) == 0
    with Image.open(film) as strip:
        assert strip.size == (3 * 256, 256)  # the dream alone: no simulator could go on from there
    assert (first_frame(film) == 230).any() and (first_frame(film) == 40).any()  # a frame of the game


def test_without_the_game_a_picture_is_asked_for_and_is_enough(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "procgen", None)
    film, picture = tmp_path / "film.png", tmp_path / "grey.png"
    Image.new("L", (32, 32), 90).save(picture)
    assert main(f"play {trained} --headless 1 --out {film}".split()) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: coinrun needs more packages") and "--image" in told
    assert main(f"play {trained} --headless 1 --image {picture} --out {film}".split()) == 0
    assert (first_frame(film) == 90).all()
    assert main(f"play {trained} --headless 1 --image {picture} --world coinrun --out {film}".split()) == 2
