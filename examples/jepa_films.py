"""What a trained jepa model believes, what surprises it, what it imagines and where it goes, as pictures and figures.

    python examples/jepa_films.py zoo/arena-jepa-large --agent zoo/rooms-jepa-rooms

States are shown by the helper decoder: beside the truth, so that what the decoder cannot draw is told from what the
state does not know. Clips and pairs are the first of their seed; of the ways, only the one behind a wall was chosen.
Legend: n clips, t frames.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from torch import Tensor

from threeworlds.report.sheets import DPI, INK, JEPA, STYLE, TRUE, WIDTH, Row, save_sheet, show
from threeworlds.routes.jepa.critic import intrinsic_cost
from threeworlds.routes.jepa.environment import LatentWorld
from threeworlds.routes.jepa.masked import BLOCKS, TUBES, hidden_blocks
from threeworlds.routes.jepa.model import Jepa
from threeworlds.score.films import to_uint8
from threeworlds.score.journey import Journey, travel, with_trail
from threeworlds.score.stats import mean_interval
from threeworlds.train import load_model, use_machine
from threeworlds.worlds import WORLDS, collect
from threeworlds.worlds.impossible import Twins, make_twins

GIVEN, AHEAD = 4, (1, 4, 8, 12, 16, 24, 32)  # frames
HELD = ("left", "right", "up", "down")  # what the avatar is told, all the time
TWINS = ("teleport", "reverse")  # one that is noticed at once, and the hardest
BEFORE, AFTER, PAIRS = 2, 4, 100  # frames shown before the event and from it on; pairs measured
START, GOAL = (0.2, 0.8), (0.8, 0.8)  # a way through the door
BEHIND = 43  # seed of a goal right behind a wall: chosen, of the first sixty seeds one of two that memory reaches alone
GRID, GOALS = 40, 50  # places along a side of the room; goals that the costs are judged on


def main(
    checkpoint: tyro.conf.Positional[Path],
    agent: Path = Path("zoo/rooms-jepa-rooms"),
    walls: Path = Path("zoo/rooms-jepa-walls"),
    others: tuple[Path, ...] = (),
    pictures: Path = Path("docs/pictures"),
    result: Path = Path("results/jepa-films.json"),
    seed: int = 123,
) -> None:
    """Make the pictures and the figures.

    Args:
        checkpoint: folder of a jepa model trained on the arena.
        agent: folder of one trained on rooms, with critic and actor.
        walls: folder of one with a memory, trained on walls anywhere.
        others: folders of agents of other worlds with goals; their ways are drawn too, start and goal by seed.
        pictures: folder for the pictures.
        result: JSON file for the figures.
        seed: of clips, pairs and places.
    """
    use_machine()
    model, planner = (load_model(folder)[0] for folder in (checkpoint, agent))
    assert isinstance(model, Jepa) and isinstance(planner, Jepa), "not jepa models"
    pictures.mkdir(parents=True, exist_ok=True)
    draw_beliefs(model, seed, pictures / "jepa-beliefs.png")
    draw_futures(model, seed, pictures / "jepa-futures.png")
    draw_surprise(model, seed, pictures / "jepa-surprise.png")
    draw_masks(seed, pictures / "jepa-masks.png")
    draw_costs(planner, pictures / "jepa-costs.png")
    ways = ways_of(planner, START, GOAL)
    draw_ways(ways, pictures / "jepa-ways-rooms.png")
    draw_ways(detours_of(load_model(walls)[0]), pictures / "jepa-ways-walls.png")
    for folder in others:
        other, card = load_model(folder)
        draw_ways(ways_of(other, seed=seed), pictures / f"jepa-ways-{card.spec.world}.png")
    figures = {"checkpoint": checkpoint.name, "agent": agent.name, "seed": seed, "goals": GOALS}
    figures |= {"ways": {mode: measured(way) for mode, way in ways.items()}, "rank": agreement(planner, seed)}
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(figures, indent=1) + "\n")


# ------------------------------------------------------------------------------------------ films


def draw_beliefs(model: Jepa, seed: int, path: Path) -> None:
    """Two held-out clips: the truth, what is read from its states, and what is read from predicted states."""
    clips = list(collect("arena", episodes=2, seed=seed, size=model.spec.height, steps=GIVEN + max(AHEAD)))
    video = as_video(np.stack([clip.video for clip in clips]))
    action = torch.from_numpy(np.stack([clip.action for clip in clips]))
    foreseen = model.predict(video[:, :GIVEN], max(AHEAD), action=action).video
    films = {"true": video[:, GIVEN:], "seen": model.reconstruct(video)[:, GIVEN:], "foreseen": foreseen}
    shown = torch.tensor(AHEAD) - 1
    rows = [(name, [to_uint8(film[i, shown])]) for i in range(2) for name, film in films.items()]
    save_sheet(rows, [f"+{h}" for h in AHEAD], path)


@torch.no_grad()
def draw_futures(model: Jepa, seed: int, path: Path) -> None:
    """One state under four sequences of actions, rolled out in one call, beside the simulator's word."""
    (clip,) = collect("arena", episodes=1, seed=seed, size=model.spec.height, steps=GIVEN)
    told = torch.tensor([[model.spec.action.names.index(name)] * 8 for name in HELD])
    dream, shown = LatentWorld(model), [1, 3, 5, 7]
    dream.reset(options={"video": clip.video})
    imagined = to_uint8(model.decoder(dream.roll_out(told)[0]))
    true = [simulated(clip.state[-1], actions, model.spec.height) for actions in told.tolist()]
    rows = [(name, [imagined[i, shown], true[i][shown]]) for i, name in enumerate(HELD)]
    save_sheet(rows, [f"+{i + 1}" for i in shown], path, titles=("imagined", "in the simulator"))


