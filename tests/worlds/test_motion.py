"""The three laws against closed forms, conservation, a rigid-body engine, and the metrics worked by hand."""

import numpy as np
import pymunk
import pytest

from threeworlds.types import Clip
from threeworlds.worlds import collect
from threeworlds.worlds import motion as m


def clips(task: str, range: str = "in", episodes: int = 60, **asked: int) -> list[Clip]:
    return list(collect("motion", episodes=episodes, seed=5, task=task, range=range, **({"size": 8} | asked)))


def states(clip: Clip) -> np.ndarray:
    assert clip.state is not None
    return clip.state.astype(np.float64)


@pytest.mark.parametrize(("task", "gravity"), [("uniform", 0.0), ("parabola", -2.5)])
def test_flight_is_the_closed_form(task: str, gravity: float) -> None:
    seconds = np.arange(32) * 0.1
    for clip in clips(task):
        s = states(clip)
        assert np.allclose(s[:, 0], s[0, 0] + s[0, 2] * seconds, atol=1e-5)
        assert np.allclose(s[:, 1], s[0, 1] + gravity / 2 * seconds**2, atol=1e-5)
        assert np.allclose(s[:, 3], gravity * seconds, atol=1e-5)
        assert np.isnan(s[:, 5:]).all()


@pytest.mark.parametrize("range", ["in", "out"])
def test_collision_keeps_momentum_and_energy_and_comes_in_time(range: str) -> None:
    impacts = 0
    for clip in clips("collision", range):
        s = states(clip)
        mass, speed = s[:, [4, 9]] ** 2, s[:, [2, 7]]
        assert np.allclose((mass * speed).sum(1), (mass * speed).sum(1)[0], atol=1e-4)
        assert np.allclose((mass * speed**2).sum(1), (mass * speed**2).sum(1)[0], rtol=1e-5)
        assert (s[:, 5] - s[:, 0] >= s[:, 4] + s[:, 9] - 1e-5).all()
        after = np.flatnonzero(speed[:, 0] != speed[0, 0])
        impacts += len(after) > 0
        assert not len(after) or 4 <= after[0] <= 25
        assert (speed[after, 1] > speed[after, 0]).all()
    assert impacts >= 58


def test_collision_agrees_with_a_rigid_body_engine() -> None:
    for clip in clips("collision", episodes=5):
        s = states(clip)
        space, bodies = pymunk.Space(), []
        space.collision_slop = 1e-6
        for x, y, vx, vy, radius in s[0].reshape(2, 5):
            body = pymunk.Body(radius**2, pymunk.moment_for_circle(radius**2, 0, radius))
            body.position, body.velocity = (x, y), (vx, vy)
            outline = pymunk.Circle(body, radius)
            outline.elasticity = 1
            space.add(body, outline)
            bodies.append(body)
        for _ in range(3100):
            space.step(0.001)
        assert [b.velocity.x for b in bodies] == pytest.approx(s[-1, [2, 7]], abs=1e-2)
        assert [b.position.x for b in bodies] == pytest.approx(s[-1, [0, 5]], abs=2e-2)


@pytest.mark.parametrize("task", m.TASKS)
def test_ranges(task: str) -> None:
    def outside(value: float, interval: tuple[float, float]) -> bool:
        return not interval[0] - 1e-6 <= value <= interval[1] + 1e-6

    def is_out(s: np.ndarray) -> list[bool]:
        balls = s.reshape(2, 5)[: 2 if task == "collision" else 1]
        return [outside(b[4], m.RADII_IN[task]) or outside(abs(b[2]), m.SPEEDS_IN) for b in balls]

    assert not any(any(is_out(states(clip)[0])) for clip in clips(task, "in"))
    assert all(any(is_out(states(clip)[0])) for clip in clips(task, "out"))
    assert {clip.tags for clip in clips(task, "out")} == {("watch", task, "out")}


def test_balls_begin_in_view() -> None:
    for task in m.TASKS:
        for clip in clips(task, "in"):
            for x, y, _, _, radius in states(clip)[0].reshape(2, 5)[: 2 if task == "collision" else 1]:
                assert radius - 1e-5 <= x <= 10 - radius + 1e-5
                assert radius - 1e-5 <= y <= 10 - radius + 1e-5


# -------------------------------------------------------------------------------------------- metrics


def straight(vx: float, frames: int = 10) -> np.ndarray:
    """One ball of radius 1 from (2, 5)."""
    s = np.full((frames, 10), np.nan)
    s[:, :5] = [(2 + vx * 0.1 * t, 5, vx, 0, 1) for t in range(frames)]
    return s


def test_both_errors_of_a_film_that_is_too_fast() -> None:
    s = straight(1.0)
    seen = {"red": straight(1.5)[:, :2], "blue": np.full((10, 2), np.nan)}
    assert m.velocity_error(seen, s) == pytest.approx(0.5)
    assert m.velocity_error_code(seen, s) == pytest.approx(0.5)


def test_jitter_counts_in_the_paper_and_averages_out_in_the_code() -> None:
    s = straight(1.0)
    seen = {"red": s[:, :2] + np.array([0.01, 0]) * (-1.0) ** np.arange(10)[:, None], "blue": s[:, 5:7]}
    assert m.velocity_error(seen, s) == pytest.approx(0.2)
    assert m.velocity_error_code(seen, s) == pytest.approx(0.0, abs=1e-9)  # an even number of steps counts


def test_given_frames_and_frames_partly_out_of_view_do_not_count() -> None:
    s = straight(4.0, 32)  # radius 1: out of view from x = 9, frame 18
    assert m.counted(s, 0, 3).tolist() == [3 <= t < 17 for t in range(31)]


def test_a_ball_that_vanished_counts_as_at_rest() -> None:
    s = straight(1.0)
    nothing = {"red": np.full((10, 2), np.nan), "blue": np.full((10, 2), np.nan)}
    assert m.velocity_error(nothing, s) == pytest.approx(1.0)


def test_only_frames_after_the_impact_count() -> None:
    for clip in clips("collision", episodes=10):
        s = states(clip)
        counted = m.counted(s, 0, 3)
        speeds = np.diff(s[:, 0])[counted] / 0.1
        assert np.allclose(speeds, s[-1, 2], atol=1e-3)
    assert np.isnan(m.velocity_error({"red": s[:4, :2], "blue": s[:4, 5:7]}, s[:4]))


@pytest.mark.parametrize(("size", "paper", "code"), [(32, 0.03, 0.008), (64, 0.008, 0.003)])
@pytest.mark.parametrize("task", m.TASKS)
def test_floor_on_true_pictures(task: str, size: int, paper: float, code: float) -> None:
    """Below what is measured on the best models published: 0.0124 (uniform) to 0.0331 (parabola)."""
    found = [(m.locate(clip.video), states(clip)) for clip in clips(task, size=size, episodes=40)]
    assert np.mean([m.velocity_error(*pair) for pair in found]) < paper
    assert np.mean([m.velocity_error_code(*pair) for pair in found]) < code


def test_locate_finds_both_balls() -> None:
    for clip in clips("collision", size=64, episodes=5):
        s, found = states(clip)[:4], m.locate(clip.video)  # before the impact
        for i, name in enumerate(m.BALLS):
            assert np.abs(found[name][:4] - s[:, 5 * i : 5 * i + 2]).max() < 0.02
