"""The main job on a folder of video from outside: films that nobody labelled, and files that are no films.

Twelve films of a square that crosses a background of its own, and three files that must cost nothing but themselves.
"""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from threeworlds.cli import main

ROUTES = ("sora", "genie", "jepa")
FILMS, FRAMES, FPS = 12, 72, 10


def encode(path: Path, video: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = *video.shape[1:3], "yuv420p"
        for frame in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def crossing(number: int) -> np.ndarray:
    """uint8 [t, 40, 56, 3]: each film has its own background, colour and speed."""
    rng = np.random.default_rng(number)
    background = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    colour, speed, top = rng.integers(0, 256, 3), rng.integers(1, 4), rng.integers(0, 32)
    video = np.stack([background] * FRAMES)
    for t, frame in enumerate(video):
        left = t * speed % 48
        frame[top : top + 8, left : left + 8] = colour
    return video


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command left behind."""
    folder, out = tmp_path_factory.mktemp("films"), tmp_path_factory.mktemp("compared") / "out"
    for number in range(FILMS):
        encode(folder / f"film{number:02d}.mp4", crossing(number))
    whole = (folder / "film00.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "words.mp4").write_text("this is no film")
    (folder / "nothing.mp4").touch()
    words = f"compare --video {folder} --recipe debug --budget 4steps --items 4 --out {out}"
    assert main(words.split()) == 0
    return out


@pytest.fixture(scope="module")
def result(out: Path) -> dict[str, Any]:
    return json.loads((out / "result.json").read_text())


def rows(result: dict[str, Any], question: str, metric: str | None = None) -> list[dict[str, Any]]:
    return [row for row in result["rows"] if row["question"] == question and metric in (None, row["metric"])]


def test_it_ends_with_a_report(out: Path) -> None:
    page = (out / "report.html").read_text()
    assert all(name in page for name in (*ROUTES, "words.mp4", "nothing.mp4", "truncated.mp4"))


def test_each_bad_file_is_named_with_its_cause_and_costs_no_other(result: dict[str, Any]) -> None:
    causes = {entry["file"]: entry["cause"] for entry in result["data"]["quarantine"]}
    assert causes.keys() == {"words.mp4", "nothing.mp4", "truncated.mp4"}
    assert causes["nothing.mp4"] == "empty file"
    assert all(causes[name].startswith("not a readable film") for name in ("words.mp4", "truncated.mp4"))
    assert len(result["data"]["ingest"]["kept"]) == FILMS
    assert result["data"]["frames"] == FILMS * FRAMES


@pytest.mark.parametrize("metric", ["mse_h1", "psnr_h1", "psnr_h16", "alone_psnr_h1"])
def test_every_route_predicts_with_an_interval(result: dict[str, Any], metric: str) -> None:
    found = rows(result, "prediction", metric)
    assert sorted(row["route"] for row in found) == sorted(ROUTES)
    for row in found:
        assert row["status"] == "ok"
        assert row["low"] <= row["value"] <= row["high"]
        assert row["low"] < row["high"]
        assert row["n"] >= 2
        assert row["floor_name"] in ("copy the last frame", "extrapolate each pixel")


@pytest.mark.parametrize("question", ["control", "understanding", "text", "planning"])
def test_what_needs_actions_state_or_words_says_why_it_is_not_asked(result: dict[str, Any], question: str) -> None:
    found = rows(result, question)
    assert {row["route"] for row in found} == set(ROUTES)
    for row in found:
        if row["status"] == "ok":  # what codes do, and how far imagined states stray, needs no truth but the film
            assert (row["route"], question) in {("genie", "control"), ("jepa", "understanding")}
            continue
        assert row["status"] == "not_applicable"
        assert row["value"] is None
        assert row["reason"] not in ("", "not asked")


def test_nothing_failed_and_every_cost_is_known(result: dict[str, Any]) -> None:
    assert {row["status"] for row in result["rows"]} == {"ok", "not_applicable"}
    assert {row["route"] for row in rows(result, "cost") if row["value"] > 0} == set(ROUTES)
