"""``threeworlds play`` without a page."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from threeworlds.cli import main
from threeworlds.cli.play import read_codes
from threeworlds.score.code_names import name_codes
from threeworlds.studio.track import runs
from threeworlds.types import ClipSpec

NAMES = name_codes(np.array([0, 1]), np.array([1, 0]), 3, ("stay", "left"))


@pytest.fixture(scope="session")
def genie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("play")
    assert main(["data", "generate", "--episodes", "30", "--out", str(folder / "clips")]) == 0
    words = f"train genie --recipe debug --data {folder / 'clips'} --budget 4steps --out {folder / 'genie'}"
    assert main(words.split()) == 0
    return folder / "genie"


def test_codes_are_numbers_names_and_none() -> None:
    assert read_codes("left*2, 2 none*3", 3, NAMES) == [0, 0, 2, 3, 3, 3]
    for wrong in ("right", "3", "left*x", "", "left*-1"):
        with pytest.raises(ValueError, match="codes"):
            read_codes(wrong, 3, NAMES)


def test_a_film_of_dream_and_truth(genie: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.png"
    assert main(f"play {genie} --headless 5 --codes left*2,none --out {film}".split()) == 0
    with Image.open(film) as strip:
        assert strip.size == (6 * 2 * 256, 256)  # six frames, dream and truth, enlarged eight times


def test_any_picture_begins_a_dream(genie: Path, tmp_path: Path) -> None:
    Image.new("L", (50, 99), 200).save(tmp_path / "grey.png")
    film = tmp_path / "film.png"
    assert main(f"play {genie} --image {tmp_path / 'grey.png'} --headless 1 --out {film}".split()) == 0
    with Image.open(film) as strip:
        first = np.asarray(strip)[:, :256]
    assert (first == 200).all()


def test_what_cannot_be_played_is_said(genie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "torn.png").write_bytes(b"torn")
    for words, told in (
        (f"play {tmp_path}", "config.json"),
        (f"play {genie} --image {tmp_path / 'none.png'}", "none.png"),
        (f"play {genie} --image {tmp_path / 'torn.png'}", "torn.png"),
        (f"play {genie} --headless 2 --codes sideways --out {tmp_path / 'a.png'}", "sideways"),
    ):
        assert main(words.split()) == 2
        assert told in capsys.readouterr().err


def test_a_route_that_is_not_played_says_so(
    genie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from threeworlds import train
    from threeworlds.train.model_files import Card

    card = Card(route="jepa", recipe="debug", config=None, spec=ClipSpec(height=32, width=32, fps=10))
    monkeypatch.setattr(train, "load_model", lambda _: (object(), card), raising=False)
    assert main(["play", str(tmp_path)]) == 2
    assert "not played" in capsys.readouterr().err


def test_a_film_is_read_into_codes(genie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film, track, table = tmp_path / "film.mp4", tmp_path / "track.png", tmp_path / "track.csv"
    assert main(f"worlds --world arena --film {film}".split()) == 0
    words = f"actions {film} --checkpoint {genie} --labels 60 --plot {track} --table {table}"
    assert main(words.split()) == 0
    shown = capsys.readouterr().out
    assert "codes.json" in shown
    lines = table.read_text().splitlines()
    assert lines[0] == "frame,seconds,code,action"
    assert len(lines) == 40  # 39 steps
    assert {line.split(",")[3] for line in lines[1:]} <= {"stay", "left", "right", "up", "down", "?"}
    with Image.open(track) as picture:
        assert picture.size[0] > 300
    (genie / "codes.json").unlink()


def test_runs_of_codes() -> None:
    assert runs([2, 2, 0, 2]) == [(2, 0, 2), (0, 2, 3), (2, 3, 4)]
    assert runs([]) == []


def test_what_cannot_be_read_is_said(genie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "one.png")
    for words, told in (
        (f"actions --checkpoint {genie}", "--labels"),
        (f"actions {tmp_path / 'one.png'} --checkpoint {genie}", "two or more"),
        (f"actions --checkpoint {genie} --plot a.png", "need a film"),
        (f"actions {tmp_path / 'none.mp4'} --checkpoint {genie}", "none.mp4"),
    ):
        assert main(words.split()) == 2
        assert told in capsys.readouterr().err
