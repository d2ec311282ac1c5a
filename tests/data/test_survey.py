"""A folder of films, looked at before it is read."""

import sys

import av
import numpy as np
import pytest
from PIL import Image

from threeworlds.data import survey


def film(path, seconds, fps=10, size=(32, 48)):
    rng = np.random.default_rng(seconds)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for _ in range(seconds * fps):
            frame = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def test_length_and_time_of_films_that_were_not_opened_follow_from_those_that_were(tmp_path):
    for number in range(5):
        film(tmp_path / f"{number}.mp4", 4)
    found = survey(tmp_path, size=(32, 32))
    assert found.films == 5
    assert found.film_seconds == pytest.approx(20, rel=0.1)
    assert found.reading_seconds > 0


def test_a_film_is_counted_as_far_as_it_is_read_and_pictures_by_their_number(tmp_path, monkeypatch):
    (tmp_path / "shots").mkdir()
    for number in range(30):
        Image.new("RGB", (32, 32)).save(tmp_path / "shots" / f"{number}.png")
    assert survey(tmp_path, size=(32, 32)).film_seconds == pytest.approx(3)
    monkeypatch.setattr(sys.modules["threeworlds.data.survey"], "MAX_SECONDS", 1.0)
    assert survey(tmp_path, size=(32, 32)).film_seconds == pytest.approx(1)


def test_what_is_no_film_counts_for_nothing(tmp_path):
    (tmp_path / "words.mp4").write_text("no film")
    found = survey(tmp_path, size=(32, 32))
    assert (found.films, found.film_seconds, found.reading_seconds) == (1, 0, 0)
    film(tmp_path / "true.mp4", 3)
    found = survey(tmp_path, size=(32, 32))
    assert found.films == 2
    assert found.film_seconds == pytest.approx(3, abs=0.2)
