"""How guidance, solver and steps change what a film shows: a trained sora model, judged by exact parsing.

Captions are of held-out episodes with held-out combinations of attributes, drawn from a seed that no training uses.
Every setting starts from the same noise. The true clips are judged too: what a perfect model would score.

    python experiments/sora_sampling.py CHECKPOINT --items 100 --out results/sora-sampling.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threeworlds.routes.sora.model import Sora
from threeworlds.routes.sora.tasks import Sampling, text_to_video
from threeworlds.score.exam import EXAM_SEEDS
from threeworlds.score.machine import describe_machine
from threeworlds.score.stats import mean_interval
from threeworlds.score.text import JUDGES, look
from threeworlds.train import load_model
from threeworlds.worlds import WORLDS, collect

FRAMES = 16  # that a caption speaks of
GUIDANCE = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
SOLVERS = (("euler", 2), ("euler", 4), ("euler", 8), ("euler", 32), ("heun", 4), ("multistep", 8))


@dataclass(frozen=True, kw_only=True)
class Items:
    """What is asked for, and the true clips."""

    captions: tuple[str, ...]
    video: Tensor  # [n, t, c, h, w]


def draw_items(count: int, size: int, seed: int) -> Items:
    """First captions of held-out episodes, and the frames they speak of."""
    clips = list(collect("arena", episodes=count, seed=EXAM_SEEDS + seed, size=size, workers=1, combinations="heldout"))
    frames = np.stack([clip.video[:FRAMES] for clip in clips])
    video = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() * (2 / 255) - 1
    return Items(captions=tuple(clip.captions[0].text for clip in clips), video=video)


def judged(items: Items, video: Tensor, seed: int) -> dict[str, list[float]]:
    """Each judge's mean with its 95 % interval."""
    world = WORLDS["arena"]
    assert world.parse_caption is not None
    said = [world.parse_caption(caption)["shapes"] for caption in items.captions]
    seen = look(world, video)
    found = {name: mean_interval(judge(seen, said), seed=seed) for name, judge in JUDGES.items()}
    return {name: [round(x, 4) for x in (each.value, each.low, each.high)] for name, each in found.items()}


def settings(model: Sora) -> Iterator[tuple[str, float, str, int]]:
    """(which curve, guidance, solver, steps)."""
    config = model.config.generator
    yield from (("guidance", value, config.solver, config.steps) for value in GUIDANCE)
    yield from (("steps", config.guidance, solver, steps) for solver, steps in SOLVERS)


def evaluations(solver: str, steps: int) -> int:
    """Calls of the network for a film's flow, guidance not counted twice; Heun's last step is Euler's."""
    return 2 * steps - 1 if solver == "heun" else steps


def measure(model: Sora, items: Items, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each setting."""
    for curve, guidance, solver, steps in settings(model):
        start = perf_counter()
        sampling = Sampling(seed=seed, solver=solver, steps=steps, guidance=guidance)
        film = text_to_video(model, items.captions, frames=FRAMES, sampling=sampling)
        yield {
            "curve": curve,
            "guidance": guidance,
            "solver": solver,
            "steps": steps,
            "evaluations": evaluations(solver, steps),
            "seconds_a_film": round((perf_counter() - start) / len(items.captions), 4),
            **judged(items, film.video, seed),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/sora-sampling.json"))
    options = parser.parse_args()
    model, card = load_model(options.checkpoint)
    if not isinstance(model, Sora) or card.spec.world != "arena":
        raise SystemExit(
            f"{options.checkpoint}: expected a sora model of arena, got {card.route} of {card.spec.world!r}"
        )
    items = draw_items(options.items, card.spec.height, options.seed)
    content = {
        "command": f"python experiments/sora_sampling.py CHECKPOINT --items {options.items} --seed {options.seed}",
        "checkpoint": {"command": card.command, "recipe": card.recipe, "seed": card.seed},
        "machine": describe_machine(),
        "items": options.items,
        "true_clips": judged(items, items.video, options.seed),
        "rows": list(measure(model, items, options.seed)),
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
