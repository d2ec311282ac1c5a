"""The loop: one stage of a route, trained under its budget, stopped and resumed at any moment.

Order of a stage: prepare, cache, steps (with free roll-outs in the second half), averaged weights, finish.
What ``prepare`` and ``finish`` find out must live in parameters or persistent buffers: nothing else is kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from threeworlds.data import ClipStore, Turns, Windows
from threeworlds.train.budget import Budget
from threeworlds.train.cache import Cache, looked_at, open_or_make
from threeworlds.train.checkpoint import (
    FINISHED,
    Checkpoint,
    latest_checkpoint,
    prune_checkpoints,
    step_name,
    write_checkpoint,
)
from threeworlds.train.ledger import FlopMeter, peak_memory_mb, reset_peak_memory
from threeworlds.train.log import Lines, Reporter, logger, open_board, read_curve
from threeworlds.train.machine import autocast, place_batch
from threeworlds.train.model_files import unique_state
from threeworlds.train.optim import (
    Average,
    build_optimizer,
    copy_into,
    learning_rate,
    optimizer_tensors,
    restore_optimizer,
    trainable,
)
from threeworlds.types import Batch, Bucket, Ledger, Stage

LARGE = 32  # batches in the large batch that ``prepare`` and ``finish`` get
# Parts of the budget after which free roll-outs choose among the averaged weights: never early, always at the end.
ROLLOUTS = (0.5, 0.625, 0.75, 0.875, 1.0)
_APART = 1_000_003  # between the seeds of buckets, whose windows are not to show the same episodes at the same time
_WHOLE = 1 - 1e-9  # 0.1 of 300 steps is 30, not 30.000000000000004


class TrainingError(RuntimeError):
    """Training cannot go on: the loss or its gradient is no longer a number."""

    spent = Ledger()  # until then, by all stages


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a stage needs to be trained."""

    stage: Stage
    everything: nn.Module  # the whole model and every stage's module: what a checkpoint holds
    store: ClipStore
    earlier: tuple[Job, ...]  # the stages before it: their cached arrays are there for this one
    budget: Budget
    folder: Path
    seed: int
    device: torch.device
    checkpoint_every: Budget  # of seconds or steps
    keep: int  # checkpoints
    show: bool  # progress
    tensorboard: bool


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a stage; the weights are in its module."""

    ledger: Ledger
    curve: Mapping[str, list[float]]


def train_stage(job: Job) -> Trained:
    """Train a stage, or take it up where its last checkpoint left it, or only load it if it is finished."""
    found = latest_checkpoint(job.folder)
    if found is not None and found.state["finished"]:
        load_finished(job.everything, found)
        return Trained(ledger=read_ledger(found), curve=found.state["curve"])
    loop = _Loop(job, found)
    try:
        loop.run()
        return loop.finish()
    finally:
        loop.close()


def load_finished(everything: nn.Module, checkpoint: Checkpoint) -> None:
    """Put a finished stage's weights, and those of all before it, in place."""
    copy_into(unique_state(everything), _under("weights.", checkpoint.tensors))


def read_ledger(checkpoint: Checkpoint) -> Ledger:
    """The ledger as it stood at a checkpoint."""
    ledger = checkpoint.state["ledger"]
    return Ledger(**{**ledger, "supervision": tuple(ledger["supervision"])})


def open_cache(job: Job, spent: Callable[[float], float], count: int | None = None) -> Cache | None:
    """What the stage's ``cache`` makes of the clips; ``count`` episodes of them, where it is known."""
    return open_or_make(
        job.folder / "cache",
        job.stage,
        job.store,
        device=job.device,
        spent=spent,
        seed=job.seed,
        count=count,
        show=job.show,
    )


def cache_again(job: Job) -> Cache | None:
    """The cache of a stage that is finished, made again, at nobody's cost, where a resumed run has lost it."""
    found = latest_checkpoint(job.folder) if job.stage.cache is not None else None
    return open_cache(job, lambda _: 0.0, found.state.get("cached") if found else None)


