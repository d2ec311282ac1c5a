"""Paths and solvers: end points, finite differences, a closed-form oracle, orders of convergence."""

import pytest
import torch

from threeworlds.flow.path import COSINE, STRAIGHT, logit_normal, v_to_data
from threeworlds.flow.solver import euler, heun, multistep, time_grid

NOISE, DATA = torch.randn(4, 3), torch.randn(4, 3)
EVERY_PATH = pytest.mark.parametrize("path", [STRAIGHT, COSINE])


@EVERY_PATH
def test_the_path_starts_at_noise_and_ends_at_data(path):
    torch.testing.assert_close(path.point(NOISE, DATA, torch.zeros(4, 1)), NOISE)
    torch.testing.assert_close(path.point(NOISE, DATA, torch.ones(4, 1)), DATA)


@EVERY_PATH
def test_velocity_is_the_derivative_of_the_path(path):
    time, step = torch.full((4, 1), 0.3, dtype=torch.float64), 1e-6
    here, there = (path.point(NOISE.double(), DATA.double(), t) for t in (time, time + step))
    velocity = path.velocity(DATA.double(), here, time)
    torch.testing.assert_close((there - here) / step, velocity, atol=1e-5, rtol=1e-5)


def test_the_straight_path_has_one_velocity_all_along():
    for time in (0.0, 0.4, 0.9):
        at = torch.full((4, 1), time)
        torch.testing.assert_close(STRAIGHT.velocity(DATA, STRAIGHT.point(NOISE, DATA, at), at), DATA - NOISE)


def test_v_gives_the_data_back_and_its_error_is_the_weighted_error_of_the_data():
    time = torch.full((4, 1), 0.6)
    x_t, (data, noise) = COSINE.point(NOISE, DATA, time), COSINE.amounts(time)
    v, wrong = data * NOISE - noise * DATA, torch.randn(4, 3)
    torch.testing.assert_close(v_to_data(v, x_t, time), DATA)
    error = v_to_data(v + wrong, x_t, time) - DATA
    torch.testing.assert_close(COSINE.weighted(error, time), -wrong)


@EVERY_PATH
def test_at_the_end_velocity_and_weight_stay_finite(path):
    assert path.velocity(DATA, NOISE, torch.ones(4, 1)).isfinite().all()
    assert path.weighted(DATA, torch.ones(4, 1)).abs().max() <= DATA.abs().max() / 0.05 + 1e-3


@pytest.mark.parametrize("solver", [euler, heun, multistep])
def test_a_gaussian_is_carried_into_a_gaussian_along_the_cosine_path(solver):
    """Data N(2, 0.5 ** 2): the mean of x_1 given x_t is known, so the flow's end is known for every start."""
    mean, std = 2.0, 0.5
    start = torch.linspace(-2, 2, 5, dtype=torch.float64)

    def velocity(x, t):
        time = torch.tensor(t, dtype=torch.float64)
        data, noise = COSINE.amounts(time)
        known = mean + data * std**2 / (data**2 * std**2 + noise**2) * (x - data * mean)
        return COSINE.velocity(known, x, time)

    end = solver(velocity, start, time_grid(400))
    torch.testing.assert_close(end, mean + std * start, atol=0.02, rtol=0)


@pytest.mark.parametrize("solver", [euler, heun, multistep])
@pytest.mark.parametrize("steps", [1, 7])
def test_one_point_of_data_is_reached_exactly_by_its_exact_velocity(solver, steps):
    def velocity(x, t):
        return (DATA - x) / (1 - t)

    torch.testing.assert_close(solver(velocity, NOISE, time_grid(steps)), DATA, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2), (multistep, 2)])
def test_error_falls_with_the_order_of_the_solver(solver, order):
    def error(steps):  # dx/dt = 3 t^2 x, x(t) = x0 exp(t^3); up to t = 0.5, where heun's last step is still Heun's
        times = [0.5 * t for t in time_grid(steps)]
        end = solver(lambda x, t: 3 * t**2 * x, torch.ones(1, dtype=torch.float64), times)
        return (end - torch.exp(torch.tensor(0.125, dtype=torch.float64))).abs().item()

    assert error(20) / error(40) == pytest.approx(2**order, rel=0.15)


def test_time_grids_run_from_noise_to_data_and_shift_towards_noise():
    assert time_grid(4) == [0, 0.25, 0.5, 0.75, 1]
    shifted = time_grid(4, shift=3)
    assert shifted[0] == 0
    assert shifted[-1] == 1
    assert shifted[2] < 0.5
    with pytest.raises(ValueError, match="at least 1"):
        time_grid(0)


def test_logit_normal_times_have_the_median_asked_for():
    time = logit_normal((20_000,), -1.0, 1.0, torch.Generator().manual_seed(0))
    assert time.median().item() == pytest.approx(torch.sigmoid(torch.tensor(-1.0)).item(), abs=0.01)
    assert time.min() > 0
    assert time.max() < 1
