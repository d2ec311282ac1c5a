"""Frames carried on: by hand, from the start, and through the whole network."""

from dataclasses import replace

import pytest
import torch

from threeworlds.routes.sora.advection import PACE, Advection, splat
from threeworlds.routes.sora.generator import Generator
from threeworlds.routes.sora.objective import FlowObjective
from threeworlds.routes.sora.recipes import debug
from threeworlds.types import Batch

SURE = -3.0  # logarithm of the spread: content goes to one place


def told(velocity, spread=SURE, radius=2, patch=2) -> Advection:
    """An advection that says the same of every cell, whatever it sees."""
    carry = Advection(8, patch=patch, radius=radius)
    each = carry.motion.bias.data.view(patch**2, -1)
    each[:, :2] = torch.tensor(velocity) / PACE
    each[:, 2] = spread
    return carry


@pytest.mark.parametrize("since", [0, 1, 2, -1])
@pytest.mark.parametrize("velocity", [(0.0, 0.0), (1.0, 0.0), (-1.0, 1.0)])
def test_content_goes_as_far_as_its_velocity_times_the_frames_since(velocity, since):
    given = torch.randn(1, 3, 4, 6, 8)
    made = told(velocity)(torch.randn(1, 3, 12, 8), given, torch.full((1, 3), float(since)))
    moved = given.roll([int(since * v) for v in velocity], (-2, -1))
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(made[inside], moved[inside], atol=1e-3, rtol=1e-3)


def test_half_a_cell_is_half_of_two_cells():
    given = torch.randn(1, 1, 1, 4, 6)
    made = told((0.0, 0.5), spread=0.0)(torch.zeros(1, 1, 6, 8), given, torch.ones(1, 1))
    between = (given[..., 1:5] + given[..., :4]) / 2
    assert (made[..., 1:5] - between).abs().max() < 0.1


def test_the_heavier_covers_the_other():
    weight, given = torch.zeros(1, 1, 9, 1, 3), torch.tensor([[[[[1.0, 2.0, 3.0]]]]])
    weight[..., 5, 0, 0] = 1.0  # one to the right, onto the second, which stays
    weight[..., 4, 0, 1:] = 1.0
    torch.testing.assert_close(splat(given, weight, 1).flatten()[1:], torch.tensor([1.5, 3.0]), atol=1e-3, rtol=0)
    weight[..., 5, 0, 0] = 1000.0
    torch.testing.assert_close(splat(given, weight, 1).flatten(), torch.tensor([0.0, 1.0, 3.0]), atol=5e-3, rtol=0)


def test_each_cell_of_a_token_moves_by_itself():
    carry = told((0.0, 0.0), patch=2)
    carry.motion.bias.data.view(4, -1)[1, 1] = 1 / PACE  # of each token's cells the upper right, one to the right
    given = torch.randn(1, 1, 1, 4, 4)
    made = carry(torch.zeros(1, 1, 4, 8), given, torch.ones(1, 1))
    torch.testing.assert_close(made[..., 1::2, :], given[..., 1::2, :], atol=1e-3, rtol=1e-3)
    both = (given[..., 0, 1] + given[..., 0, 2]) / 2
    torch.testing.assert_close(made[..., 0, 2], both, atol=1e-3, rtol=1e-3)


def test_what_is_even_stays_even():
    carry, flat = Advection(4, patch=2, radius=3), torch.randn(1, 1, 3, 1, 1).expand(-1, -1, -1, 8, 8)
    carry.motion.weight.data.normal_(std=0.1)
    torch.testing.assert_close(carry(torch.randn(1, 1, 16, 4), flat, torch.ones(1, 1)), flat, atol=1e-2, rtol=1e-2)


@torch.no_grad()
def carried_by(objective: FlowObjective, film: torch.Tensor) -> float:
    """Squared error of the frames after the first, from noise."""
    time = torch.zeros(film.shape[:2])
    time[:, 0] = 1
    noisy = torch.where(time[..., None, None, None] == 1, film, torch.randn_like(film))
    estimate = objective.generator(noisy, time, objective.generator.words([""] * len(film)))
    return float((estimate - film)[:, 1:].square().mean())


def test_it_learns_a_drift_that_is_the_same_for_all_pictures():
    torch.manual_seed(0)
    config = replace(debug().generator, advection=2, frames=3, tasks=(0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    objective = FlowObjective(Generator(config, 3, (8, 8)), captioned=False)
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-2)

    def films() -> torch.Tensor:
        first = torch.randn(8, 1, 3, 8, 8)
        return torch.cat([first, first.roll(1, -1), first.roll(2, -1)], dim=1)

    before = carried_by(objective, films())
    for _ in range(150):
        loss, _ = objective(Batch(cached={"latent": films()}))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert carried_by(objective, films()) < 0.5 * before  # what comes in at the edge is noise


def test_the_other_objective_refuses_it():
    with pytest.raises(ValueError, match="advection=2: only objective=flow"):
        Generator(replace(debug().generator, advection=2, objective="ddpm"), 4, (4, 4))
