"""Planning with the same trained model: our search beside the CEM solver of stable-worldmodel 0.1.1, as ratios.

Both get the same states, the same world model and the same critic as the cost. Theirs runs with the numbers published
for two rooms (300 samples, 30 elites, 10 rounds) and with our effort; ours from zero, and from the actor's proposal.
One episode at a time; five steps of a plan are executed before the next, as in LeWorldModel (arXiv 2603.19312).

    pip install --no-deps stable-worldmodel==0.1.1 loguru
    OMP_NUM_THREADS=1 python benchmarks/planning.py --out results/benchmark-planning.json

Without the peer only our rows are measured.
"""

import argparse
import json
import platform
import sys
import types
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from time import perf_counter
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from threeworlds.routes.jepa.model import Jepa
from threeworlds.score.planning import SETTINGS, Setting, as_video, attempt
from threeworlds.score.stats import wilson
from threeworlds.train import load_model
from threeworlds.worlds import WORLDS, collect
from threeworlds.worlds.foreign import borrowed

PEER = "stable_worldmodel"
HORIZON = 8
EXECUTED = 5  # steps of a plan before the next
TUNING_SEED = 31  # of tasks that no exam draws
Planner = Callable[[Tensor, Tensor], Tensor]  # states now and of the goal [1, d] -> actions [1, horizon, a]


def peer_solver() -> Any:
    """Its CEMSolver alone: the package's own import asks for video and database libraries, which planning needs not."""
    return borrowed(f"{PEER}.solver.cem").CEMSolver


class Costed(torch.nn.Module):
    """Our world model as their solver calls it: states in, cost of each action sequence out."""

    def __init__(self, model: Jepa) -> None:
        super().__init__()
        self.model = model

    def get_cost(self, info: dict[str, Tensor], candidates: Tensor) -> Tensor:
        """info {"now", "goal"} [b, n, d], candidates [b, n, horizon, a] -> [b, n]; actions are clipped, as in ours."""
        ahead = self.model.predictor.roll_out(info["now"], candidates.clamp(-1, 1), candidates.shape[2])
        return self.model.cost(ahead, info["goal"][:, :, None].expand_as(ahead)).sum(-1)


def theirs(model: Jepa, samples: int, rounds: int, elites: int, scale: float = 1.0) -> Planner:
    """Their solver, without a warm start."""
    solver = peer_solver()(
        Costed(model), num_samples=samples, n_steps=rounds, topk=elites, var_scale=scale, device="cpu", seed=0
    )
    box = gym.spaces.Box(-1, 1, (1, model.spec.action.size), np.float32)
    solver.configure(action_space=box, n_envs=1, config=types.SimpleNamespace(horizon=HORIZON, action_block=1))

    def plan(now: Tensor, goal: Tensor) -> Tensor:
        with redirect_stdout(StringIO()):  # it prints a line for every plan
            actions: Tensor = solver.solve({"now": now, "goal": goal})["actions"]
        return actions.clamp(-1, 1)

    return plan


def ours(model: Jepa, candidates: int, rounds: int, elites: int, std: float, actor: bool) -> Planner:
    """Our CEM, from zero or from the actor's proposal."""
    effort = replace(
        model.config.planner, horizon=HORIZON, candidates=candidates, rounds=rounds, elites=elites, std=std
    )
    searching = Jepa(replace(model.config, planner=effort), model.spec).eval()
    searching.load_state_dict(model.state_dict())
    if not actor:
        searching.actor = None
    return lambda now, goal: searching.search(now, goal, seed=0).action


@torch.no_grad()
def measure(model: Jepa, plan: Planner, setting: Setting, episodes: int) -> dict[str, Any]:
    """Success at the end, and milliseconds of a decision from state to action."""
    world, size = WORLDS["rooms"], model.spec.height
    clips = list(collect("rooms", episodes=episodes, seed=TUNING_SEED, steps=setting.offset + 1, size=8))
    tasks = np.stack([c.state[0] for c in clips]), np.stack([c.state[-1] for c in clips])  # type: ignore[index]
    goal = model.goal_state(as_video(world.render(tasks[1], size)))
    took: list[float] = []
    waiting: list[np.ndarray] = []  # actions [episodes, a] that are planned and not yet executed

    def act(before: np.ndarray, now: np.ndarray, goals: np.ndarray) -> np.ndarray:
        if not waiting:
            states = model.represent(as_video(world.render(now, size))[:, None]).z[:, -1]
            plans = []
            for here, there in zip(states, goal, strict=True):
                begin = perf_counter()
                plans.append(plan(here[None], there[None])[0, :EXECUTED].numpy())
                took.append((perf_counter() - begin) * 1e3)
            waiting.extend(np.stack(plans, axis=1))
        return waiting.pop(0)

    won, _ = attempt(world, tasks, setting.budget, act)
    interval = wilson(int(won.sum()), len(won))
    return {
        "success": round(interval.value, 3),
        "low": round(interval.low, 3),
        "high": round(interval.high, 3),
        "ms_median": round(float(np.median(took)), 2),
        "decisions": len(took),
    }


def main() -> None:
    """Measure every planner and write the ratios to ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("zoo/rooms-jepa-rooms"))
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, standard output")
    asked = parser.parse_args()
    loaded, _ = load_model(asked.checkpoint)
    assert isinstance(loaded, Jepa)
    planners = {
        "ours, seeded by the actor": ours(loaded, 16, 2, 4, 0.3, actor=True),
        "ours, from zero": ours(loaded, 64, 3, 8, 0.7, actor=False),
    }
    if installed := find_spec(PEER) is not None:
        planners["theirs, our effort from zero"] = theirs(loaded, 64, 3, 8, 0.7)
        planners["theirs, 300 samples, 10 rounds"] = theirs(loaded, 300, 10, 30)
    rows = {name: measure(loaded, plan, SETTINGS[0], asked.episodes) for name, plan in planners.items()}
    mine = rows["ours, seeded by the actor"]
    for row in rows.values():
        row["times_slower"] = round(row["ms_median"] / mine["ms_median"], 1)
        row["success_ratio"] = round(row["success"] / mine["success"], 3) if mine["success"] else None
    found = {
        "command": " ".join(["python", "benchmarks/planning.py", *sys.argv[1:]]),
        "machine": {"torch": torch.__version__, "threads": torch.get_num_threads(), "processor": platform.machine()},
        "peer": f"stable-worldmodel {version('stable-worldmodel')}" if installed else "not installed",
        "task": f"rooms, goals {SETTINGS[0].offset} steps ahead, {SETTINGS[0].budget} allowed, horizon {HORIZON}",
        "rows": rows,
    }
    text = json.dumps(found, indent=2) + "\n"
    if asked.out:
        asked.out.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
