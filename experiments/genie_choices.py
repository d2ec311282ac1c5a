"""Choices of the genie route at equal FLOPs: kinds of latent actions and of labels; kinds of dynamics and of tokenizer.

    python experiments/genie_choices.py actions --flops 2e12
    python experiments/genie_choices.py decoders --flops 8e12
    python experiments/genie_choices.py dynamics --flops 5e12

Each variant changes one thing of recipe ``small``, on the same clips and the same order of batches. ``actions`` trains
latent action models alone and sets their codes beside the true actions; ``decoders`` as well, of a small slow body that
has no speed of its own (``rooms``). ``dynamics`` trains whole routes, whose
tokenizer, latent actions and dynamics get the same part of the FLOPs each; a part that two variants share is trained
once. "no latent action" has a single code, so nothing tells it what was done (the claim that video and action belong
in separate latents). A causal dynamics takes one pass a token, the others a few passes a frame: see ``ms_frame``, for
one clip.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from threeworlds.data import ClipStore
from threeworlds.routes.genie.model import Genie, stages
from threeworlds.routes.genie.recipes import GenieConfig, small
from threeworlds.score import control
from threeworlds.score.clips import generate
from threeworlds.score.exam import EXAM_SEEDS, Entrant, Exam, Measured, build_exam, rows_of
from threeworlds.score.machine import describe_machine
from threeworlds.score.prediction import controls_of, predict, squared_error
from threeworlds.train import Budget, use_machine
from threeworlds.train.loop import Job, train_stage
from threeworlds.types import Stage

EPISODES, HELD_OUT = 2000, 2000
PARTS = {"tokenizer": 0.25, "actions": 0.15, "dynamics": 0.6}  # of a route's FLOPs
CLIPS = {"actions": ("arena", 32), "decoders": ("rooms", 32), "dynamics": ("arena", 32)}  # world, pixels
LABELS = 1500  # steps with true actions: 2 % of those of the training split


def variants(choice: str) -> dict[str, GenieConfig]:
    """Recipe ``small``, and one thing changed."""
    config = small()
    published = replace(config.actions, kind="vq", learning_rate=1e-3)
    transformers = replace(config.tokenizer, kind="spacetime", learning_rate=1e-3)
    choices = {
        "actions": {
            "continuous": config,
            "vq": replace(config, actions=published),
            f"continuous, {LABELS} labels": replace(config, actions=replace(config.actions, labels=LABELS)),
            f"vq, {LABELS} labels": replace(config, actions=replace(published, labels=LABELS)),
        },
        "decoders": {
            f"{decoder}, {frames} seen": replace(config, actions=replace(config.actions, **changes))
            for decoder, frames, changes in (
                ("film", "two frames", {}),
                ("film", "one frame", {"seen": 1}),
                ("kernels", "two frames", {"decoder": "kernels", "reach": 1}),
                ("kernels", "one frame", {"decoder": "kernels", "reach": 1, "seen": 1}),
            )
        },
        "dynamics": {
            "masked": config,
            "causal": replace(config, dynamics=replace(config.dynamics, kind="causal")),
            "diffusion": replace(config, dynamics=replace(config.dynamics, kind="diffusion")),
            "no latent action": replace(config, actions=replace(config.actions, codes=1)),
            "masked, spacetime tokenizer": replace(config, tokenizer=transformers),
        },
    }
    return choices[choice]


class Trainer:
    """Trains variants part by part. What the part before and the config of a part are alike in, is trained once."""

    def __init__(self, store: ClipStore, work: Path, flops: Mapping[str, float], seed: int) -> None:
        """``flops``: of each part that is trained."""
        self.store, self.work, self.flops, self.seed = store, work, flops, seed
        self.trained: dict[tuple[str, Any], tuple[dict[str, Tensor], float]] = {}

    def variant(self, config: GenieConfig) -> tuple[Genie, dict[str, float]]:
        """A trained model, and the seconds of each of its parts."""
        torch.manual_seed(self.seed)
        model = Genie(config, self.store.spec)
        keys = {"tokenizer": config.tokenizer, "actions": config.actions, "dynamics": config}
        seconds = {s.name: self._part(model, s, keys[s.name]) for s in stages(model) if s.name in self.flops}
        return model.eval(), seconds

    def _part(self, model: Genie, stage: Stage, config: Any) -> float:
        key = (stage.name, config)
        if key not in self.trained:
            seconds = self._train(model, stage)
            self.trained[key] = (deepcopy(stage.module.state_dict()), seconds)
        weights, seconds = self.trained[key]
        stage.module.load_state_dict(weights)
        return seconds

    def _train(self, model: Genie, stage: Stage) -> float:
        job = Job(
            stage=stage, everything=nn.ModuleDict({"model": model}), store=self.store, earlier=(),
            budget=Budget(kind="flops", amount=self.flops[stage.name]),
            folder=self.work / f"{stage.name}-{len(self.trained)}", seed=self.seed, device=torch.device("cpu"),
            checkpoint_every=Budget(kind="seconds", amount=600), keep=1, show=True, tensorboard=False,
        )  # fmt: skip
        torch.manual_seed(self.seed)
        return train_stage(job).ledger.seconds


def score_actions(model: Genie, exam: Exam) -> dict[str, Any]:
    """Codes against true actions."""
    return told(control.codes_against_actions(exam, [entrant_of(model)]), exam, model)


def score_route(model: Genie, exam: Exam) -> dict[str, Any]:
    """Errors of guided roll-outs, the control rows, and milliseconds a frame."""
    entrant = entrant_of(model)
    error = squared_error(predict(entrant, exam, controls_of(entrant, exam)), exam.future).mean(0)
    found: dict[str, Any] = {f"mse_h{h}": float(error[h - 1]) for h in exam.horizons}
    found |= told(control.ask(exam, [entrant]).measured, exam, model)
    start = time.perf_counter()
    model.predict(exam.given[:1], 16)
    return {**found, "ms_frame": (time.perf_counter() - start) / 16 * 1000}


def entrant_of(model: Genie) -> Entrant:
    """The model as it sits the exam."""
    return Entrant(route="genie", model=model.eval())


def told(measured: Sequence[Measured], exam: Exam, model: Genie) -> dict[str, Any]:
    """Each metric with its interval."""
    rows = [row for found in measured for row in rows_of(found, exam, [entrant_of(model)])]
    return {row.metric: {"value": row.value, "low": row.low, "high": row.high} for row in rows}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, ask, write JSON and return it."""
    given = parse(arguments)
    use_machine(1)
    given.work.mkdir(parents=True, exist_ok=True)
    world, size = CLIPS[given.choice]
    store = clips(given.work / f"clips-{world}", EPISODES, given.seed, world, size)
    held_out = clips(given.work / f"held-out-{world}", HELD_OUT, EXAM_SEEDS + given.seed, world, size)
    exam = build_exam(held_out, items=min(given.items, len(held_out.split("test"))), seed=given.seed)
    flops = flops_of(given.choice, given.flops)
    shutil.rmtree(given.work / given.choice, ignore_errors=True)  # or what other FLOPs trained would be taken for it
    trainer, rows = Trainer(store, given.work / given.choice, flops, given.seed), []
    score = score_route if given.choice == "dynamics" else score_actions
    result = {
        "benchmark": f"genie-{given.choice}",
        "command": command_of(given),
        "machine": describe_machine(),
        "flops": given.flops,
        "items": len(exam.given),
        "rows": rows,
    }
    out = given.out or Path("results") / f"genie-{given.choice}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    for name, config in variants(given.choice).items():
        model, seconds = trainer.variant(config)
        rows.append({"variant": name, "parameters": sizes(model), "train_seconds": seconds, **score(model, exam)})
        out.write_text(json.dumps(result, indent=1) + "\n")
    return result


