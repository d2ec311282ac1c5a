"""Rolling a trained sora model out: how far it stays ahead of the floors, in how few steps, and how fast it streams.

Held-out episodes of the arena, from a seed that no training uses; four frames given and no words. Errors are those of
the scorecard's question ``prediction``, to four times the window of training; differences are taken film by film.
Streams take turns, kept keys and values against everything computed again; the seconds are those of one processor.

    python experiments/sora_rollout.py CHECKPOINT --items 100 --out results/sora-rollout.json
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from threeworlds.routes.sora.model import Sora
from threeworlds.routes.sora.stream import stream
from threeworlds.routes.sora.tasks import Sampling, extend
from threeworlds.score.exam import EXAM_SEEDS, GIVEN
from threeworlds.score.machine import describe_machine
from threeworlds.score.prediction import places, position_error, psnr, squared_error
from threeworlds.score.stats import Interval, mean_interval, paired_difference
from threeworlds.train import load_model
from threeworlds.train.machine import use_machine
from threeworlds.worlds import WORLDS, collect

TIMES = 4  # the window of training, that films are made to
STEPS = (1, 2, 4, 8, 32)  # of the solver
SHORT = 8  # frames ahead, over which few steps are compared with many
CHUNK = 4  # frames that a stream makes at once
FULL = 2  # chunks after which its window is full


@dataclass(frozen=True, kw_only=True)
class Items:
    """True clips: the frames given, those that followed, and where the bodies were."""

    given: Tensor  # [n, GIVEN, c, h, w]
    future: Tensor  # [n, t, c, h, w]
    seed: int

    def errors(self, video: Tensor) -> dict[str, np.ndarray]:
        """PSNR and position error of each film at each frame: [n, t]."""
        truth = self.future[:, : video.shape[1]]
        return {
            "psnr": psnr(squared_error(video, truth)),
            "position_error": position_error(_places(video), _places(truth)),
        }


def draw_items(count: int, size: int, ahead: int, seed: int) -> Items:
    """The first frames of held-out episodes."""
    clips = collect("arena", episodes=count, seed=EXAM_SEEDS + seed, size=size, workers=1)
    frames = np.stack([clip.video[: GIVEN + ahead] for clip in clips])
    video = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() * (2 / 255) - 1
    return Items(given=video[:, :GIVEN], future=video[:, GIVEN:], seed=seed)


def made(model: Sora, items: Items, frames: int, steps: int | None = None) -> Tensor:
    """The model's own future, without words."""
    sampling = Sampling(seed=items.seed, steps=steps)
    film = extend(model, items.given, ("",) * len(items.given), frames=frames, sampling=sampling)
    return film.video[:, GIVEN:].clamp(-1, 1)


def floors(items: Items) -> dict[str, dict[str, np.ndarray]]:
    """What needs no learning: the last frame, and for places a constant velocity."""
    frames = items.future.shape[1]
    ahead = np.arange(1, frames + 1)[:, None]
    even = {name: p[:, -1:] + ahead * (p[:, -1:] - p[:, -2:-1]) for name, p in _places(items.given).items()}
    return {
        "copy the last frame": items.errors(items.given[:, -1:].expand_as(items.future)),
        "constant velocity": {"position_error": position_error(even, _places(items.future))},
    }


def horizons(model: Sora, items: Items) -> dict[str, Any]:
    """Each error at 1, 2, 4 ... frames ahead, of the model and of the floors, and their difference film by film."""
    own, naive = items.errors(made(model, items, items.future.shape[1])), floors(items)
    steps = [2**k for k in range(items.future.shape[1].bit_length())]
    means = {
        name: {metric: {h: _mean(each[:, h - 1], items.seed) for h in steps} for metric, each in errors.items()}
        for name, errors in {"sora": own, **naive}.items()
    }
    less = {
        f"sora less {name}": {
            metric: {h: _difference(own[metric][:, h - 1], each[:, h - 1], items.seed) for h in steps}
            for metric, each in errors.items()
        }
        for name, errors in naive.items()
    }
    return means | less


def few_steps(model: Sora, items: Items) -> dict[int, dict[str, list[float]]]:
    """Each error over the first frames, by the number of solver steps, and what it is more than that of the most."""
    by_steps = {steps: items.errors(made(model, items, SHORT, steps)) for steps in STEPS}
    averaged = {steps: {name: np.nanmean(e, 1) for name, e in found.items()} for steps, found in by_steps.items()}
    most = averaged[max(STEPS)]
    return {
        steps: {name: _mean(each, items.seed) for name, each in found.items()}
        | {f"{name}_more": _difference(each, most[name], items.seed) for name, each in found.items()}
        for steps, found in averaged.items()
    }


def streaming(model: Sora, items: Items, side: int, chunks: int) -> dict[str, Any]:
    """Frames a second of one film of ``side`` pixels, kept and computed again."""
    context = F.interpolate(items.given[0], size=(side, side), mode="area")[None]
    films = {
        name: stream(model, context, ("",), seed=items.seed, chunk=CHUNK, cached=name == "kept")
        for name in ("kept", "computed again")
    }
    seconds: dict[str, list[float]] = {name: [] for name in films}
    for turn in range(chunks):
        for name in sorted(films, reverse=turn % 2 == 1):
            start = process_time()
            next(films[name])
            seconds[name].append(process_time() - start)
    full = {name: median(times[FULL:]) for name, times in seconds.items()}
    return {
        "frames_per_second": {name: round(CHUNK / time, 2) for name, time in full.items()},
        "ratio": round(full["computed again"] / full["kept"], 3),
        "steps": model.config.generator.steps,
        "chunk": CHUNK,
    }


def _places(video: Tensor) -> Mapping[str, np.ndarray]:
    weights = WORLDS["arena"].weights
    assert weights is not None
    return places(weights, video)


def _mean(values: np.ndarray, seed: int) -> list[float]:
    return _rounded(mean_interval(values, seed=seed))


def _difference(first: np.ndarray, second: np.ndarray, seed: int) -> list[float]:
    return _rounded(paired_difference(first, second, seed=seed))


def _rounded(found: Interval) -> list[float]:
    return [round(x, 5) for x in (found.value, found.low, found.high)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chunks", type=int, default=12, help="of a stream that is timed")
    parser.add_argument("--out", type=Path, default=Path("results/sora-rollout.json"))
    options = parser.parse_args(arguments)
    model, card = load_model(options.checkpoint)
    if not isinstance(model, Sora) or card.spec.world != "arena" or not model.config.generator.causal:
        raise SystemExit(f"{options.checkpoint}: expected a sora model of arena that streams (generator.causal)")
    use_machine(1)
    items = draw_items(options.items, card.spec.height, TIMES * model.config.generator.frames, options.seed)
    content = {
        "command": f"python experiments/sora_rollout.py CHECKPOINT --items {options.items} --seed {options.seed}",
        "checkpoint": {"command": card.command, "recipe": card.recipe, "seed": card.seed},
        "machine": describe_machine(),
        "load_average": os.getloadavg()[0],
        "items": options.items,
        "window": model.config.generator.frames,
        "horizons": horizons(model, items),
        "few_steps": few_steps(model, items),
        "streaming": {side: streaming(model, items, side, options.chunks) for side in (card.spec.height, 64)},
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
