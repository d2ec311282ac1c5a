"""Terms that keep a joint-embedding state from collapsing, and measures of whether it has.

In a process group every statistic is of the states of all ranks together, and its gradient, averaged over ranks as
DistributedDataParallel does, is that of one process with the whole batch.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

KNOTS, FAR = 17, 3.0  # integration points of the test statistic, and where they end


def sigreg(z: Tensor, directions: int) -> Tensor:
    """SIGReg (LeJEPA, arXiv 2511.08544): how far random projections of z are from a standard Gaussian.

    z [..., b, d] -> the Epps-Pulley statistic b * integral |empirical - Gaussian characteristic function|^2 w(t) dt
    over the b axis, mean over ``directions`` random unit directions and leading axes. About 1.05 for a true Gaussian
    at any batch size; 0.40 b when collapsed. Every rank holds b states of a batch of b times the number of ranks.
    """
    direction = torch.randn(z.shape[-1], directions, device=z.device)
    if _ranks() > 1:
        dist.broadcast(direction, 0)
    return epps_pulley(z @ (direction / direction.norm(dim=0)))


def epps_pulley(projected: Tensor) -> Tensor:
    """The statistic of ``sigreg`` for given projections [..., b, m], mean over m and leading axes."""
    t = torch.linspace(0, FAR, KNOTS, device=projected.device)
    angle = projected[..., None] * t
    gauss = torch.exp(-t.square() / 2)
    gap = (_mean(angle.cos()) - gauss).square() + _mean(angle.sin()).square()
    return projected.shape[-2] * _ranks() * 2 * torch.trapezoid(gap * gauss, t).mean()


def _mean(x: Tensor) -> Tensor:
    """Mean of [..., b, m, knots] over b and over all ranks; gradients flow back to every rank."""
    if _ranks() == 1:
        return x.mean(-3)
    from torch.distributed.nn.functional import all_reduce  # here: it is slow to import, and few need it

    total: Tensor = all_reduce(x.mean(-3))
    return total / _ranks()


def _ranks() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def variance_hinge(z: Tensor) -> Tensor:
    """How far below 1 the standard deviation of each feature is (VICReg, arXiv 2105.04906, Eq. 1): z [..., b, d]."""
    return torch.relu(1 - (z.var(-2) + 1e-4).sqrt()).mean()


def covariance(z: Tensor) -> Tensor:
    """Squared covariances of different features, summed and divided by d (VICReg, Eq. 4): z [..., b, d]."""
    centred = z - z.mean(-2, keepdim=True)
    square = (centred.mT @ centred / (z.shape[-2] - 1)).square()
    return (square.sum((-1, -2)) - square.diagonal(dim1=-2, dim2=-1).sum(-1)).mean() / z.shape[-1]


def effective_rank(z_bd: Tensor) -> Tensor:
    """exp(entropy of the normalised singular values) of centred states (RankMe, arXiv 2210.02885, Eq. 2, centres none).

    In how many directions they differ, however little: states that shrink to a point keep it.
    """
    values = torch.linalg.svdvals(z_bd - z_bd.mean(0))
    p = values / values.sum().clamp_min(1e-9)
    return torch.exp(-(p * p.clamp_min(1e-9).log()).sum())


def raw_rank(z_bd: Tensor) -> Tensor:
    """exp(entropy of the eigenvalues of z^T z, as parts of their sum): effective directions of the states as they are.

    Nothing is centred, so where they all lie is one direction. States that differ by far less than they lie from the
    origin, as in a collapse, have rank 1, whatever noise is left; of a point in the origin only ``sigreg`` tells.
    """
    values = torch.linalg.svdvals(z_bd).square()
    p = values / values.sum().clamp_min(1e-9)
    return torch.exp(-(p * p.clamp_min(1e-9).log()).sum())
