"""Tuning trials: short trainings of a route that differ in its learning rates alone, and the choice among them.

Every route gets as many, of the same factors, each with the same part of the budget, and is asked the same.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from threeworlds.score.exam import Entrant, build_exam
from threeworlds.score.prediction import controls_of, predict, squared_error
from threeworlds.score.result import write_atomically
from threeworlds.types import ClipSpec, Ledger, Predicts

if TYPE_CHECKING:
    from threeworlds.data import ClipStore
    from threeworlds.score.compare import Contestant
    from threeworlds.train import Budget, TrainedRun

TRIAL_SHARE = 0.1  # of the budget, for each trial
FACTORS = (1.0, 0.5, 2.0, 0.25, 4.0)  # on the learning rates of all stages: the recipe's own first, then outwards
# Of frames, since every route shows them and the unit stays the same. The stages' own ``rollout_error`` would not do:
# jepa's is measured in the state it has learnt, which is another one in every trial.
PROTOCOL = "squared error of predicted frames, all horizons alike, of validation clips, given what prediction/mse gives"

logger = logging.getLogger(__name__)


class Train(Protocol):
    def __call__(self, budget: Budget, out: Path, rate: float) -> TrainedRun: ...


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial, and what it cost: all stages, helper heads and the look at validation clips."""

    factor: float  # on learning rates
    error: float | None  # None: its loss or its frames were no numbers
    flops: float
    seconds: float


def factors(trials: int) -> tuple[float, ...]:
    """What the learning rates are multiplied by, the recipe's own always among them. ValueError for 1 or above 5."""
    if trials != 0 and not 2 <= trials <= len(FACTORS):
        raise ValueError(f"trials {trials}: 2 to {len(FACTORS)} for each route, or 0 for none")
    return FACTORS[:trials]


def check_trials(out: Path, trials: int, entries: Mapping[str, Contestant], spec: ClipSpec) -> Path:
    """The folder of the trials of a comparison; all that can be known to go wrong is said before any is trained.

    Raises:
        ResumeError: what is in ``out`` was made with other trials.
        ValueError: a model shows no frames.
    """
    from threeworlds.routes import get_route
    from threeworlds.train import ResumeError

    folder = out / f"trials-{trials}"
    others = sorted(path.name for path in out.glob("trials-*") if path != folder)
    if others or (trials and (out / "models").exists() and not folder.exists()):
        before = others[0].removeprefix("trials-") if others else 0
        raise ResumeError(f"{out} holds another run, so it cannot be resumed: trials was {before}, now {trials}")
    for name, entry in entries.items() if trials else ():
        with torch.device("meta"):
            model = get_route(entry.route).build(entry.config, spec)
        if not isinstance(model, Predicts):
            raise ValueError(f"{name} shows no frames, by which trials are told apart: leave out --trials")
    return folder


def tune(train: Train, trials: int, store: ClipStore, budget: Budget, folder: Path) -> Mapping[str, Any]:
    """Train the trials of one route in ``folder``, or take those that are there, and choose.

    Returns "chosen", the factor; "tried", each :class:`Trial` as a mapping; "flops" and "seconds" of them all; and
    "protocol", what was compared.
    """
    tried = [_try(train, factor, store, budget.scaled(TRIAL_SHARE), folder) for factor in factors(trials)]
    best = min(tried, key=lambda trial: math.inf if trial.error is None else trial.error)  # of equals the first
    logger.info("%s: learning rates times %g", folder.name, best.factor)
    spent = {"flops": sum(trial.flops for trial in tried), "seconds": sum(trial.seconds for trial in tried)}
    found = {"chosen": best.factor, "tried": [asdict(trial) for trial in tried], **spent, "protocol": PROTOCOL}
    write_atomically(folder / "trials.json", json.dumps(found, indent=1) + "\n")
    return found


def _try(train: Train, factor: float, store: ClipStore, budget: Budget, folder: Path) -> Trial:
    """One trial. Of a finished one the weights are only read, which makes sure that it is of the same settings."""
    from threeworlds.train import TrainingError
    from threeworlds.train.ledger import total_ledger

    out = folder / f"rate-{factor:g}"
    logger.info("trial of %s, learning rates times %g, for %s", folder.name, factor, budget)
    try:
        run = train(budget, out, factor)
        spent = total_ledger(run.ledger.values(), 0)
    except TrainingError as caught:  # too high a rate for this route, and found out at this cost
        logger.warning("%s", caught)
        run, spent = None, caught.spent
    file = out / "trial.json"
    if not file.exists():  # once, so that a run that goes on chooses the same
        error, look = free_error(run, store) if run else (None, Ledger())
        trial = Trial(factor=factor, error=error, flops=spent.flops + look.flops, seconds=spent.seconds + look.seconds)
        write_atomically(file, json.dumps(asdict(trial)) + "\n")
    return Trial(**json.loads(file.read_text()))


def free_error(run: TrainedRun, store: ClipStore) -> tuple[float | None, Ledger]:
    """PROTOCOL of a trained model, None where its frames are no numbers; and what it cost to find out."""
    from threeworlds.train import load_model
    from threeworlds.train.cache import LOOK
    from threeworlds.train.ledger import FlopMeter

    start, meter = time.monotonic(), FlopMeter()
    model, card = load_model(run.path)
    exam = build_exam(store, items=LOOK, seed=card.seed, split="val", probes=1)  # nothing here is fitted
    entrant = Entrant(route=card.route, model=model)
    video = meter.run("look", lambda: predict(entrant, exam, controls_of(entrant, exam)))
    error = float(squared_error(video, exam.future).mean())
    spent = Ledger(flops=meter.total, seconds=time.monotonic() - start)
    return error if math.isfinite(error) else None, spent
