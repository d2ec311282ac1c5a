"""Planning: given a picture of the goal, does the model choose actions that get there?

Goals are frames that a policy reached some steps after the start, in episodes drawn anew by seed, so they can be
reached. The agent sees pictures. It searches for a plan, executes EXECUTED steps of it and plans anew, or lets its
actor decide at every step. Starts already at the goal are left out. Success is judged at the end; ``_ever`` counts a
goal that was only passed.

Legend: n episodes, s state variables, a action size, m sequences, t steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threeworlds.planning import SEARCHES
from threeworlds.planning.search import shifted
from threeworlds.score.exam import EXAM_SEEDS, Answers, Entrant, Exam, Measured
from threeworlds.score.film_plans import LABELLED, film_planner
from threeworlds.score.stats import wilson
from threeworlds.types import EMPTY, Acts, Plans, Remembers, Searches
from threeworlds.worlds import WORLDS, World, collect
from threeworlds.worlds.base import NEAR as NEAR  # of the rooms: what journeys and tests are measured by

VERSION = "3"
CHUNK = 25  # episodes decided at a time: more of them than fit the cache are slower, not faster
EXECUTED = 5  # steps of a plan before the next, as in LeWorldModel (arXiv 2603.19312)
TIMED = 20  # single decisions that are timed
SEARCH_TIMED = f"one search of one agent, from pictures to a plan; {EXECUTED} steps of it are executed before the next"
ACT_TIMED = "one act of one agent without search, from pictures to the action of one step"
ORACLE = {"candidates": 48, "elites": 6, "rounds": 2, "std": 0.7}  # effort of the search in the simulator
ORACLE_HORIZON = 6
FILMED = 50  # episodes in which plans are read off films, which are dear
NO_SEARCH = "does not plan by itself, by design; success_25_50_each makes a planner of it where it can"
NO_ACTOR = "has no actor of its own, by design"

Act = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # states before, now and of the goal -> actions [n, a]
Tasks = tuple[np.ndarray, np.ndarray]  # starts and goals, states [n, s] each
Reached = tuple[np.ndarray, np.ndarray]  # at the goal at the end, at it ever: 0 or 1 each, [n]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How far the goals are, how long the agent may take, and in what variant of the world."""

    name: str
    offset: int  # steps between start and goal in the source episode
    budget: int  # steps allowed
    options: Mapping[str, Any] = field(default_factory=dict)  # of the world, over the exam's own
    text: str = ""


