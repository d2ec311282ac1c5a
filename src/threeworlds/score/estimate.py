"""What a run will take, told before any of it is done: minutes and memory. Rough, and for a machine that is free.

FLOPs take what this machine gives in a matrix product, of which training reaches about TRAINING_SPEED; helper heads
come on top of a budget. Clips and steps depend on the recipe, so their time is not known beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from threeworlds.score.machine import measure_sgemm
from threeworlds.score.trials import TRIAL_SHARE

if TYPE_CHECKING:
    from threeworlds.train import Budget

HELPERS = 0.15  # of a budget, on top of it: helper heads
TRAINING_SPEED = 0.4  # of a matrix product's FLOP/s; docs/training.md measures it by network
TRAINING_MEMORY_MB = 1300  # of the small recipes on arena, docs/log.md
# Seconds of one thread that all questions together take of one model, an item: recipe `base`, frames of 32 pixels, on a
# busy machine (docs/log.md). Smaller models take less.
SECONDS_AN_ITEM = 1.5


def of_clips(frames: float, height: int, width: int) -> str:
    """Disk and memory of so many frames."""
    return f"clips take about {frames * height * width * 3 / 1e6:,.0f} MB on disk, mapped"


def of_films(folder: Path, size: int) -> str:
    """What a folder of films holds, and how long reading it takes. A few of them are opened."""
    from threeworlds.data import survey

    found = survey(folder, size=(size, size))
    if not found.film_seconds:
        return f"{found.films} films, none of those opened says how long it is"
    told = f"{found.films} films, about {minutes(found.film_seconds)} min of them: reading takes about "
    frames = found.film_seconds * 10.0  # of a second, as ingest keeps them
    return f"{told}{minutes(found.reading_seconds)} min; {of_clips(frames, size, size)}"


def of_training(models: int, budgets: Sequence[Budget], trials: int = 0) -> str:
    """Minutes for all models, tuning trials before them, and memory."""
    amount, kind = sum(budget.amount for budget in budgets), budgets[0].kind
    memory = f"a training takes about {TRAINING_MEMORY_MB} MB of memory beyond the clips"
    if kind not in ("seconds", "flops"):
        tried = f", each of {trials} trials for {TRIAL_SHARE:g} of that" if trials else ""
        return f"each model is trained for {amount:g} {kind}{tried}, how long that takes the recipe decides; {memory}"
    seconds = amount if kind == "seconds" else amount / (TRAINING_SPEED * 1e9 * measure_sgemm())
    told = minutes((models + TRIAL_SHARE * trials) * seconds * (1 + HELPERS))
    tried = f" and {trials} trials" if trials else ""
    return f"training takes about {told} min for {models} models{tried}; {memory}"


def of_exam(models: int, items: int, part: float = 1.0) -> str:
    """Minutes for a part of the questions, as if all took as long, on the threads that there are."""
    seconds = models * items * SECONDS_AN_ITEM * part / torch.get_num_threads()
    return f"questions with {items} items to {models} models take about {minutes(seconds)} min"


def minutes(seconds: float) -> str:
    """Rounded as one speaks of them."""
    found = seconds / 60
    return f"{max(found, 0.1):.1f}" if found < 3 else f"{found:.0f}"