def simulated(state: np.ndarray, actions: Sequence[int], size: int) -> np.ndarray:
    """What the arena makes of ``state`` under ``actions``: uint8 [t, size, size, 3]."""
    simulator = WORLDS["arena"].simulator()
    simulator.load(state)
    return WORLDS["arena"].render(np.stack([simulator.step(action) for action in actions]), size)


def draw_masks(seed: int, path: Path) -> None:
    """What the masked objectives hide of a clip: blocks anew in each frame, tubes over all frames."""
    (clip,) = collect("arena", episodes=1, seed=seed, size=32, steps=8)
    torch.manual_seed(seed)
    hidden = {
        "blocks": torch.stack([hidden_blocks(4, 4, *BLOCKS) for _ in range(8)]),
        "tubes, many small": hidden_blocks(4, 4, *TUBES[0]).expand(8, 4, 4),
        "tubes, few large": hidden_blocks(4, 4, *TUBES[1]).expand(8, 4, 4),
    }
    grey = np.uint8(128)
    covered = {name: np.kron(mask.numpy(), np.ones((8, 8), bool)) for name, mask in hidden.items()}
    rows = [(name, [np.where(cover[..., None], grey, clip.video)]) for name, cover in covered.items()]
    save_sheet(rows, [str(t + 1) for t in range(8)], path)


def ways_of(
    model: Jepa, start: Sequence[float] | None = None, goal: Sequence[float] | None = None, seed: int = 0
) -> dict[str, Journey]:
    """The way by search and, where there is an actor, the way by that alone."""
    modes: tuple[Literal["search", "actor"], ...] = ("search", "actor") if model.can_act else ("search",)
    return {mode: travel(model, model.spec, start=start, goal=goal, seed=seed, mode=mode) for mode in modes}


def detours_of(model: Jepa) -> dict[str, Journey]:
    """The way to a goal behind a wall, with and without a memory of where plans led."""
    own = model.config
    ways = {}
    for name, planner in (("remembers", own.planner), ("forgets", replace(own.planner, memory=0))):
        model.config = replace(own, planner=planner)
        ways[name] = travel(model, model.spec, seed=BEHIND, options={"layout": "random"})
    model.config = own
    return ways


def draw_ways(ways: dict[str, Journey], path: Path) -> None:
    """Five moments of each way, real and as imagined from the first picture, and the goal."""
    rows: list[Row] = []
    for mode, way in ways.items():
        moments = np.linspace(0, len(way.actions), 5).round().astype(int)
        for name, frames in ((mode, way.real), ("imagined", way.imagined)):
            rows.append((name, [np.concatenate([with_trail(frames)[moments], way.goal[None]])]))
    save_sheet(rows, ["start", "1/4", "1/2", "3/4", "end", "goal"], path)


