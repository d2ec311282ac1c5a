"""Probes: what can be read off frozen states, by a line, by a small network, or by one that looks at their tokens.

All take states of training frames [m, t, d], targets [m, t, k] with NaN where one does not apply, and the states to
be read [n, t, d], and return what they read [n, t, k].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from threeworlds.nn.attention import Attention

RIDGE = 1e-3  # on standardised features, times their number of samples
HIDDEN, STEPS, SAMPLES = 128, 500, 512  # of networks: width, steps, frames a step
QUERIES = 4  # of the attentive probe

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
    """Features [s, d] and targets [s, k] of s samples -> read values [..., k] of features [..., d].

    The intercept is free: the penalty is on slopes alone.
    """
    mean, centred = x.mean(0), x - x.mean(0)
    gram = centred.T @ centred + RIDGE * len(x) * np.eye(x.shape[1])
    return (asked - mean) @ np.linalg.solve(gram, centred.T @ (y - y.mean(0))) + y.mean(0)


def small_network(train: np.ndarray, targets: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """One hidden layer, one network for all targets; the squared error leaves out what does not apply."""

    def make(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, outputs))

    return _fitted(make, train, targets, asked)


def attentive(tokens: int) -> Probe:
    """The probe of states of ``tokens`` tokens laid flat: learnt queries look at them (V-JEPA, arXiv 2404.08471)."""

    def read(train: np.ndarray, targets: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return _fitted(lambda inputs, outputs: Reader(tokens, inputs // tokens, outputs), train, targets, asked)

    return read


class Reader(nn.Module):
    """States [s, tokens d] -> targets [s, k], by cross-attention from QUERIES learnt queries.

    Each token is told its place by a learnt vector: what a network knows of places by relative angles alone is not in
    its tokens.
    """

    def __init__(self, tokens: int, width: int, outputs: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.read_in, self.place = nn.Linear(width, HIDDEN), nn.Parameter(0.5 * torch.randn(tokens, HIDDEN))
        self.queries = nn.Parameter(torch.randn(QUERIES, HIDDEN))
        self.attention = Attention(HIDDEN, heads=4)
        self.read_out = nn.Linear(QUERIES * HIDDEN, outputs)

    def forward(self, states: Tensor) -> Tensor:
        tokens = self.read_in(states.unflatten(-1, (self.tokens, -1))) + self.place
        queries = self.queries.expand(len(states), -1, -1)
        read: Tensor = self.read_out(self.attention.attend(queries, self.attention.project(tokens)).flatten(1))
        return read


def _fitted(
    make: Callable[[int, int], nn.Module], train: np.ndarray, targets: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Train ``make(inputs, outputs)`` on standardised targets, and read."""
    states, wanted = train.reshape(-1, train.shape[-1]), targets.reshape(-1, targets.shape[-1])
    mean, std = np.nanmean(wanted, 0), np.nanstd(wanted, 0) + 1e-9
    x, y = (torch.from_numpy(a).float() for a in (states, (wanted - mean) / std))
    known = ~y.isnan()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = make(x.shape[1], y.shape[1])
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
        flat = torch.from_numpy(asked.reshape(-1, asked.shape[-1])).float()
        read = torch.cat([net(part) for part in flat.split(SAMPLES)]).double().numpy()
    return read.reshape(*asked.shape[:-1], -1) * std + mean
