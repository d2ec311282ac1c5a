"""Films: what is written is what is read."""

from pathlib import Path

import numpy as np
import pytest
import torch

from threeworlds.cli.films import read_film, write_film
from threeworlds.score.films import to_uint8
from threeworlds.types import ClipSpec


@pytest.fixture
def video() -> np.ndarray:
    """uint8 [10, 32, 32, 3]: a bright square that goes right, two pixels a frame, on grey."""
    frames = np.full((10, 32, 32, 3), 60, np.uint8)
    for t in range(10):
        frames[t, 12:20, 2 * t : 2 * t + 8] = (230, 40, 40)
    return frames


def spec(fps: float = 10.0, size: int = 32) -> ClipSpec:
    return ClipSpec(height=size, width=size, fps=fps)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".gif", 6.0), (".mp4", 6.0)])
def test_a_written_film_reads_back(tmp_path: Path, video: np.ndarray, suffix: str, tolerance: float) -> None:
    path = tmp_path / f"film{suffix}"
    write_film(video, path, fps=10)
    back = read_film(path, spec())
    assert back.shape == (1, 10, 3, 32, 32)
    assert np.abs(to_uint8(back[0]).astype(float) - video).mean() < tolerance


def test_a_strip_holds_the_frames_side_by_side(tmp_path: Path, video: np.ndarray) -> None:
    from PIL import Image

    path = tmp_path / "film.png"
    write_film(video, path, fps=10)
    strip = np.asarray(Image.open(path))
    assert strip.shape == (256, 2560, 3)
    np.testing.assert_array_equal(strip[::8, 3 * 256 : 4 * 256 : 8], video[3])


def test_a_picture_is_a_film_of_one_frame(tmp_path: Path, video: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(video[0]).save(tmp_path / "picture.png")
    back = read_film(tmp_path / "picture.png", spec())
    np.testing.assert_array_equal(to_uint8(back[0]), video[:1])


def test_reading_keeps_time(tmp_path: Path, video: np.ndarray) -> None:
    """A film at 10 frames a second read at 5 has every second frame."""
    path = tmp_path / "film.gif"
    write_film(video, path, fps=10)
    slow, full = read_film(path, spec(fps=5)), read_film(path, spec())
    assert torch.equal(slow, full[:, ::2])


def test_reading_fits_size_and_proportions(tmp_path: Path) -> None:
    from PIL import Image

    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, 16:48] = 255  # the middle square is white
    Image.fromarray(wide).save(tmp_path / "wide.png")
    back = read_film(tmp_path / "wide.png", spec(size=16))
    assert back.shape == (1, 1, 3, 16, 16)
    assert (back == 1).all()


@pytest.mark.parametrize("content", [b"", b"not a film at all"])
def test_what_is_no_film_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"film\.mp4"):
        read_film(path, spec())


def test_pixels_survive_the_way_to_floats_and_back() -> None:
    every = torch.arange(256).float().div(127.5).sub(1).expand(1, 3, 1, 256)
    np.testing.assert_array_equal(to_uint8(every)[0, 0, :, 0], np.arange(256))
