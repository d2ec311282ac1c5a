"""Paths and solvers: end points, finite differences, a closed-form oracle, orders of convergence."""

import pytest
import torch

from threeworlds.flow.path import data_to_velocity, logit_normal, sample_path, velocity_to_data
from threeworlds.flow.solver import euler, heun, multistep, time_grid

NOISE, DATA = torch.randn(4, 3), torch.randn(4, 3)


def test_the_path_starts_at_noise_and_ends_at_data():
    torch.testing.assert_close(sample_path(NOISE, DATA, torch.zeros(4, 1)).x_t, NOISE)
    torch.testing.assert_close(sample_path(NOISE, DATA, torch.ones(4, 1)).x_t, DATA)


def test_velocity_is_the_derivative_of_the_path():
    time, step = torch.full((4, 1), 0.3, dtype=torch.float64), 1e-6
    here, there = (sample_path(NOISE.double(), DATA.double(), t) for t in (time, time + step))
    torch.testing.assert_close((there.x_t - here.x_t) / step, here.velocity, atol=1e-6, rtol=1e-6)


def test_data_and_velocity_convert_into_each_other():
    path = sample_path(NOISE, DATA, torch.full((4, 1), 0.6))
    torch.testing.assert_close(data_to_velocity(DATA, path.x_t, path.time), path.velocity)
    torch.testing.assert_close(velocity_to_data(path.velocity, path.x_t, path.time), DATA)


def test_near_the_end_the_velocity_stays_finite():
    assert data_to_velocity(DATA, NOISE, torch.ones(4, 1)).isfinite().all()


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