SETTINGS = (
    Setting(name="25_50", offset=25, budget=50),
    Setting(name="100_150", offset=100, budget=150),
    Setting(name="random_walls", offset=25, budget=50, options={"layout": "random"}, text=", wall and door anywhere"),
)


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Success in every setting, by search and by the actor alone, and milliseconds of a search and of an act."""
    world = exam.world
    if world is None or world.advance is None or exam.spec.action.kind != "continuous":
        why = f"no goals to reach in these clips: planning is asked in {', '.join(with_goals())}"
        return Answers(measured=(_success(SETTINGS[0], "", {}, {}, {}, {e.route: why for e in entrants}),))
    searchers = {e.route: e for e in entrants if isinstance(e.model, Plans)}
    actors = {e.route: e for e in entrants if isinstance(e.model, Acts) and e.model.can_act}
    absent = {e.route: NO_SEARCH for e in entrants if e.route not in searchers}
    actorless = absent | {route: NO_ACTOR for route in searchers if route not in actors}
    measured: list[Measured] = []
    for setting in settings_of(world):
        tasks = draw_tasks(exam, setting)
        floors = {name: attempt(world, tasks, setting.budget, act) for name, act in _floors(exam).items()}
        ceilings = {name: attempt(world, tasks, setting.budget, act) for name, act in _ceilings(exam, world).items()}
        planned = {r: attempt(world, tasks, setting.budget, by_search(e, exam)) for r, e in searchers.items()}
        acted = {r: attempt(world, tasks, setting.budget, by_actor(e, exam)) for r, e in actors.items()}
        measured += [
            _success(setting, "", planned, floors, ceilings, absent, world.rule),
            _success(setting, "_ever", planned, floors, ceilings, absent, world.rule),
            _success(setting, "_actor", acted, floors, ceilings, actorless, world.rule),
        ]
        if setting == SETTINGS[0]:
            measured.append(_in_its_own_way(exam, entrants, tasks, planned, floors, ceilings))
    tasks = draw_tasks(exam, SETTINGS[0])
    searched = {r: time(partial(by_search, e, exam), tasks) for r, e in searchers.items()}
    decided = {r: time(partial(by_actor, e, exam), tasks) for r, e in actors.items()}
    measured += [
        _milliseconds("ms_search", SEARCH_TIMED, searched, absent),
        _milliseconds("ms_actor", ACT_TIMED, decided, actorless),
    ]
    return Answers(measured=tuple(measured))


def _in_its_own_way(
    exam: Exam,
    entrants: Sequence[Entrant],
    tasks: Tasks,
    planned: Mapping[str, Reached],
    floors: Mapping[str, Reached],
    ceilings: Mapping[str, Reached],
) -> Measured:
    """The first episodes again, for every route: planners as before, the others by the films they draw."""
    assert exam.world is not None
    few = tasks[0][:FILMED], tasks[1][:FILMED]
    deciders = {e.route: film_planner(e, exam) for e in entrants if e.route not in planned}
    agents = {route: in_turn(_seeing(exam, decide)) for route, decide in deciders.items() if decide}
    by_films = {route: attempt(exam.world, few, SETTINGS[0].budget, act) for route, act in agents.items()}
    known, low, high = (
        {name: found[0][:FILMED] for name, found in each.items()} for each in (planned, floors, ceilings)
    )
    values = known | {route: found[0] for route, found in by_films.items()}
    return replace(
        _success(SETTINGS[0], "", {}, {}, {}),
        metric="success_25_50_each",
        protocol=f"goal picture {SETTINGS[0].offset} steps ahead, {SETTINGS[0].budget} steps allowed, {FILMED} "
        "episodes, every route in its own way: its search; or codes tried in its dream, or a film drawn to the goal, "
        f"and {LABELLED} labelled steps that turn these into actions; {exam.world.rule} at the end",
        values=values,
        floors=low,
        ceilings=high,
        intervals={route: wilson(int(won.sum()), len(won)) for route, won in values.items()},
        absent={route: "draws nothing that could be a plan" for route, decide in deciders.items() if not decide},
    )


def with_goals() -> list[str]:
    """Worlds in which planning is asked."""
    return [name for name, world in WORLDS.items() if world.advance is not None]


def settings_of(world: World) -> list[Setting]:
    """The settings whose variant this world has."""
    return [setting for setting in SETTINGS if setting.options.keys() <= signature(world.simulator).parameters.keys()]


def draw_tasks(exam: Exam, setting: Setting) -> Tasks:
    """Starts and goals of episodes made for this exam alone."""
    assert exam.world is not None and exam.test.video is not None
    wanted = len(exam.test.video)
    starts, goals = [], []
    seed = EXAM_SEEDS + exam.seed + 1
    options = {**exam.options, **setting.options}
    made: dict[str, Any] = {"episodes": 4 * wanted, "seed": seed, "steps": setting.offset + 1, "size": 8, "workers": 1}
    for clip in collect(exam.world.name, **made, **options):
        assert clip.state is not None
        start, goal = clip.state[0], clip.state[setting.offset]
        if not exam.world.reached(start, goal):
            starts.append(start)
            goals.append(goal)
        if len(starts) == wanted:
            break
    return np.stack(starts), np.stack(goals)


def attempt(world: World, tasks: Tasks, budget: int, act: Act) -> Reached:
    """Act ``budget`` times in every episode: (at the goal at the end, at it ever), 0 or 1 each, [n]."""
    assert world.advance is not None
    before = now = tasks[0]
    goals = tasks[1]
    ever = np.zeros(len(now), bool)
    for _ in range(budget):
        before, now = now, world.advance(now, act(before, now, goals))
        there = world.reached(now, goals)
        ever |= there
    return there.astype(float), ever.astype(float)


def time(agent: Callable[[], Act], tasks: Tasks) -> np.ndarray:
    """Milliseconds of single decisions, pictures drawn included: [n].

    Each is the first of an agent of its own: later ones may only go on with a plan that is there.
    """
    starts, goals = tasks[0][: TIMED + 1], tasks[1][: TIMED + 1]
    took = []
    for i in range(len(starts)):
        act = agent()
        begin = perf_counter()
        act(starts[i : i + 1], starts[i : i + 1], goals[i : i + 1])
        took.append((perf_counter() - begin) * 1e3)
    return np.array(took[1:])  # the first one warms up


# ------------------------------------------------------------------------------------------------- agents


def by_search(entrant: Entrant, exam: Exam, executed: int = EXECUTED, *, warm: bool = False, search: str = "") -> Act:
    """The first steps of the model's plan, then the next plan. Every plan draws from a seed of its own.

    ``warm``: a plan begins from what is left of the last one, if the model takes a first guess. The exam leaves it out:
    where most of a plan is executed hardly any is left, and from the last action held on a search without an actor
    overshoots (experiments/jepa_search.py). ``search``: which one, by name; the model's own without one.
    """
    decisions = 0
    last: list[Tensor] = []  # whole plans, a few episodes each
    memories: list[Any] = []  # of as many episodes each

    def plan(before: np.ndarray, now: np.ndarray, goals: np.ndarray) -> np.ndarray:
        nonlocal decisions
        for i, (frames, there) in enumerate(_pictures(exam, before, now, goals)):
            decisions += len(frames)
            rest = shifted(last[i], executed) if warm and i < len(last) else None
            if i == len(memories):
                memories.append(new_memory(entrant.model, executed))
            seed = exam.seed + decisions
            planned = next_plan(entrant.model, frames, there, seed=seed, rest=rest, search=search, memory=memories[i])
            last[i : i + 1] = [planned]
        return torch.cat(last)[:, :executed].numpy()

    return in_turn(plan)


def new_memory(model: Any, taken: int) -> Any:
    """What the model keeps from plan to plan, where it keeps anything."""
    return model.new_memory(taken) if isinstance(model, Remembers) else None


def next_plan(
    model: Any,
    frames: Tensor,
    goals: Tensor,
    *,
    seed: int,
    rest: Tensor | None = None,
    search: str = "",
    memory: Any = None,
) -> Tensor:
    """The model's plan [n, t, a], by a search of that name and begun from the ``rest`` of the last, where it can.

    ``memory``: of these episodes, from :func:`new_memory`.

    Raises:
        ValueError: a search is named, and the model has none to choose from.
    """
    if isinstance(model, Searches):
        kept = {} if memory is None else {"memory": memory}
        chosen: Tensor = model.plan(frames, goals, seed=seed, start=rest, search=search, **kept).action
        return chosen
    if search:
        raise ValueError(f"search {search!r}: this model plans in one way of its own")
    plan: Tensor = model.plan(frames, goals, seed=seed).action
    return plan


def by_actor(entrant: Entrant, exam: Exam) -> Act:
    """What the model's actor does."""
    return in_turn(_seeing(exam, lambda frames, goals: entrant.model.act(frames, goals)[:, None]))


