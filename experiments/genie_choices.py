"""Kinds of dynamics, and the route without a latent action, at equal FLOPs on one tokenizer.

    python experiments/genie_choices.py --items 100

The tokenizer and the latent action model are trained once. Then each variant's dynamics gets the same FLOPs on the
same clips, tokens and order of batches, and all are asked the same control questions on held-out episodes. "no latent
action" has a single code, so nothing tells it what was done (the claim that video and action belong in separate
latents). A causal dynamics takes one pass a token, the others a few passes a frame: see ``ms_frame``, for one clip.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from threeworlds.data import ClipStore
from threeworlds.routes import get_route
from threeworlds.routes.genie.model import Genie
from threeworlds.routes.genie.recipes import GenieConfig, small
from threeworlds.score import control
from threeworlds.score.clips import generate
from threeworlds.score.exam import EXAM_SEEDS, Entrant, Exam, build_exam, rows_of
from threeworlds.score.machine import describe_machine
from threeworlds.score.prediction import controls_of, predict, squared_error
from threeworlds.train import Budget, use_machine
from threeworlds.train.loop import Job, train_stage

EPISODES, HELD_OUT = 1000, 1000


def variants() -> dict[str, GenieConfig]:
    config = small()
    kinds = {
        kind: replace(config, dynamics=replace(config.dynamics, kind=kind))
        for kind in ("masked", "causal", "diffusion")
    }
    return {**kinds, "no latent action": replace(config, actions=replace(config.actions, codes=1))}


def train(
    model: Genie, stages: Sequence[str], flops: Sequence[float], store: ClipStore, folder: Path, seed: int
) -> float:
    """Train some stages; the seconds of the last."""
    seconds = 0.0
    for stage in get_route("genie").stages(model):
        if stage.name in stages:
            job = Job(
                stage=stage, everything=nn.ModuleDict({"model": model}), store=store, earlier=(),
                budget=Budget(kind="flops", amount=flops[stages.index(stage.name)]), folder=folder / stage.name,
                seed=seed, device=torch.device("cpu"), checkpoint_every=Budget(kind="seconds", amount=600), keep=1,
                show=True, tensorboard=False,
            )  # fmt: skip
            torch.manual_seed(seed)
            seconds = train_stage(job).ledger.seconds
    return seconds


def score(model: Genie, exam: Exam) -> dict[str, Any]:
    """Errors of guided roll-outs, the control rows, and milliseconds a frame."""
    entrant = Entrant(route="genie", model=model.eval())
    error = squared_error(predict(entrant, exam, controls_of(entrant, exam)), exam.future).mean(0)
    found: dict[str, Any] = {f"mse_h{h}": float(error[h - 1]) for h in exam.horizons}
    for measured in control.ask(exam, [entrant]).measured:
        for row in rows_of(measured, exam, [entrant]):
            found[row.metric] = {"value": row.value, "low": row.low, "high": row.high}
    start = time.perf_counter()
    model.predict(exam.given[:1], 16)
    return {**found, "ms_frame": (time.perf_counter() - start) / 16 * 1000}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, ask, write JSON and return it."""
    given = parse(arguments)
    use_machine(1)
    given.work.mkdir(parents=True, exist_ok=True)
    store = clips(given.work / "clips", EPISODES, given.seed)
    held_out = clips(given.work / "held-out", HELD_OUT, EXAM_SEEDS + given.seed)
    exam = build_exam(held_out, items=min(given.items, len(held_out.split("test"))), seed=given.seed)
    rows, first = [], None
    for name, config in variants().items():
        torch.manual_seed(given.seed)
        model = Genie(config, store.spec)
        if first is None:
            first = model
            train(model, ("tokenizer",), (0.5 * given.flops,), store, given.work / "parts", given.seed)
        model.tokenizer.load_state_dict(first.tokenizer.state_dict())
        folder = given.work / name.replace(" ", "-")
        train(model, ("actions",), (0.25 * given.flops,), store, folder, given.seed)
        seconds = train(model, ("dynamics",), (given.flops,), store, folder, given.seed)
        size = sum(p.numel() for p in model.dynamics.parameters())
        rows.append({"variant": name, "parameters": size, "train_seconds": seconds, **score(model, exam)})
    result = {
        "benchmark": "genie-choices",
        "command": command_of(given),
        "machine": describe_machine(),
        "flops": given.flops,
        "items": len(exam.given),
        "rows": rows,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    return result


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/genie-choices.json"))
    parser.add_argument("--work", type=Path, default=Path("runs/genie-choices"), help="clips and checkpoints")
    parser.add_argument("--flops", type=float, default=6e12, help="of each dynamics")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def command_of(given: argparse.Namespace) -> str:
    """What makes these figures again."""
    return f"python experiments/genie_choices.py --flops {given.flops:g} --items {given.items} --seed {given.seed}"


def clips(path: Path, episodes: int, seed: int) -> ClipStore:
    """Clips of the arena, made once."""
    return ClipStore.open(path) if path.exists() else generate("arena", path, episodes=episodes, seed=seed, workers=1)


if __name__ == "__main__":
    main()
