"""SIGReg over two processes is SIGReg of the whole batch, and so is its gradient."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from threeworlds.nn.regularize import epps_pulley, sigreg


def states() -> torch.Tensor:
    return torch.randn(2, 16, 6, generator=torch.Generator().manual_seed(0))


def work(rank: int, meeting: str, out: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    torch.manual_seed(rank)  # ranks draw differently; the first one's directions count
    scale = torch.ones(6, requires_grad=True)
    loss = sigreg(states()[:, 8 * rank : 8 * rank + 8] * scale, 5)
    loss.backward()
    dist.all_reduce(scale.grad)
    torch.save((loss.detach(), scale.grad / 2), f"{out}/{rank}.pt")  # averaged, as DistributedDataParallel does
    dist.barrier()
    os._exit(0)  # at once: torch's threads now and then abort a process that takes its leave (no business of this test)


def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    mp.spawn(work, args=(str(tmp_path / "meeting"), str(tmp_path)), nprocs=2)
    torch.manual_seed(0)
    scale = torch.ones(6, requires_grad=True)
    loss = sigreg(states() * scale, 5)
    loss.backward()
    for rank in range(2):
        value, gradient = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(value, loss.detach())
        torch.testing.assert_close(gradient, scale.grad)


def test_the_statistic_is_its_integral() -> None:
    """By quadrature far finer than the seventeen knots, for one projection."""
    x = torch.randn(40, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    t = torch.linspace(-3, 3, 6001, dtype=torch.float64)
    empirical = torch.exp(1j * t * x).mean(0)
    weight = torch.exp(-t.square() / 2)
    exact = 40 * torch.trapezoid((empirical - weight).abs().square() * weight, t)
    assert epps_pulley(x.float()).item() == pytest.approx(exact.item(), rel=0.01)
