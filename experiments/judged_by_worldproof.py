"""The same cheats before two judges: worldproof 0.1.0 and this scorecard.

Planted models of the tests (tests/score/planted.py) play held-out openings of the arena. Each side says of each cheat
whether it is better than a trivial answer: ours by the paired difference to the question's floor, after Holm's
correction; worldproof, which has no test, by its score beside that of its own copy-last-frame baseline (beside none for
its counts), roll-out by roll-out: a paired interval that holds zero, or lies on the wrong side, is "no better".

    pip install --no-deps worldproof==0.1.0
    python experiments/judged_by_worldproof.py --items 40 --out results/worldproof.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "score"))
from planted import CopyLast, Deaf, DeafOracle, Player, make_exam, seat

from threeworlds.score import control, prediction
from threeworlds.score.exam import GIVEN, Exam, corrected, differences_of
from threeworlds.score.films import to_uint8
from threeworlds.score.stats import paired_difference, separable
from threeworlds.types import Imagined

BASELINE = "baseline.copy_last_frame"  # worldproof's name of its own
METRICS = ("psnr@dynamic", "ssim@dynamic", "object_permanence", "object_count_conservation")
DIVERGENCE = "counterfactual_divergence"
OURS = (  # question, metric, floor
    (prediction, "psnr_h8", "copy the last frame"),
    (control, "action_following", "no command"),
)


class Grey(CopyLast):
    """Shows an empty box."""

    control = "action"

    def predict(self, context: Tensor, frames: int, *, action: Tensor | None = None, seed: int = 0) -> Imagined:
        corner = context[:, :1, :, :1, :1]  # the colour of the wall
        return Imagined(video=corner.expand(-1, frames, -1, *context.shape[3:]))


def contestants(exam: Exam) -> Mapping[str, Any]:
    """Two that are honest, and the cheats."""
    return {
        "the world itself": Player(exam),
        "copies the last frame": Deaf(),
        "reads the truth, ignores actions": DeafOracle(exam),
        "shows an empty box": Grey(),
    }


def other_actions(exam: Exam) -> Tensor:
    """Actions of another episode after the given frames: the other branch of a counterfactual pair."""
    assert exam.test.action is not None
    return torch.cat([exam.test.action[:, : GIVEN - 1], exam.test.action.roll(1, 0)[:, GIVEN - 1 :]], dim=1)


def roll_outs(exam: Exam, model: Any, action: Tensor, truth: Tensor, name: str) -> list[Any]:
    """worldproof's Rollout of every item."""
    from worldproof import Rollout, RolloutMetadata

    ahead = truth.shape[1]
    made = to_uint8(model.predict(exam.given, ahead, action=action, seed=exam.seed).video.clamp(-1, 1))
    given, true = to_uint8(exam.given), to_uint8(truth)
    size = (exam.spec.height, exam.spec.width)
    return [
        Rollout(
            modality="pixels",
            context=given[i],
            actions=action[i, GIVEN - 1 :].numpy(),
            predictions=(made[i],),
            ground_truth=true[i],
            metadata=RolloutMetadata(fps=exam.spec.fps, model_id=name, resolution=size, context_id=f"item-{i}"),
        )
        for i in range(len(made))
    ]


def theirs(exam: Exam, model: Any, name: str) -> dict[str, np.ndarray]:
    """Metric -> worldproof's summary of each roll-out [n]."""
    from worldproof import Capabilities, CounterfactualDivergence, CounterfactualPair, MetricRunner

    assert exam.test.action is not None
    told, other = exam.test.action, other_actions(exam)
    runner = MetricRunner.from_registry(METRICS, capabilities=Capabilities.detect("cpu", has_tracker=True))
    first = roll_outs(exam, model, told, exam.future, name)
    found: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for run in runner.run_many(first).runs:
        for result in run.results:
            found[result.name].append(float(result.summary))
    world = Player(exam).predict(exam.given, exam.future.shape[1], action=other).video
    second = roll_outs(exam, model, other, world, name)
    pairs = [CounterfactualPair(rollout_a=a, rollout_b=b) for a, b in zip(first, second, strict=True)]
    found[DIVERGENCE] = [float(CounterfactualDivergence().compute(pair).summary) for pair in pairs]
    return {metric: np.array(values) for metric, values in found.items()}


def their_verdicts(exam: Exam, models: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name -> metric -> score and whether it beats their own baseline, whose film is that of CopyLast."""
    floor = theirs(exam, Deaf(), BASELINE)
    lower = ("object_count_conservation", DIVERGENCE)
    said: dict[str, dict[str, Any]] = {}
    for name, model in models.items():
        said[name] = {}
        for metric, values in theirs(exam, model, name).items():
            gap = paired_difference(values, floor[metric])
            better = separable(gap, "lower" if metric in lower else "higher") == "first better"
            said[name][metric] = {"value": round(float(values.mean()), 3), "better": better}
    return said


def our_verdicts(exam: Exam, models: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name -> metric -> score and whether it beats the floor."""
    said: dict[str, dict[str, Any]] = {}
    for name, model in models.items():
        entrant, said[name] = seat(name, model), {}
        for question, metric, floor in OURS:
            measured = {m.metric: m for m in question.ask(exam, [entrant]).measured}
            table = corrected([d for m in measured.values() for d in differences_of(m, exam)])
            verdict = {d.verdict for d in table if (d.metric, d.second) == (metric, floor)}
            value = float(np.nanmean(measured[metric].values[name]))
            said[name][metric] = {"value": round(value, 3), "better": verdict == {"first better"}}
    return said


def main() -> None:
    """Ask both sides and write what they said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    exam = make_exam("arena", items=asked.items, seed=asked.seed)
    models = contestants(exam)
    found = {
        "command": "python experiments/judged_by_worldproof.py " + " ".join(sys.argv[1:]),
        "peer": "worldproof 0.1.0",
        "items": asked.items,
        "theirs": their_verdicts(exam, models),
        "ours": our_verdicts(exam, models),
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
