"""A run: all stages of a route in turn, each in its own folder, and the model they make."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import nn

from threeworlds.data import ClipStore
from threeworlds.train.budget import Budget
from threeworlds.train.ledger import total_ledger
from threeworlds.train.loop import Job, Trained, TrainingError, train_stage
from threeworlds.train.machine import best_device, place_model
from threeworlds.train.model_files import Card, save_model
from threeworlds.train.optim import trainable
from threeworlds.types import Ledger, Route, Stage

_EVERY_MINUTE = Budget(kind="seconds", amount=60)


class ResumeError(ValueError):
    """A folder holds another run than the one asked for."""


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A trained model and what it cost."""

    model: nn.Module  # averaged weights in place, eval mode
    ledger: Mapping[str, Ledger]  # stage -> Ledger
    total: Ledger  # without helper stages
    curves: Mapping[str, Mapping[str, list[float]]]  # stage -> {"clips": [...], "loss": [...]}
    path: Path  # holds the model's files: see :func:`load_model`


def train_route(
    route: Route,
    *,
    recipe: str,
    config: Any,
    store: ClipStore,
    budget: Budget,
    out: Path,
    seed: int = 0,
    rate: float = 1.0,
    resume: bool = False,
    progress: bool = True,
    helper_share: float = 0.15,
    checkpoint_every: Budget = _EVERY_MINUTE,
    keep: int = 2,
    tensorboard: bool = False,
) -> TrainedRun:
    """Train a route's stages in turn and write the model into ``out``.

    Each stage gets its share of the budget, shared costs included (preparing, caching, choosing). Helper stages
    divide ``helper_share`` of the budget among them, on top of it. With clips, FLOPs or steps as the budget, the
    same arguments give the same metrics and the same weights, bit for bit, on one device and thread count.

    Args:
        rate: factor on the learning rates of all stages.

    Raises:
        ValueError: ``rate`` is no number above 0.
        ResumeError: ``out`` holds a run and ``resume`` is False, or the run in it was started otherwise.
        CheckpointError: a stage has checkpoints, none of them usable.
        TrainingError: the loss is no longer a number.
    """
    _claim_folder(out, _facts(route, recipe, config, store, budget, helper_share, seed) | _rate_fact(rate), resume)
    torch.manual_seed(seed)
    model = route.build(config, store.spec)
    stages = [_at_rate(stage, rate) for stage in route.stages(model)]
    budgets = stage_budgets(stages, budget, helper_share)
    common = _Common(
        everything=nn.ModuleDict({"model": model, "stages": nn.ModuleList([stage.module for stage in stages])}),
        store=store,
        seed=seed,
        device=best_device(),
        checkpoint_every=checkpoint_every,
        keep=keep,
        show=progress,
        tensorboard=tensorboard,
    )
    trained = _train_stages(stages, budgets, out, common)
    run = _summary(model.eval(), stages, trained, out)
    card = Card(
        route=route.name,
        recipe=recipe,
        config=config,
        spec=store.spec,
        seed=seed,
        data_hash=store.hash,
        split_hash=store.split_hash,
        ledger={**run.ledger, "total": run.total},
        command=_command(route, recipe, config, budget, seed, rate),
    )
    save_model(out, model, card)
    return run


class _Common(TypedDict):
    """What every job of a run has alike."""

    everything: nn.Module
    store: ClipStore
    seed: int
    device: torch.device
    checkpoint_every: Budget
    keep: int
    show: bool
    tensorboard: bool


def _train_stages(stages: list[Stage], budgets: Mapping[str, Budget], out: Path, common: _Common) -> dict[str, Trained]:
    """Each stage in its own folder, in turn. What earlier stages cached is only of use to a resumed run, so it goes."""
    place_model(common["everything"], common["device"])
    trained: dict[str, Trained] = {}
    jobs: list[Job] = []
    for number, stage in enumerate(stages):
        folder = out / f"{number:02d}-{stage.name}"
        jobs.append(Job(stage=stage, earlier=tuple(jobs), budget=budgets[stage.name], folder=folder, **common))
        try:
            trained[stage.name] = train_stage(jobs[-1])
        except TrainingError as error:
            error.spent = total_ledger([*(done.ledger for done in trained.values()), error.spent], 0)
            raise
    for job in jobs:
        shutil.rmtree(job.folder / "cache", ignore_errors=True)
    return trained