def measured(way: Journey) -> dict[str, Any]:
    """Steps to the goal, and how far (box units) the imagined way is off half-way and at its end."""
    locate = WORLDS["rooms"].locate
    assert locate is not None
    off = np.linalg.norm(locate(way.imagined)["avatar"] - way.states[:, :2], axis=-1)
    return {
        "steps": len(way.actions),
        "reached": way.reached is not None,
        "off": [float(off[len(off) // 2]), float(off[-1])],
    }


# --------------------------------------------------------------------------------------- surprise


def draw_surprise(model: Jepa, seed: int, path: Path) -> None:
    """The first pair of each kind, and how surprised the model is by all pairs around the event."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.6), dpi=DPI, layout="constrained")
        axes = figure.subplots(3, len(TWINS), sharex=True, height_ratios=(1, 1, 2.4))
        for column, kind in zip(axes.T, TWINS, strict=True):
            twins = make_twins(kind, pairs=PAIRS, seed=seed, size=model.spec.height)
            column[0].set_title(kind, fontsize=10)
            draw_twin(column[0], column[2], model, twins, twins.possible, "possible", TRUE)
            draw_twin(column[1], column[2], model, twins, twins.impossible, "impossible", JEPA)
            column[2].set(xlabel="frames from the event", yscale="log", xticks=range(-BEFORE, AFTER))
        for strip, name in zip(axes[:2, 0], ("possible", "impossible"), strict=True):
            strip.set_ylabel(name, rotation=0, ha="right", va="center", color=INK)
        axes[2, 0].set_ylabel("surprise")
        axes[2, 1].legend(frameon=False, loc="upper right")
        figure.savefig(path)


def draw_twin(strip: Axes, plot: Axes, model: Jepa, twins: Twins, frames: np.ndarray, name: str, colour: str) -> None:
    """The first of one side's films; median surprise over all of them, and where eight in ten of them lie."""
    when = np.arange(-BEFORE, AFTER)
    show(strip, frames[0, twins.event[0] + when], start=-BEFORE)
    surprise = model.surprise(as_video(frames), torch.from_numpy(twins.action)).numpy()
    around = surprise[np.arange(len(frames))[:, None], twins.event[:, None] + when]
    low, middle, high = np.quantile(around, (0.1, 0.5, 0.9), axis=0)
    plot.fill_between(when, low, high, color=colour, alpha=0.2, lw=0)
    plot.plot(when, middle, color=colour, marker="o", ms=4, label=name)


# ------------------------------------------------------------------------------------------ costs


def draw_costs(model: Jepa, path: Path) -> None:
    """How far every place is from the goal: by plain distance of states, by the critic, and in truth."""
    goal = np.array([*GOAL, *WORLDS["rooms"].simulator().draw(np.random.default_rng(0))[2:]], np.float32)
    places, free = grid_of(goal)
    told = {"distance of states": "plain", "critic: steps to go": "critic", "shortest way, box": "true"}
    costs = costs_to(model, places[free], goal)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.3), dpi=DPI, layout="constrained")
        axes = figure.subplots(1, 1 + len(told))
        axes[0].imshow(WORLDS["rooms"].render(goal[None], model.spec.height)[0])
        axes[0].set_title("goal", fontsize=9)
        for each, (title, name) in zip(axes[1:], told.items(), strict=True):
            map_of = np.full(len(places), np.nan)
            map_of[free] = costs[name]
            picture = each.imshow(map_of.reshape(GRID, GRID)[::-1], extent=(0, 1, 0, 1), cmap="viridis_r")
            each.plot(*GOAL, "o", color="#fa3c32", ms=5)
            each.set_title(title, fontsize=9)
            figure.colorbar(picture, ax=each, orientation="horizontal", shrink=0.9, aspect=14)
        for each in axes:
            each.set(xticks=[], yticks=[])
            each.spines[:].set_visible(False)
        figure.savefig(path)


def grid_of(goal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States [n, s] all over the room of ``goal``, and which of them are free, bool [n]."""
    side = (np.arange(GRID) + 0.5) / GRID
    places = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)  # rows of equal y, from below
    states = np.concatenate([places, np.broadcast_to(goal[2:], places.shape)], axis=1).astype(np.float32)
    return states, np.array([WORLDS["rooms"].is_free(state) for state in states])


@torch.no_grad()
def costs_to(model: Jepa, states: np.ndarray, goal: np.ndarray) -> dict[str, np.ndarray]:
    """From states [n, s] to ``goal`` [s]: three distances, [n] each."""
    world = WORLDS["rooms"]
    assert world.distance is not None and model.critic is not None
    z = model.represent(as_video(world.render(states, model.spec.height))[:, None]).z[:, -1]
    there = model.goal_state(as_video(world.render(goal[None], model.spec.height))).expand_as(z)
    steps = torch.expm1(model.critic(z, there))
    true = world.distance(states, np.broadcast_to(goal, states.shape))
    return {"plain": intrinsic_cost(z, there).numpy(), "critic": steps.numpy(), "true": true}


def agreement(model: Jepa, seed: int) -> dict[str, Sequence[float]]:
    """Rank correlation of each cost with the length of the shortest way, over places: mean over goals, low, high."""
    simulator, rng = WORLDS["rooms"].simulator(), np.random.default_rng(seed)
    found: dict[str, list[float]] = {"plain": [], "critic": []}
    for _ in range(GOALS):
        goal = simulator.draw(rng)
        states, free = grid_of(goal)
        costs = costs_to(model, states[free][::8], goal)
        for name, values in found.items():
            values.append(float(spearmanr(costs[name], costs["true"])[0]))
    told = {name: mean_interval(values) for name, values in found.items()}
    return {name: (each.value, each.low, each.high) for name, each in told.items()}


# ---------------------------------------------------------------------------------------- drawing


def as_video(frames: np.ndarray) -> Tensor:
    """uint8 [..., h, w, 3] -> float32 [..., 3, h, w] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, -3).float() / 127.5 - 1


if __name__ == "__main__":
    tyro.cli(main)
