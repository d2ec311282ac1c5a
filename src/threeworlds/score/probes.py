"""Probes: what can be read off frozen states, by a line or by a small network.

Both take states of training frames [m, t, d], targets [m, t, k] with NaN where one does not apply, and the states to
be read [n, t, d], and return what they read [n, t, k].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RIDGE = 1e-3  # on standardised features, times their number of samples
HIDDEN, STEPS, SAMPLES = 128, 500, 512  # of the small network: width, steps, frames a step

Probe = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def linear(train: np.ndarray, targets: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Ridge regression, each target by itself."""
    known = ~np.isnan(targets)
    masks, group = np.unique(known.reshape(-1, known.shape[-1]), axis=1, return_inverse=True)
    read = np.empty((*asked.shape[:-1], targets.shape[-1]))
    for i, mask in enumerate(masks.T):  # targets that apply to the same frames share the costly part
        columns = np.flatnonzero(group == i)
        where = mask.reshape(known.shape[:-1])
        if not mask.any():  # nothing of it is known, so nothing is read
            read[..., columns] = 0.0
            continue
        read[..., columns] = _ridge(train[where], targets[where][:, columns], asked)
    return read


def _ridge(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Features [s, d] and targets [s, k] of s samples -> read values [..., k] of features [..., d]."""
    gram = x.T @ x + RIDGE * len(x) * np.eye(x.shape[1])
    return asked @ np.linalg.solve(gram, x.T @ (y - y.mean(0))) + y.mean(0)


def small_network(train: np.ndarray, targets: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """One hidden layer, one network for all targets; the squared error leaves out what does not apply."""
    import torch
    from torch import nn

    states, wanted = train.reshape(-1, train.shape[-1]), targets.reshape(-1, targets.shape[-1])
    mean, std = np.nanmean(wanted, 0), np.nanstd(wanted, 0) + 1e-9
    x, y = (torch.from_numpy(a).float() for a in (states, (wanted - mean) / std))
    known = ~y.isnan()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, y.shape[1]))
        optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for _ in range(STEPS):
            some = torch.randint(len(x), (SAMPLES,))
            error = torch.where(known[some], net(x[some]) - y[some].nan_to_num(), 0.0).square().mean()
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        read = net(torch.from_numpy(asked).float()).double().numpy()
    return read * std + mean
