"""Frechet distance between two sets of pictures, over the features of a network that is named.

|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) of the means m and the covariances C of the features (Heusel et al.,
arXiv 1706.08500). Their network has learnt from photographs; for other pictures Naeem et al. (arXiv 2002.09797)
recommend random weights, and ``random-conv-1`` has these: He's normal weights, drawn by seed 0.

The estimate is biased upward, and the more so the fewer the items are. All routes of a table have as many items:
compare within a table, and never with a number from elsewhere.

Legend: n pictures, f features.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

NET = "random-conv-1"
WIDTHS = (16, 32, 32)  # channels of its layers: 3 x 3, stride 2, ReLU
RIDGE, ROUNDING = 1e-12, 1e-8  # parts of the variance: added to make it regular; what counts as no distance


def features(pictures: Tensor) -> np.ndarray:
    """Pictures [n, c, h, w] in [-1, 1] -> [n, f]: mean and standard deviation of each of the last channels."""
    layer = pictures.cpu().float().contiguous()
    generator = torch.Generator().manual_seed(0)
    for width in WIDTHS:
        weight = torch.randn(width, layer.shape[1], 3, 3, generator=generator)
        weight *= (2 / weight[0].numel()) ** 0.5  # keeps the scale from layer to layer (He et al., arXiv 1502.01852)
        layer = functional.relu(functional.conv2d(layer, weight, stride=2, padding=1))
    pooled = torch.cat([layer.mean((2, 3)), layer.std((2, 3), unbiased=False)], dim=1)
    return pooled.double().numpy()


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Between the normal distributions of two sets of features [n, f].

    NaN where one has no covariance: a single picture, or one that holds NaN.
    """
    if min(len(first), len(second)) < 2:
        return float("nan")
    gap = ((first.mean(0) - second.mean(0)) ** 2).sum()
    a, b = (np.cov(features, rowvar=False) for features in (first, second))
    size = float(np.trace(a) + np.trace(b))
    if not np.isfinite(size):
        return float("nan")
    # With C = LL', the eigenvalues of C C' are those of L'C'L, which is symmetric. A little is added to the diagonal,
    # since there is no such L where items are fewer than features.
    root = np.linalg.cholesky(a + (RIDGE * size + np.finfo(float).tiny) * np.eye(len(a)))
    shared = np.sqrt(np.linalg.eigvalsh(root.T @ b @ root).clip(min=0)).sum()
    found = float(gap + size - 2 * shared)
    return found if found > ROUNDING * size else 0.0