def _number(value: Tensor | float) -> float:
    return value.item() if isinstance(value, Tensor) else float(value)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def _train_mode(module: nn.Module) -> None:
    """Train mode, but for frozen parts: their normalisation statistics and dropout are no business of this stage."""
    module.train()
    for part in module.modules():
        parameters = list(part.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            part.eval()


@contextmanager
def _own_draws(seed: int) -> Iterator[None]:
    """Within: draws from a generator of its own; after: training goes on as if nothing had been drawn."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


class _Loop:
    """The state of a stage in training."""

    def __init__(self, job: Job, found: Checkpoint | None) -> None:
        self.job, self.stage = job, job.stage
        self.started = time.monotonic()
        self.spent_before = 0.0  # seconds, in processes before this one
        self.parameters = trainable(self.stage.module)
        self.ledger = Ledger(parameters=sum(p.numel() for p in self.parameters.values()))
        self.meter = FlopMeter()
        self.best: dict[str, Tensor] = {}
        self.best_errors = torch.zeros(0)  # of the validation clips, one by one
        self.caches = [cache for before in job.earlier if (cache := cache_again(before)) is not None]
        job.folder.mkdir(parents=True, exist_ok=True)
        reset_peak_memory()
        job.everything.eval()
        if found is None:
            self._begin()
        else:
            self._restore(found)
        self.bar = Reporter(self.stage.name, job.show)
        self.board = open_board(job.folder, self.ledger.steps) if job.tensorboard else None

    # -- beginning ---------------------------------------------------------------------------------

    def _begin(self) -> None:
        torch.manual_seed(self.job.seed)
        self._call_with_large_batch("prepare", self.stage.prepare)
        self._open_cache()
        self._open_data()
        self.optimizer = build_optimizer(self.parameters, self.stage.optim)
        self.average = Average(self.parameters, self.stage.optim.ema)
        self.lines = Lines(self.job.folder / "metrics.jsonl")
        self.timing = Lines(self.job.folder / "timing.jsonl")
        self._spend()
        self._save()
        if self.progress >= _WHOLE:
            logger.warning("%s: preparing it used up its whole budget of %s", self.stage.name, self.job.budget)

    def _restore(self, found: Checkpoint) -> None:
        tensors, state = found.tensors, found.state
        copy_into(unique_state(self.job.everything), _under("weights.", tensors))
        self._open_cache(state.get("cached"))
        self._open_data()
        self.optimizer = build_optimizer(self.parameters, self.stage.optim)
        restore_optimizer(self.optimizer, self.parameters, _under("optimizer.", tensors))
        self.average = Average(self.parameters, self.stage.optim.ema)
        copy_into(self.average.weights, _under("average.", tensors))
        self.best, self.best_errors = _under("best.", tensors), tensors.get("best_errors", torch.zeros(0))
        self.meter = FlopMeter(state["flops_known"])
        self.ledger = read_ledger(found)
        self.meter.total, self.spent_before = self.ledger.flops, self.ledger.seconds
        self.lines = Lines(self.job.folder / "metrics.jsonl", state["metrics_bytes"])
        self.timing = Lines(self.job.folder / "timing.jsonl", state["timing_bytes"])
        self.saved = self.ledger
        _set_draws(_under("draws.", tensors))

    def _open_data(self) -> None:
        shapes = [self._windows("train", bucket, number) for number, bucket in enumerate(self.buckets)]
        self.windows = Turns(shapes, self.job.seed)
        sources = ("video" if column in self.cached else column for column in self.stage.columns)  # caches are of video
        self.ledger = replace(self.ledger, supervision=tuple(dict.fromkeys((*sources, *self.stage.pretrained))))
        self.validation: Batch | None = None
        if self.stage.rollout_error is not None:
            columns = tuple(dict.fromkeys((*self.stage.columns, "video")))
            windows = self._windows("val", replace(self._whole, columns=columns))
            self.validation = place_batch(windows.fixed(looked_at(self.stage), self.job.seed), self.job.device)

    def _open_cache(self, count: int | None = None) -> None:
        """This stage's own; it costs what it costs, whether it is made now or was before a run was killed."""
        made = open_cache(self.job, self._spent_with, count)
        if made is not None:
            self.caches.append(made)
            self.meter.total += made.flops

    def _spent_with(self, flops: float) -> float:
        self._spend()
        return self.job.budget.progress(replace(self.ledger, flops=self.ledger.flops + flops))

    @property
    def cached(self) -> dict[str, np.ndarray]:
        return {name: array for cache in self.caches for name, array in cache.arrays.items()}

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """The shapes that steps take in turns; most stages have one."""
        return self.stage.buckets or (self._whole,)

    @property
    def _whole(self) -> Bucket:
        stage = self.stage
        return Bucket(name="step", frames=stage.frames, batch_size=stage.batch_size, columns=stage.columns)

    def _windows(self, split: str, bucket: Bucket, number: int = 0) -> Windows:
        columns = bucket.columns
        used = [cache for cache in self.caches if set(cache.arrays) & set(columns)]
        return Windows(
            self.job.store,
            split=split,
            among=reduce(np.intersect1d, [cache.episodes for cache in used]) if used else None,
            frames=bucket.frames,
            stride=self.stage.stride,
            batch_size=bucket.batch_size,
            seed=self.job.seed + _APART * number,
            columns=columns,
            cached={name: array for name, array in self.cached.items() if name in columns},
            at_captions=self.stage.at_captions,
        )

    def _call_with_large_batch(self, name: str, function: Callable[[Batch], None] | None) -> None:
        """``prepare`` runs before the stage's own arrays are made, so it sees the video and what there is by then."""
        if function is None:
            return
        known = ("video", "action", "state", "caption", *self.cached)
        columns = tuple(dict.fromkeys(("video", *(c for c in self.stage.columns if c in known))))
        windows = self._windows("train", replace(self._whole, columns=columns))
        batch = windows.fixed(LARGE * self.stage.batch_size, self.job.seed)
        with torch.no_grad():
            self.meter.run(name, lambda: autocast(self.job.device, function, place_batch(batch, self.job.device)))

    # -- steps -------------------------------------------------------------------------------------

    @property
    def progress(self) -> float:
        return self.job.budget.progress(self.ledger)

    def run(self) -> None:
        """Steps until the budget is spent."""
        _train_mode(self.stage.module)
        while self.progress < _WHOLE:
            before = self.progress
            loss = self._step()
            if self.validation is not None and any(before < point <= self.progress + 1e-9 for point in ROLLOUTS):
                self._roll_out(self.validation)
            self._spend()
            if self.job.checkpoint_every.progress(self._since_saved()) >= 1:
                self._save()
            self.bar.update(self.progress, self._note(loss))

    def _step(self) -> float:
        step = self.ledger.steps
        rate = learning_rate(self.stage.optim, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = place_batch(self.windows.batch(step), self.job.device)
        kind = self.buckets[self.windows.turn(step)[0]].name
        loss, metrics = self.meter.run(kind, lambda: self._forward_backward(batch))
        norm = float(nn.utils.clip_grad_norm_(self.parameters.values(), self.stage.optim.clip))
        self._check_finite(loss, norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ledger = replace(self.ledger, steps=step + 1, clips=self.ledger.clips + self.windows.clips(step))
        self.average.update(step + 1)
        self._spend()
        self._log({"loss": loss, "learning_rate": rate, "gradient_norm": norm, **metrics})
        return loss

    def _log(self, values: Mapping[str, float]) -> None:
        self.lines.write({"step": self.ledger.steps, "clips": self.ledger.clips, **values})
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, self.ledger.steps)

    def _forward_backward(self, batch: Batch) -> tuple[float, dict[str, float]]:
        try:
            loss, metrics = autocast(self.job.device, self.stage.module, batch)
        except torch.linalg.LinAlgError:  # of values that are no longer numbers: torch will not decompose them
            return math.nan, {}
        loss.backward()
        return loss.item(), {name: _number(value) for name, value in metrics.items()}

    def _check_finite(self, loss: float, norm: float) -> None:
        if not math.isfinite(loss) or not math.isfinite(norm):
            self._spend()
            step = self.ledger.steps
            episodes, starts = self.windows.index(step)
            error = TrainingError(
                f"stage {self.stage.name}, step {step + 1}: loss {loss}, gradient norm {norm}. The batch is number "
                f"{step} of seed {self.job.seed}: episodes {episodes.tolist()} from frames {starts.tolist()}"
            )
            error.spent = self.ledger
            raise error

    def _roll_out(self, validation: Batch) -> None:
        """Keep the averaged weights unless they roll out separably worse than those kept so far."""
        assert self.stage.rollout_error is not None
        function = self.stage.rollout_error
        self.stage.module.eval()
        with self.average.applied(), torch.no_grad(), _own_draws(self.job.seed):
            found = self.meter.run("rollout", lambda: autocast(self.job.device, function, validation))
            errors = torch.as_tensor(found, dtype=torch.float64).flatten().cpu()
            if not self.best or not separably_worse(errors, self.best_errors):
                self.best_errors = errors
                self.best = {name: value.detach().clone() for name, value in self._weights().items()}
        _train_mode(self.stage.module)
        self._log({"rollout_error": float(errors.mean())})

    def _weights(self) -> dict[str, Tensor]:
        return unique_state(self.stage.module)

    def _spend(self) -> None:
        seconds = self.spent_before + time.monotonic() - self.started
        self.ledger = replace(self.ledger, seconds=seconds, flops=self.meter.total)

    def _since_saved(self) -> Ledger:
        return Ledger(
            steps=self.ledger.steps - self.saved.steps,
            seconds=self.ledger.seconds - max(self.saved.seconds, self.spent_before),
        )

    def _note(self, loss: float) -> str:
        rate = self.ledger.clips / max(self.ledger.seconds, 1e-9)
        return f"loss {loss:.4g}, {rate:.0f} clips/s"

    # -- ending ------------------------------------------------------------------------------------

    def finish(self) -> Trained:
        """Put the chosen weights in place for good and mark the stage as finished."""
        chosen = self.best or {**self._weights(), **self.average.weights}
        copy_into(self._weights(), chosen)
        self.stage.module.eval()
        torch.manual_seed(self.job.seed)
        self._call_with_large_batch("finish", self.stage.finish)
        self._spend()
        self._note_peak()
        self.ledger = replace(self.ledger, unique_clips=self.windows.episodes_seen(self.ledger.steps))
        self.lines.size()
        curve = read_curve(self.job.folder / "metrics.jsonl")
        state = {"finished": True, "ledger": asdict(self.ledger), "curve": curve, "cached": self._own_episodes()}
        weights = _prefixed("weights.", unique_state(self.job.everything))
        write_checkpoint(self.job.folder, FINISHED, Checkpoint(tensors=weights, state=state))
        return Trained(ledger=self.ledger, curve=curve)

    def close(self) -> None:
        """Close files and bar."""
        self.bar.close()
        if self.board:
            self.board.close()
        self.lines.close()
        self.timing.close()

    def _note_peak(self) -> None:
        self.ledger = replace(self.ledger, peak_memory_mb=max(self.ledger.peak_memory_mb, peak_memory_mb()))

    def _own_episodes(self) -> int | None:
        """How many episodes this stage's cache holds."""
        return len(self.caches[-1].episodes) if self.stage.cache is not None else None

    def _save(self) -> None:
        self._note_peak()
        seconds = max(self.ledger.seconds, 1e-9)
        self.timing.write(
            {"step": self.ledger.steps, "seconds": seconds, "clips_per_second": self.ledger.clips / seconds}
        )
        tensors = {
            **_prefixed("weights.", unique_state(self.job.everything)),
            **_prefixed("average.", self.average.weights),
            **_prefixed("optimizer.", optimizer_tensors(self.optimizer, self.parameters)),
            **_prefixed("best.", self.best),
            "best_errors": self.best_errors,
            **_prefixed("draws.", _draws()),
        }
        state = {
            "finished": False,
            "ledger": asdict(self.ledger),
            "flops_known": self.meter.known,
            "cached": self._own_episodes(),
            "metrics_bytes": self.lines.size(),
            "timing_bytes": self.timing.size(),
        }
        write_checkpoint(self.job.folder, step_name(self.ledger.steps), Checkpoint(tensors=tensors, state=state))
        prune_checkpoints(self.job.folder, self.job.keep)
        self.saved = self.ledger


def separably_worse(later: Tensor, before: Tensor) -> bool:
    """Whether errors of the same clips grew, on average, by more than two standard errors of their paired difference.

    Weights that were trained for longer are kept where the two cannot be told apart: the least of several noisy errors
    is often an early one by luck.
    """
    grown = later - before
    doubt = grown.std() / len(grown) ** 0.5 if len(grown) > 1 else 0.0
    return bool(grown.mean() > 2 * doubt) or not bool(later.isfinite().all())


def _draws() -> dict[str, Tensor]:
    """State of torch's default generators."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _set_draws(states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