def _facts(
    route: Route, recipe: str, config: Any, store: ClipStore, budget: Budget, helper_share: float, seed: int
) -> dict[str, Any]:
    """What makes a run the one it is: a resumed run must be started with the same."""
    return {
        "route": route.name,
        "recipe": recipe,
        "config": asdict(config),
        "data_hash": store.hash,
        "split_hash": store.split_hash,
        "budget": str(budget),
        "helper_share": helper_share,
        "seed": seed,
    }


def _rate_fact(rate: float) -> dict[str, float]:
    """Nothing where rates are the recipe's own: runs from before there was a factor resume."""
    if not 0 < rate < math.inf:
        raise ValueError(f"rate {rate}: a factor on learning rates is a number above 0")
    return {} if rate == 1 else {"rate": rate}


def _at_rate(stage: Stage, rate: float) -> Stage:
    return replace(stage, optim=replace(stage.optim, learning_rate=rate * stage.optim.learning_rate))


def stage_budgets(stages: list[Stage], budget: Budget, helper_share: float) -> dict[str, Budget]:
    """Budget of each stage by name; a ValueError if names or shares are not as they must be."""
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names) or not all(re.fullmatch(r"[a-z0-9_-]+", name) for name in names):
        raise ValueError(f"stage names {names}: expected different names of a-z, 0-9, _ and -")
    if not all(stage.share > 0 for stage in stages):
        told = ", ".join(f"{stage.name} {stage.share:g}" for stage in stages)
        raise ValueError(f"shares of the budget: {told}; each must be above 0")
    own = sum(stage.share for stage in stages if not stage.helper)
    if abs(own - 1) > 1e-6:
        raise ValueError(f"the stages' shares of the budget add up to {own:g}, expected 1: {names}")
    helpers = sum(stage.share for stage in stages if stage.helper)
    parts = {s.name: s.share / helpers * helper_share if s.helper else s.share for s in stages}
    return {name: budget.scaled(part) for name, part in parts.items()}


def _summary(model: nn.Module, stages: list[Stage], trained: Mapping[str, Trained], out: Path) -> TrainedRun:
    own = [stage for stage in stages if not stage.helper]
    weights = {id(p): p.numel() for stage in own for p in trainable(stage.module).values()}
    return TrainedRun(
        model=model,
        ledger={name: part.ledger for name, part in trained.items()},
        total=total_ledger([trained[stage.name].ledger for stage in own], sum(weights.values())),
        curves={name: part.curve for name, part in trained.items()},
        path=out,
    )


def _claim_folder(out: Path, facts: Mapping[str, Any], resume: bool) -> None:
    """Write down what run this is, or make sure that it is the one already there."""
    file = out / "run.json"
    if not file.exists():
        out.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        temporary.write_text(json.dumps(facts, indent=1) + "\n")
        temporary.rename(file)
        return
    if not resume:
        raise ResumeError(f"{out} holds a run already: resume it, or choose another folder")
    before = json.loads(file.read_text())
    changes = _changes(before, json.loads(json.dumps(facts)))
    if changes:
        listed = "; ".join(f"{key} was {old!r}, now {new!r}" for key, old, new in changes)
        raise ResumeError(f"{out} holds another run, so it cannot be resumed: {listed}")


def _changes(before: Any, now: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted key, before, now) of what differs between two JSON values."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(before.keys() | now.keys())
        return [x for key in keys for x in _changes(before.get(key), now.get(key), f"{where}.{key}".strip("."))]
    return [] if before == now else [(where, before, now)]


def _command(route: Route, recipe: str, config: Any, budget: Budget, seed: int, rate: float) -> str:
    """What trains this model again, given clips of the same hash."""
    changes = _changes(asdict(route.recipes[recipe]()), asdict(config))
    texts = [(key, ",".join(map(str, value)) if isinstance(value, tuple) else value) for key, _, value in changes]
    settings = [f"--set {shlex.quote(f'{key}={value}')}" for key, value in texts]
    options = f"--data CLIPS --recipe {recipe} --budget {budget} --seed {seed}"
    settings += [f"--{name} {value}" for name, value in _rate_fact(rate).items()]
    return " ".join(["threeworlds train", route.name, options, *settings])