def in_turn(plan: Act) -> Act:
    """An agent that executes its plans [n, t, a] to their end, one step at a time."""
    waiting: list[np.ndarray] = []

    def act(before: np.ndarray, now: np.ndarray, goals: np.ndarray) -> np.ndarray:
        if not waiting:
            waiting.extend(np.moveaxis(plan(before, now, goals), 1, 0))
        return waiting.pop(0)

    return act


def _seeing(exam: Exam, decide: Callable[[Tensor, Tensor], Tensor]) -> Act:
    """Plans [n, t, a] from pictures alone."""

    def plan(before: np.ndarray, now: np.ndarray, goals: np.ndarray) -> np.ndarray:
        return torch.cat([decide(frames, there) for frames, there in _pictures(exam, before, now, goals)]).numpy()

    return plan


def _pictures(exam: Exam, before: np.ndarray, now: np.ndarray, goals: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    """Of the last two moments [n, 2, c, h, w] and of the goal [n, c, h, w], a few episodes at a time."""
    assert exam.world is not None
    render, size = exam.world.render, exam.spec.height
    for i in range(0, len(now), CHUNK):
        part = slice(i, i + CHUNK)
        frames = np.stack([render(before[part], size), render(now[part], size)], axis=1)
        yield as_video(frames), as_video(render(goals[part], size))


def as_video(frames: np.ndarray) -> Tensor:
    """uint8 [..., h, w, c] -> float32 [..., c, h, w] in [-1, 1]."""
    return torch.from_numpy(np.moveaxis(frames, -1, -3).copy()).float() / 127.5 - 1


def _floors(exam: Exam) -> dict[str, Act]:
    rng, size = np.random.default_rng(exam.seed), exam.spec.action.size
    return {
        "random policy": lambda before, now, goals: rng.uniform(-1, 1, (len(now), size)).astype(np.float32),
        "stay policy": lambda before, now, goals: np.zeros((len(now), size), np.float32),
    }


def _ceilings(exam: Exam, world: World) -> dict[str, Act]:
    found: dict[str, Act] = {}
    if world.expert is not None:
        found["expert"] = _expert(world.expert)
    if world.distance is not None:
        found["search in the simulator"] = _oracle(exam, world)
    return found


def _expert(policy: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Act:
    return lambda before, now, goals: np.stack([policy(s, g[:2]) for s, g in zip(now, goals, strict=True)])


def _oracle(exam: Exam, world: World) -> Act:
    """The search of a planner that knows the true state, the law of the world and the true distance."""
    generator = torch.Generator().manual_seed(exam.seed)

    def plan(before: np.ndarray, now: np.ndarray, goals: np.ndarray) -> np.ndarray:
        start = torch.zeros(len(now), ORACLE_HORIZON, exam.spec.action.size)
        found = SEARCHES["cem"](
            lambda tried: _true_cost(world, now, goals, tried), start, generator=generator, **ORACLE
        )
        return found.action[:, :EXECUTED].numpy()

    return in_turn(plan)


def _true_cost(world: World, now: np.ndarray, goals: np.ndarray, actions: Tensor) -> Tensor:
    """actions [n, m, t, a] -> shortest way left, summed over the true roll-out, [n, m]."""
    assert world.advance is not None and world.distance is not None
    n, m, t, _ = actions.shape
    states, ends = np.repeat(now, m, axis=0), np.repeat(goals, m, axis=0)
    moves, ahead = actions.flatten(0, 1).numpy(), []
    for step in range(t):
        states = world.advance(states, moves[:, step])
        ahead.append(states)
    cost = world.distance(np.stack(ahead), ends).sum(0)
    return torch.from_numpy(cost.reshape(n, m).astype(np.float32))


# -------------------------------------------------------------------------------------------- what is told


def _success(
    setting: Setting,
    kind: str,
    reached: Mapping[str, tuple[np.ndarray, np.ndarray]],
    floors: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ceilings: Mapping[str, tuple[np.ndarray, np.ndarray]],
    absent: Mapping[str, str] = EMPTY,
    rule: str = "",
) -> Measured:
    """Success at the end, or ``_ever``, by search or by the ``_actor``."""
    place = int(kind == "_ever")
    values = {route: result[place] for route, result in reached.items()}
    how = "the actor alone at every step, no search" if kind == "_actor" else f"a new plan every {EXECUTED} steps"
    return Measured(
        question="planning",
        metric=f"success_{setting.name}{kind}",
        unit="of episodes",
        direction="higher",
        protocol=(
            f"goal picture {setting.offset} steps ahead in an unseen episode{setting.text}, {setting.budget} steps "
            f"allowed, {how}, starts at the goal left out; {rule} " + ("at some moment" if place else "at the end")
        ),
        values=values,
        floors={name: result[place] for name, result in floors.items()},
        ceilings={name: result[place] for name, result in ceilings.items()},
        intervals={route: wilson(int(won.sum()), len(won)) for route, won in values.items()},
        absent=absent,
        windows=False,
    )


def _milliseconds(metric: str, what: str, values: Mapping[str, np.ndarray], absent: Mapping[str, str]) -> Measured:
    return Measured(
        question="planning",
        metric=metric,
        unit="ms",
        direction="lower",
        protocol=f"wall clock of {what}",
        values=values,
        absent=absent,
        floorless="a decision that looks at nothing takes no time",
        windows=False,
    )
