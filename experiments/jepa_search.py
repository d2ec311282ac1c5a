"""What each part of a search is worth: which one, from an actor's proposal or from nothing, with a warm start or not.

    python experiments/jepa_search.py zoo/rooms-jepa-rooms --items 100 --out results/jepa-search.json

Every row has the same world model, critic and effort, and the same tasks, drawn from a seed that no exam uses. A warm
start is what is left of the last plan, its last action held on. A row that is in the file already is not made again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from threeworlds.planning import SEARCHES
from threeworlds.routes.jepa.model import Jepa
from threeworlds.score.exam import Entrant, Exam
from threeworlds.score.machine import describe_machine
from threeworlds.score.planning import EXECUTED, SETTINGS, Setting, attempt, by_search, draw_tasks, time
from threeworlds.score.stats import wilson
from threeworlds.train import load_model, use_machine
from threeworlds.types import Batch, ClipSpec
from threeworlds.worlds import WORLDS

SEED = 31  # of tasks that no exam draws
ASKED = tuple(setting for setting in SETTINGS if setting.offset == 25)  # one wall, and walls anywhere


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to search."""

    search: str
    actor: bool  # a search begins from the actor's proposal, else from no action at all
    executed: int  # steps of a plan before the next
    warm: bool


def ways(own: str) -> Iterator[Way]:
    """Every search from an actor and from nothing; the model's own also with a warm start, and with a plan a step."""
    for actor in (True, False):
        yield from (Way(search=name, actor=actor, executed=EXECUTED, warm=False) for name in SEARCHES)
        yield Way(search=own, actor=actor, executed=EXECUTED, warm=True)
        yield from (Way(search=own, actor=actor, executed=1, warm=warm) for warm in (False, True))


def light_exam(spec: ClipSpec, items: int) -> Exam:
    """As much of an exam as planning needs: the world, and how many tasks."""
    empty = Batch(video=torch.zeros(items, 1, 3, 1, 1))
    return Exam(spec=spec, world=WORLDS[spec.world], test=empty, train=empty, seed=SEED)


def measure(model: Jepa, exam: Exam, setting: Setting, way: Way) -> dict[str, Any]:
    """Success at the end and ever, each with Wilson's interval, and milliseconds of one search."""
    searching = deepcopy(model)
    if not way.actor:
        searching.actor = None
    entrant = Entrant(route="jepa", model=searching, untrained=searching)
    agent = partial(by_search, entrant, exam, way.executed, warm=way.warm, search=way.search)
    assert exam.world is not None
    tasks = draw_tasks(exam, setting)
    reached = attempt(exam.world, tasks, setting.budget, agent())
    took = time(agent, tasks)
    return {
        **{name: counted(won) for name, won in zip(("success", "ever"), reached, strict=True)},
        "ms": {name: float(np.quantile(took, q)) for name, q in (("value", 0.5), ("low", 0.25), ("high", 0.75))},
    }


def counted(won: np.ndarray) -> dict[str, float]:
    """The part that is 1 of [n], with its interval."""
    interval = wilson(int(won.sum()), len(won))
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Make the rows that are missing in ``--out``, write it after each of them, and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write, or to go on with")
    given = parser.parse_args(arguments)
    use_machine()
    model, card = load_model(given.checkpoint)
    assert isinstance(model, Jepa), "not a jepa model"
    exam = light_exam(card.spec, given.items)
    result: dict[str, Any] = {
        "checkpoint": given.checkpoint.name,
        "machine": describe_machine(),
        "planner": asdict(model.config.planner),
        "items": given.items,
        "seed": SEED,
        "rows": json.loads(given.out.read_text())["rows"] if given.out.exists() else [],
    }
    for setting in ASKED:
        for way in ways(model.config.planner.search):
            row = {"setting": setting.name, **asdict(way)}
            if any(row.items() <= made.items() for made in result["rows"]):
                continue
            result["rows"].append(row | measure(model, exam, setting, way))
            given.out.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
