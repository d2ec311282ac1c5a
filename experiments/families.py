"""VAE, normalizing flow, flow matching and GAN over the same frozen latents of the arena, at equal FLOPs.

    python experiments/families.py --out results/families.json

Each head is given two latent frames and draws the next four; no actions, no captions, so the future is open. It is
asked on held-out episodes for several draws of each future. What is told of each (squares are means over latent
features, which have about unit variance):

- error: squared error of one draw; best_of: of the best of all draws (copy: of repeating the last frame).
- spread: squared distance of two draws, over that of a draw and the truth. 1: the truth could be one of the draws;
  less: the draws are too alike, or wrong together.
- energy: the energy score, a proper score (Gneiting and Raftery, 2007): distance to the truth less half that of draws.
- frechet: Frechet distance of Gaussians over the last drawn and the true last frames (floor: two halves of the truth).
- ms: processor time of one draw in a batch of 32, all heads in turn (median).
- diverged: whether the loss ended as no number, or at ten times its start (a game's may rise).

A run that is in the file already is not made again, so an interrupted experiment goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from threeworlds.routes import get_route
from threeworlds.routes.sora.families import FAMILIES, GIVEN, FamilyConfig, Head
from threeworlds.routes.sora.model import Sora, stages
from threeworlds.score.clips import generate
from threeworlds.score.exam import EXAM_SEEDS
from threeworlds.score.machine import describe_machine
from threeworlds.train import Budget, train_route, use_machine
from threeworlds.train.ledger import FlopMeter
from threeworlds.train.optim import build_optimizer, learning_rate, trainable
from threeworlds.types import Batch, Route
from threeworlds.worlds import collect

EPISODES, HELD_OUT, WINDOWS = 400, 200, 4  # to train on, to be asked about, and windows of each of those
DRAWS, BATCH, SEEDS = 8, 32, 3
COMPRESSION = 0.6e12  # FLOPs of training the autoencoder
CHUNK = 100  # films encoded, or futures drawn, at once


def compression(folder: Path) -> Sora:
    """A sora model of the recipe `small` whose autoencoder is trained, and nothing else."""
    sora = get_route("sora")
    store = generate("arena", folder / "clips", episodes=EPISODES, seed=0, size=32, workers=1)
    route = Route(
        name="sora",
        recipes=sora.recipes,
        build=sora.build,
        stages=lambda model: [replace(stages(model)[0], share=1.0)],
        learns_from="video",
    )
    budget, config = Budget.parse(f"{COMPRESSION:g}flops"), sora.recipes["small"]()
    run = train_route(route, recipe="small", config=config, store=store, budget=budget, out=folder / "sora")
    assert isinstance(run.model, Sora)
    return run.model


@torch.no_grad()
def latents(model: Sora, episodes: int, seed: int) -> Tensor:
    """Latents of whole episodes [n, t, c, y, x], cut to the shortest."""
    clips = list(collect("arena", episodes=episodes, seed=seed, size=32, workers=1))
    length = min(len(clip.video) for clip in clips)
    video = torch.from_numpy(np.stack([clip.video[:length] for clip in clips])).movedim(-1, 2)
    parts = [model.autoencoder.encode(part.float() / 127.5 - 1) for part in video.split(CHUNK // 10)]
    return torch.cat(parts)


def train(head: Head, films: Tensor, flops: float, seed: int) -> tuple[Head, list[float], float]:
    """The averaged head, its losses, and the seconds it took."""
    generator, meter, losses, start = torch.Generator().manual_seed(seed), FlopMeter(), [], perf_counter()
    optimizer = build_optimizer(trainable(head), head.optim)
    average = AveragedModel(head, multi_avg_fn=get_ema_multi_avg_fn(0.995))

    def step() -> None:
        loss, _ = head(Batch(cached={"latent": draw_windows(films, head.config.frames, BATCH, generator)}))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), head.optim.clip)
        optimizer.step()
        losses.append(loss.item())

    while meter.total < flops:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(head.optim, meter.total / flops)
        meter.run("step", step)
        average.update_parameters(head)
    trained: Head = average.module.eval()
    return trained, losses, perf_counter() - start


def draw_windows(films: Tensor, frames: int, count: int, generator: torch.Generator) -> Tensor:
    """Windows of GIVEN + ``frames`` latents from anywhere in anywhich film: [count, t, c, y, x]."""
    film = torch.randint(len(films), (count, 1), generator=generator)
    start = torch.randint(films.shape[1] - GIVEN - frames + 1, (count, 1), generator=generator)
    return films[film, start + torch.arange(GIVEN + frames)]


def judge(head: Head, windows: Tensor) -> dict[str, float]:
    """What is told of a trained head."""
    given, truth = windows[:, :GIVEN], windows[:, GIVEN:]
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack(
        [torch.cat([head.predict(part, generator) for part in given.split(CHUNK)]) for _ in range(DRAWS)]
    )
    return measures(draws, truth)


def measures(draws: Tensor, truth: Tensor) -> dict[str, float]:
    """Draws [k, n, t, c, y, x] of futures whose truth is [n, t, c, y, x]."""
    draws, truth = draws.flatten(3), truth.flatten(2)
    error = (draws - truth).square().mean((2, 3))  # [k, n]
    pairs = [(first, second) for first in range(len(draws)) for second in range(first)]
    apart = torch.stack([(draws[first] - draws[second]).square().mean((1, 2)) for first, second in pairs])
    return {
        "error": error.mean().item(),
        "best_of": error.amin(0).mean().item(),
        "spread": (apart.mean() / error.mean()).item(),
        "energy": (error.sqrt().mean() - apart.sqrt().mean() / 2).item(),
        "frechet": frechet(draws[0][:, -1], truth[:, -1]),
    }


def frechet(first: Tensor, second: Tensor) -> float:
    """Squared Frechet distance of the Gaussians fitted to two sets of points [n, d] (arXiv 1706.08500, Eq. 6)."""
    a, b = first.double().numpy(), second.double().numpy()
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    cross = np.real(sqrtm(cov_a @ cov_b))
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * cross))


def speeds(heads: Mapping[str, Head], given: Tensor, repeats: int = 9) -> dict[str, float]:
    """Milliseconds of one draw; weights do not matter."""
    times: dict[str, list[float]] = {name: [] for name in heads}
    for _ in range(repeats):
        for name, head in heads.items():
            start = process_time()
            head.predict(given, torch.Generator())
            times[name].append(process_time() - start)
    return {name: 1000 * median(found) / len(given) for name, found in times.items()}


def _shape(model: Sora) -> tuple[int, tuple[int, int]]:
    return model.autoencoder.channels, model.autoencoder.grid


def floors(windows: Tensor) -> dict[str, float]:
    """What repeating the last frame scores, and two halves of the truth."""
    truth = windows[:, GIVEN:]
    shuffled = truth[torch.randperm(len(truth), generator=torch.Generator().manual_seed(0)), -1].flatten(1)
    still = windows[:, GIVEN - 1 : GIVEN].expand_as(truth)
    measured = measures(torch.stack([still, still]), truth)
    return {"copy_" + name: measured[name] for name in ("error", "energy", "frechet")} | {
        "halves_frechet": frechet(*shuffled.chunk(2))
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Train what is missing in ``--out``, write it after each run, and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write, or to go on with")
    parser.add_argument("--flops", type=float, default=6e11, help="budget of each head and seed")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args(arguments)
    use_machine()
    config = FamilyConfig()
    result: dict[str, Any] = {"benchmark": "families", "machine": describe_machine(), "flops": given.flops}
    result |= {"config": asdict(config), "draws": DRAWS, "rows": []}
    if given.out.exists():
        held = json.loads(given.out.read_text())
        if held["flops"] != given.flops:
            raise SystemExit(f"{given.out} holds runs of {held['flops']:g} FLOPs, not {given.flops:g}")
        result["rows"] = held["rows"]
    with tempfile.TemporaryDirectory() as folder:
        model = compression(Path(folder))
    films, asked = latents(model, EPISODES, 0), latents(model, HELD_OUT, EXAM_SEEDS)
    windows = draw_windows(asked, config.frames, HELD_OUT * WINDOWS, torch.Generator().manual_seed(0))
    heads = {name: family(config, *_shape(model)) for name, family in FAMILIES.items()}
    result |= {"windows": len(windows), "floors": floors(windows), "ms": speeds(heads, windows[:BATCH, :GIVEN])}
    for seed in range(given.seeds):
        for name, family in FAMILIES.items():
            if any((row["family"], row["seed"]) == (name, seed) for row in result["rows"]):
                continue
            torch.manual_seed(seed)
            head = family(config, *_shape(model))
            head, losses, seconds = train(head, films, given.flops, seed)
            row = {"family": name, "seed": seed, "steps": len(losses), "seconds": round(seconds, 1)}
            row |= {"parameters": sum(p.numel() for p in head.parameters()), "loss": float(np.mean(losses[-50:]))}
            row |= {"diverged": not np.isfinite(losses[-1]) or losses[-1] > 10 * abs(losses[0])}
            result["rows"].append(row | judge(head, windows))
            given.out.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
