"""What each choice in the jepa route is worth: small trainings at equal FLOPs, probed alike.

    python experiments/jepa.py anticollapse --out results/jepa-anticollapse.json
    python experiments/jepa.py architectures --out results/jepa-architectures.json
    python experiments/jepa.py motion --out results/jepa-motion.json

- anticollapse: one world model with each guard, with and without inverse dynamics; arena.
- architectures: joint-embedding, generative, joint-embedding predictive: one encoder, one budget; arena.
- motion: a free and a second-order state, each trained on one law inside the range of speeds and sizes, then judged
  inside and outside it by the velocity of the ball as probes read it from predicted states: differences of the places
  that a linear one reads, and what a small network reads straight from a state (``network_``).

A variant that is in the file already is not trained again, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from threeworlds.data import ClipStore, Windows
from threeworlds.routes.jepa.model import Jepa, world_stage
from threeworlds.routes.jepa.recipes import RECIPES, JepaConfig, WorldModelConfig
from threeworlds.score import understanding
from threeworlds.score.clips import generate
from threeworlds.score.exam import GIVEN, Entrant, build_exam
from threeworlds.score.machine import describe_machine
from threeworlds.score.probes import linear, small_network
from threeworlds.train import Budget, TrainedRun, train_route, use_machine
from threeworlds.types import Route
from threeworlds.worlds import collect
from threeworlds.worlds.motion import FRAME, TASKS, counted
from threeworlds.worlds.motion import WORLD as WORLD_SIZE

SMALL = WorldModelConfig(look="keypoints", halves=True)
GUARDS: Mapping[str, dict[str, Any]] = {
    "sigreg + inverse": {},
    "sigreg": {"inverse": 0.0},
    "vicreg + inverse": {"guard": "vicreg", "guard_weight": 1.0},
    "pldm + inverse": {"guard": "pldm", "guard_weight": 1.0},
    "ema + inverse": {"guard": "ema"},
    "reconstruction": {"guard": "reconstruction", "guard_weight": 1.0, "inverse": 0.0},
    "inverse alone": {"guard": "none"},
    "none": {"guard": "none", "inverse": 0.0},
}
ARCHITECTURES: Mapping[str, dict[str, Any]] = {
    "joint-embedding": {"architecture": "joint"},
    "generative": {"architecture": "generative"},
    "joint-embedding predictive": {"architecture": "predictive"},
}
DYNAMICS: Mapping[str, dict[str, Any]] = {
    "free": {"dynamics": "free"},
    "second-order": {"dynamics": "second-order"},
}
KINDS = ("", "network_")  # of reading a velocity
TOLD = ("position_r", "velocity_r2", "attributes", "position_r_h8", "velocity_r2_h8", "rollout_error_h8")
MONITORS = ("sigreg", "rank", "speed", "over_copy", "shuffled")
EPISODES = 600


def train(config: WorldModelConfig, store: ClipStore, flops: float, out: Path) -> TrainedRun:
    """The world model alone: no decoder, no agent."""
    route = Route(
        name="jepa",
        recipes=RECIPES,
        build=Jepa,
        stages=lambda model: [world_stage(model, 1.0)],
        learns_from="video, actions where there are any",
    )
    config_of_all = JepaConfig(world=config)
    budget = Budget.parse(f"{flops:g}flops")
    return train_route(route, recipe="small", config=config_of_all, store=store, budget=budget, out=out, progress=False)


def on_arena(change: dict[str, Any], store: ClipStore, flops: float, out: Path) -> dict[str, Any]:
    """Train one variant and ask what its states hold and foresee; how its monitors stood at the end."""
    run = train(replace(SMALL, **change), store, flops, out)
    exam = build_exam(store, items=200, seed=0)
    torch.manual_seed(0)
    untrained = Jepa(JepaConfig(world=replace(SMALL, **change)), store.spec).eval()
    entrant = Entrant(route="jepa", model=run.model, untrained=untrained)
    measured = {m.metric: m for m in understanding.ask(exam, [entrant]).measured}
    read = {name: measured[name].statistic(*measured[name].values["jepa"]) for name in (*TOLD, "action_shuffle_h8")}
    floors = {f"{name}_untrained": measured[name].statistic(*measured[name].own_floors["jepa"][1]) for name in TOLD[:3]}
    last = json.loads((out / "00-world" / "metrics.jsonl").read_text().splitlines()[-2])
    return read | floors | {name: last[name] for name in MONITORS} | {"steps": run.total.steps}


def on_motion(change: dict[str, Any], task: str, flops: float, out: Path) -> dict[str, Any]:
    """Velocity errors in units / s, in and out of the training range; the floors are of states that were seen."""
    store = generate("motion", out / "clips", episodes=EPISODES, seed=0, options={"task": task})
    run = train(replace(SMALL, **change, frames=6, unroll=5), store, flops, out / "model")
    probed = Windows(store, split="train", frames=32, batch_size=1, columns=("video", "state")).fixed(400, 0)
    z, told = states(run.model, probed.video), probed.state[:, GIVEN - 1 :].double().numpy()
    found: dict[str, Any] = {"steps": run.total.steps}
    for side in ("in", "out"):
        clips = list(collect("motion", episodes=100, seed=10**9, size=32, task=task, range=side))
        video = torch.from_numpy(np.stack([clip.video for clip in clips])).movedim(-1, 2).float() / 127.5 - 1
        truth = np.stack([clip.state for clip in clips])
        future = run.model.imagine(video[:, :GIVEN], video.shape[1] - GIVEN).z.double().numpy()
        seen = states(run.model, video)
        for name, ahead in (("predicted", future), ("seen", seen[:, 1:])):
            for kind, read in velocities(z, told, np.concatenate([seen[:, :1], ahead], axis=1), task).items():
                found[f"{kind}{name}_{side}"] = velocity_error(read, truth)
    return found | {f"{kind}ratio": found[f"{kind}predicted_out"] / found[f"{kind}predicted_in"] for kind in KINDS}


def velocities(z: np.ndarray, told: np.ndarray, asked: np.ndarray, task: str) -> dict[str, np.ndarray]:
    """What each of KINDS reads, in units / s: [n, t - 1, 2 balls] of steps between the states ``asked`` [n, t, d].

    Fitted to states ``z`` [m, t, d] of training clips and the truth ``told`` [m, t, s]. A velocity read from one state
    is that of the step that led to it.
    """
    balls = range(2 if task == "collision" else 1)
    columns = [5 * ball + axis for ball in balls for axis in (0, 1)]
    places = told[..., columns]
    places[(places < 0) | (places > WORLD_SIZE)] = np.nan  # a ball that has left the picture
    steps = np.diff(places, axis=1) / FRAME
    one = ((0, 0), (0, 0), (0, 1))  # a line of the probe passes through 0: a feature that is always 1 is its intercept
    read = linear(np.pad(z, one, constant_values=1), places, np.pad(asked, one, constant_values=1))
    found = (np.diff(read, axis=1) / FRAME, small_network(z[:, 1:], steps, asked[:, 1:]))
    return dict(zip(KINDS, found, strict=True))


def states(model: Any, video: torch.Tensor | None) -> np.ndarray:
    """[n, t, d] from the last given frame on."""
    assert video is not None
    parts = [model.represent(part).z[:, GIVEN - 1 :] for part in video.split(50)]
    return torch.cat(parts).double().numpy()


def velocity_error(read: np.ndarray, truth: np.ndarray) -> float:
    """Mean over clips of |v - v_true| over the steps that count: read [n, t - given, 2 balls], truth [n, t, s]."""
    errors = []
    for velocity, state in zip(read, truth, strict=True):
        for ball in range(read.shape[-1] // 2):
            use = counted(state, ball, GIVEN)[GIVEN - 1 :]
            if use.any():
                true = np.diff(state[GIVEN - 1 :, 5 * ball : 5 * ball + 2], axis=0)[use] / FRAME
                found = velocity[:, 2 * ball : 2 * ball + 2][use]
                errors.append(np.linalg.norm(found - true, axis=-1).mean())
    return float(np.mean(errors))


def variants(experiment: str) -> dict[str, dict[str, Any]]:
    """Name -> what is changed (for motion, the task as well)."""
    if experiment == "motion":
        each = ((task, name) for task in TASKS for name in DYNAMICS)
        return {f"{task}, {name}": DYNAMICS[name] | {"task": task} for task, name in each}
    return dict(GUARDS if experiment == "anticollapse" else ARCHITECTURES)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Train what is missing in ``--out``, write it after each variant, and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=("anticollapse", "architectures", "motion"))
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write, or to go on with")
    parser.add_argument("--flops", type=float, default=1.2e12, help="budget of each variant")
    given = parser.parse_args(arguments)
    use_machine()
    result: dict[str, Any] = {
        "benchmark": f"jepa-{given.experiment}",
        "machine": describe_machine(),
        "flops": given.flops,
        "config": asdict(SMALL),
        "rows": [],
    }
    if given.out.exists():
        result["rows"] = json.loads(given.out.read_text())["rows"]
    with tempfile.TemporaryDirectory() as folder:
        store = None
        for name, change in variants(given.experiment).items():
            if any(row["variant"] == name for row in result["rows"]):
                continue
            out = Path(folder) / name
            if given.experiment == "motion":
                found = on_motion({k: v for k, v in change.items() if k != "task"}, change["task"], given.flops, out)
            else:
                store = store or generate("arena", Path(folder) / "clips", episodes=EPISODES * 3, seed=0)
                found = on_arena(change, store, given.flops, out)
            result["rows"].append({"variant": name, **change, **found})
            given.out.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
