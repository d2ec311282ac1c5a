"""Terms that keep a joint-embedding state from collapsing."""

from __future__ import annotations

import torch
from torch import Tensor

KNOTS, FAR = 17, 3.0  # integration points of the test statistic, and where they end


def sigreg(z: Tensor, directions: int) -> Tensor:
    """SIGReg (LeJEPA, arXiv 2511.08544): how far random projections of z are from a standard Gaussian.

    z [..., b, d] -> the Epps-Pulley statistic b * integral |empirical - Gaussian characteristic function|^2 w(t) dt
    over the b axis, mean over ``directions`` random unit directions and leading axes. About 1.05 for a true Gaussian
    at any batch size; 0.40 b when collapsed.
    """
    batch, width = z.shape[-2:]
    direction = torch.randn(width, directions, device=z.device)
    projected = z @ (direction / direction.norm(dim=0))
    t = torch.linspace(0, FAR, KNOTS, device=z.device)
    angle = projected[..., None] * t
    gauss = torch.exp(-t.square() / 2)
    gap = (angle.cos().mean(-3) - gauss).square() + angle.sin().mean(-3).square()
    return batch * 2 * torch.trapezoid(gap * gauss, t).mean()


def effective_rank(z_bd: Tensor) -> Tensor:
    """exp(entropy of the normalised singular values) (RankMe, arXiv 2210.02885, Eq. 2)."""
    values = torch.linalg.svdvals(z_bd - z_bd.mean(0))
    p = values / values.sum().clamp_min(1e-9)
    return torch.exp(-(p * p.clamp_min(1e-9).log()).sum())
