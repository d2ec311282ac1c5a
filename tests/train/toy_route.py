"""A route small enough to train in a second: an autoencoder, dynamics on its cached codes, and a helper head.

It has what can go wrong when a run is resumed: draws, normalisation statistics, a prepared buffer, a frozen earlier
stage, cached arrays, a choice by roll-out and a helper. Run as a program it trains once, in a process to be killed.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from threeworlds.data import ClipStore, ClipWriter
from threeworlds.train import Budget, TrainedRun, checkpoint, train_route, use_machine
from threeworlds.types import Batch, Clip, ClipSpec, Optim, Route, Stage


@dataclass(frozen=True, kw_only=True)
class Head:
    width: int = 4


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    width: int = 8
    kernels: tuple[int, ...] = (3, 4)
    dropout: float | None = 0.1
    head: Head = Head()


class Autoencoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, width, 3, 2, 1)
        self.norm = nn.BatchNorm2d(width)
        self.decoder = nn.ConvTranspose2d(width, 3, 4, 2, 1)
        self.register_buffer("mean", torch.zeros(()))

    def prepare(self, batch: Batch) -> None:
        assert batch.video is not None
        self.mean.fill_(batch.video.mean())

    def encode(self, video: Tensor) -> dict[str, Tensor]:
        """[1, t, c, h, w] -> {"code": [1, t, d]}."""
        return {"code": self.encoder(video[0] - self.mean).mean((-1, -2))[None]}

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        x = batch.video.flatten(0, 1) - self.mean
        loss = (self.decoder(self.norm(self.encoder(x)).relu()) - x).square().mean()
        return loss, {"mse": loss.detach()}


class Dynamics(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, 16), nn.Dropout(dropout), nn.Linear(16, width))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        code = batch.cached["code"]
        noisy = code[:, :-1] + 0.01 * torch.randn_like(code[:, :-1])
        return (self.net(noisy) - code[:, 1:]).square().mean(), {"spread": float(code.std())}


class Toy(nn.Module):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.autoencoder = Autoencoder(config.width)
        self.dynamics = Dynamics(config.width, config.dropout or 0.0)


def toy_stages(model: nn.Module) -> list[Stage]:
    assert isinstance(model, Toy)
    head = Dynamics(8, 0.0)  # of a stage alone: the model does not hold it
    coded = {"frames": 4, "batch_size": 8, "columns": ("code",)}
    return [
        Stage(
            name="autoencoder",
            module=model.autoencoder,
            share=0.4,
            frames=4,
            batch_size=8,
            prepare=model.autoencoder.prepare,
        ),
        Stage(
            name="dynamics",
            module=model.dynamics,
            share=0.6,
            cache=model.autoencoder.encode,
            # Upside down, so that an early look wins and its weights must outlive a resume.
            rollout_error=lambda batch: -float(model.dynamics(batch)[0]),
            **coded,
        ),
        Stage(name="head", module=head, share=1.0, helper=True, optim=Optim(ema=0.0), **coded),
    ]


TOY = Route(
    name="toy",
    recipes={"debug": ToyConfig},
    build=lambda config, spec: Toy(config),
    stages=toy_stages,
    learns_from="video",
)


def toy_store(path: Path) -> ClipStore:
    rng = np.random.default_rng(0)
    with ClipWriter(path, ClipSpec(height=16, width=16, fps=10.0)) as writer:
        for number in range(40):
            video = rng.integers(0, 255, (12 + number % 2, 16, 16, 3), dtype=np.uint8)
            writer.add(Clip(video=video, source=f"clip {number}"))
    return ClipStore.open(path)


def train_toy(store: ClipStore, out: Path, *, budget: str = "50steps", every: str = "4steps", **other) -> TrainedRun:
    given = {"route": TOY, "recipe": "debug", "config": ToyConfig(), "progress": False, **other}
    return train_route(store=store, out=out, budget=Budget.parse(budget), checkpoint_every=Budget.parse(every), **given)


def _die_at_sync(number: int) -> None:
    """Kill this process, kill -9, just before the ``number``-th time that something is made sure to be on the disk."""
    sync, calls = checkpoint.sync, iter(range(1, sys.maxsize))

    def counted(path: Path) -> None:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(path)

    checkpoint.sync = counted


if __name__ == "__main__":
    clips, out, die_at_sync = sys.argv[1:]
    use_machine(1)
    if int(die_at_sync):
        _die_at_sync(int(die_at_sync))
    train_toy(ClipStore.open(clips), Path(out), resume=True)
