"""``threeworlds play`` without a page."""

import socket
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
        (f"play {genie} --headless -3", "--headless -3: steps to film, at least 1"),
        (f"play {genie} --headless 2 --out {tmp_path / 'a.xyz'}", ".gif, .mp4, .png; got 'a.xyz'"),
        (f"play {genie} --port 70000", "--port 70000: allowed: 1 to 65535"),
        (f"play {genie} --port -1", "--port -1: allowed: 1 to 65535"),
        (f"play {genie} --refinements 0", "--refinements 0: passes a frame, at least 1"),
        (f"play {genie} --world nope", "--world 'nope': worlds: arena, motion, rooms, tworoom, pusht; games: coinrun"),
    ):
        refused(words, told, capsys)


def refused(words: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and one line that says what was wrong."""
    assert main(words.split()) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert shown.startswith("error: ") and len(shown.strip().splitlines()) == 1


def test_a_port_that_another_has_is_named(genie: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused(f"play {genie} --port {port}", f"port {port} of this machine cannot be had: Address already", capsys)


@pytest.mark.parametrize(("words", "passes"), [("", 2), ("--refinements 3", 3)])
def test_frames_are_made_in_as_many_passes_as_asked(
    words: str, passes: int, genie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threeworlds.routes.genie import play

    made, fill = [], play.fill

    def counted(logits, shape, *rest):
        return fill(lambda tokens: made.append(1) or logits(tokens), shape, *rest)

    monkeypatch.setattr(play, "fill", counted)
    assert main(f"play {genie} --headless 4 {words} --out {tmp_path / 'film.png'}".split()) == 0
    assert len(made) == 4 * passes


def test_a_route_that_is_not_played_says_so(
    genie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from threeworlds import train
    from threeworlds.train.model_files import Card

    card = Card(route="jepa", recipe="debug", config=None, spec=ClipSpec(height=32, width=32, fps=10))
    monkeypatch.setattr(train, "load_model", lambda _: (object(), card), raising=False)
    assert main(["play", str(tmp_path)]) == 2
    assert "not played" in capsys.readouterr().err


def test_a_model_that_was_told_the_actions_is_played_with_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for world, allowed in (("arena", True), ("rooms", False)):
        words = f"train jepa --recipe debug --world {world} --episodes 20 --budget 2steps --out {tmp_path / world}"
        assert main(words.split()) == 0
        film = tmp_path / f"{world}.png"
        words = f"play {tmp_path / world} --headless 3 --codes left,none --out {film}"
        assert main(words.split()) == (0 if allowed else 2)
        assert film.exists() == allowed
    assert "takes continuous actions, which are no keys" in capsys.readouterr().err


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
        (f"actions {tmp_path / 'one.png'} --checkpoint {genie} --plot x.xyz", ".png or .svg; got 'x.xyz'"),
        (f"actions --checkpoint {genie} --labels -5", "--labels -5: steps to learn the names from, at least 1"),
        (f"actions --checkpoint {genie} --data nope", "--data nope: clips to learn names from; say"),
        (f"actions --checkpoint {genie} --data {tmp_path / 'nope'} --labels 5", "nope"),
    ):
        refused(words, told, capsys)