def flops_of(choice: str, flops: float) -> dict[str, float]:
    """What each part that is trained may take."""
    shares = PARTS if choice == "dynamics" else {"actions": 1.0}
    return {part: share * flops for part, share in shares.items()}


def sizes(model: Genie) -> dict[str, int]:
    """Parameters of each part."""
    return {stage.name: sum(p.numel() for p in stage.module.parameters()) for stage in stages(model)}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("choice", choices=tuple(CLIPS))
    parser.add_argument("--out", type=Path, help="JSON file; without it, results/genie-CHOICE.json")
    parser.add_argument("--work", type=Path, default=Path("runs/genie-choices"), help="clips and checkpoints")
    parser.add_argument("--flops", type=float, default=5e12, help="of each variant, all trained parts together")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def command_of(given: argparse.Namespace) -> str:
    """What makes these figures again."""
    words = f"--flops {given.flops:g} --items {given.items} --seed {given.seed}"
    return f"python experiments/genie_choices.py {given.choice} {words}"


def clips(path: Path, episodes: int, seed: int, world: str, size: int) -> ClipStore:
    """Clips of a world, made once."""
    if path.exists():
        return ClipStore.open(path)
    return generate(world, path, episodes=episodes, seed=seed, size=size, workers=1)


if __name__ == "__main__":
    main()
