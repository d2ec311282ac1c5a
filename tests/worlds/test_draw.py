"""Pictures against areas and against brute force."""

import numpy as np
import pytest

from threeworlds.worlds import draw
from threeworlds.worlds.locate import body_weights, centroids, masses_of


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize("size", [32, 64])
def test_disc_covers_its_area(size: int) -> None:
    covered = draw.disc(f32(0.43, 0.61)[None], f32(0.1), size)
    assert covered.mean() == pytest.approx(np.pi * 0.1**2, rel=0.01)


@pytest.mark.parametrize("sides", [3, 4])
@pytest.mark.parametrize("angle", [0.0, 0.3, 2.0])
def test_polygon_covers_its_area(sides: int, angle: float) -> None:
    covered = draw.regular_polygon(f32(0.5, 0.5)[None], f32(angle), f32(0.1), sides, 64)
    assert covered.mean() == pytest.approx(sides * np.tan(np.pi / sides) * 0.1**2, rel=0.02)


def test_first_side_of_a_polygon_faces_down() -> None:
    """A triangle at angle 0 stands on its base: wide below, narrow above."""
    covered = draw.regular_polygon(f32(0.5, 0.5)[None], f32(0), f32(0.1), 3, 64)[0]
    rows = covered.sum(axis=1)
    inside = np.flatnonzero(rows > 1)
    assert rows[inside[-1] - 1] > 3 * rows[inside[0]]
    assert np.allclose(covered, covered[:, ::-1], atol=1e-4)


def test_coverage_is_near_the_exact_one() -> None:
    """Against 16 x 16 samples a pixel."""
    centre, radius, size = f32(0.43, 0.61), 0.11, 16
    x, y = draw.pixel_centres(size * 16)
    inside = np.hypot(x - centre[0], y - centre[1]) < radius
    exact = inside.reshape(size, 16, size, 16).mean(axis=(1, 3))
    assert np.abs(draw.disc(centre[None], f32(radius), size)[0] - exact).max() < 0.1


def test_paint_lays_over_and_rounds() -> None:
    frames = draw.blank(2, 8, np.array([10, 20, 30]))
    covered = np.zeros((2, 8, 8), np.float32)
    covered[1, 2, 3], covered[0, 0, 0] = 1, 0.5
    draw.paint(frames, covered, np.array([200, 100, 51]))
    picture = draw.to_bytes(frames)
    assert picture[1, 2, 3].tolist() == [200, 100, 51]
    assert picture[0, 0, 0].tolist() == [105, 60, 41]  # 40.5 rounds up
    assert picture[0, 5, 5].tolist() == [10, 20, 30]


def test_row_0_is_the_top() -> None:
    covered = draw.disc(f32(0.5, 0.9)[None], f32(0.05), 32)[0]
    assert covered[:8].sum() == covered.sum() > 0


def test_halved_is_the_mean_of_four() -> None:
    canvas = np.random.default_rng(0).random((3, 2, 6, 8)).astype(np.float32)
    assert np.allclose(draw.halved(canvas), canvas.reshape(3, 2, 3, 2, 4, 2).mean(axis=(3, 5)))


PALETTE = {"red": np.array([235, 50, 45]), "blue": np.array([60, 95, 250])}
BACKGROUND = np.array([18, 18, 26])


def picture(level: float = 0.0) -> np.ndarray:
    """A red disc at (0.3, 0.7), over a haze of red of that level everywhere."""
    frames = draw.blank(1, 32, BACKGROUND)
    draw.paint(frames, np.full((1, 32, 32), level, np.float32), PALETTE["red"])
    draw.paint(frames, draw.disc(f32(0.3, 0.7)[None], f32(0.1), 32), PALETTE["red"])
    return draw.to_bytes(frames)


def test_centroid_and_mass_of_what_is_there_and_nan_for_what_is_not() -> None:
    weights = body_weights(picture(), BACKGROUND, PALETTE)
    assert np.abs(centroids(weights)[0, 0] - (0.3, 0.7)).max() < 2e-3
    assert masses_of(weights)[0] == pytest.approx([np.pi / 100, 0], rel=0.01)
    assert np.isnan(centroids(weights)[0, 1]).all()


def test_a_haze_does_not_pull_the_centroid() -> None:
    """Without the dead zone this haze would move it by a twentieth of the box."""
    weights = body_weights(picture(level=0.1), BACKGROUND, PALETTE)
    assert np.abs(centroids(weights)[0, 0] - (0.3, 0.7)).max() < 5e-3
