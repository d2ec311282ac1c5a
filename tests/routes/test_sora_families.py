"""Families of generative models as heads: each fits what it can fit, and the flow's density is a density."""

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from threeworlds.routes.sora.families import FAMILIES, GAN, FamilyConfig, NormalizingFlow, cells
from threeworlds.types import Batch

TINY = FamilyConfig(width=16, heads=2, frames=1, layers=6, learning_rate=4e-3)


def two_modes(count):
    """One feature on two cells, both 1 or both -1, spread 0.1; the condition says nothing."""
    x = torch.randint(0, 2, (count, 1, 1)) * 2.0 - 1
    return x + 0.1 * torch.randn(count, 2, 1), torch.zeros(count, 2, 2)


def fitted(name, steps=200, seed=0):
    """With averaged weights, as the training loop keeps them: the last step of a game is anywhere on its circle."""
    torch.manual_seed(seed)
    head = FAMILIES[name](TINY, channels=1, grid=(1, 2))
    average = AveragedModel(head, multi_avg_fn=get_ema_multi_avg_fn(0.95))
    optimizer = torch.optim.AdamW(head.parameters(), lr=TINY.learning_rate, betas=head.betas)
    for _ in range(steps):
        loss, _ = head.loss(*two_modes(64))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(head)
    return average.module


def finds_both_modes(head):
    draws = head.predict(torch.zeros(1000, 2, 1, 1, 2), torch.Generator().manual_seed(0))[:, 0, 0, 0]
    agree = (draws[:, 0].sign() == draws[:, 1].sign()).float().mean()
    near = ((draws.abs() - 1).abs() < 0.4).all(1).float().mean()  # a VAE and a flow leave some between the modes
    return bool(0.25 < (draws[:, 0] > 0).float().mean() < 0.75 and agree > 0.85 and near > 0.6)


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_finds_both_modes(name):
    """A GAN in two trainings of three: it may fall into one mode, and which seed does depends on the processor."""
    seeds, needed = (3, 2) if name == "GAN" else (1, 1)
    assert sum(finds_both_modes(fitted(name, seed=seed)) for seed in range(seeds)) >= needed


@pytest.fixture(scope="module")
def flow():
    """Six couplings on a 2 x 2 grid, away from the identity they start as."""
    torch.manual_seed(0)
    flow = NormalizingFlow(FamilyConfig(width=16, heads=2, frames=3), channels=1, grid=(2, 2)).double()
    for network in flow.couplings:
        torch.nn.init.normal_(network.read_out[-1].weight, std=0.5)
    for block in (b for network in flow.couplings for b in network.blocks):
        torch.nn.init.normal_(block.modulation.bias, std=0.5)
    return flow


def test_the_flow_comes_back(flow):
    x, condition = torch.randn(5, 4, 3).double(), torch.randn(5, 4, 2).double()
    z, _ = flow.transform(x, condition)
    assert (z - x).abs().max() > 0.1
    torch.testing.assert_close(flow.inverse(z, condition), x)


def test_the_flows_log_determinant_is_that_of_its_jacobian(flow):
    x, condition = torch.randn(1, 4, 3).double(), torch.randn(1, 4, 2).double()
    jacobian = torch.autograd.functional.jacobian(lambda v: flow.transform(v, condition)[0], x).view(12, 12)
    z, log_det = flow.transform(x, condition)
    torch.testing.assert_close(log_det[0], torch.linalg.slogdet(jacobian)[1])
    expected = torch.distributions.Normal(0, 1).log_prob(z).sum() + torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(flow.log_likelihood(x, condition)[0], expected)


def test_each_side_of_the_gan_is_moved_by_its_own_loss_alone():
    torch.manual_seed(0)
    head = GAN(TINY, channels=1, grid=(1, 2))
    x, condition = two_modes(16)
    made = torch.manual_seed(1) and head.generator(torch.randn(16, 2, TINY.noise), condition)
    fooled = torch.nn.functional.softplus(head.critic(x, condition) - head.critic(made, condition)).mean()
    expected = torch.autograd.grad(fooled, list(head.generator.parameters()), allow_unused=True)
    torch.manual_seed(1)
    head.loss(x, condition)[0].backward()
    for parameter, gradient in zip(head.generator.parameters(), expected, strict=True):
        assert parameter.grad is gradient or torch.allclose(parameter.grad, gradient, atol=1e-6)
    before = head.critic(x, condition).mean() - head.critic(made, condition).mean()
    with torch.no_grad():
        for parameter in head.critic.parameters():
            parameter -= 0.05 * parameter.grad
    assert head.critic(x, condition).mean() - head.critic(made, condition).mean() > before  # it tells them apart better


@pytest.mark.parametrize("name", FAMILIES)
def test_a_head_learns_from_latents_and_its_draws_differ_by_seed(name):
    head = FAMILIES[name](FamilyConfig(width=16, heads=2, frames=3), channels=4, grid=(2, 3))
    latent = torch.randn(2, 5, 4, 2, 3)
    head(Batch(cached={"latent": latent}))[0].backward()
    first, again, other = (head.predict(latent[:, :2], torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert first.shape == (2, 3, 4, 2, 3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_cells_become_frames_again(monkeypatch):
    head = FAMILIES["VAE"](FamilyConfig(width=16, heads=2, frames=2), channels=4, grid=(2, 3))
    latent = torch.randn(1, 4, 4, 2, 3)
    true = cells(latent[:, 2:] - latent[:, 1:2])
    monkeypatch.setattr(head, "sample", lambda condition, generator: true)
    torch.testing.assert_close(head.predict(latent[:, :2], torch.Generator()), latent[:, 2:])  # cells and back
