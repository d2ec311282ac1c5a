"""The main job: the same clips and the same budget for each route, then one scorecard."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from threeworlds import __version__
from threeworlds.score import estimate
from threeworlds.score.clips import generate, made_once
from threeworlds.score.exam import Entrant, build_exam
from threeworlds.score.result import read_result, write_result
from threeworlds.score.scorecard import QUESTIONS, make_entrant, run_score, write_scorecard
from threeworlds.score.seeds import SHOWN
from threeworlds.score.trials import check_trials, factors, tune
from threeworlds.score.zoo import ZOO, chosen_models
from threeworlds.types import Result
from threeworlds.worlds import WORLDS

if TYPE_CHECKING:
    from threeworlds.data import ClipStore
    from threeworlds.train import Budget, TrainedRun

RESULT = "result.json"
EPISODES = 2000  # of a world: 80,000 frames of arena
VIDEO_SIZE = 32  # pixels a side of a user's films, unless asked otherwise

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """What is trained under one name: a route, and its config."""

    route: str
    config: Any


class CompareOptions(Protocol):
    """What ``threeworlds compare`` was asked."""

    @property
    def out(self) -> Path: ...
    @property
    def world(self) -> str: ...
    @property
    def video(self) -> Path | None: ...
    @property
    def size(self) -> int | None: ...
    @property
    def routes(self) -> str: ...
    @property
    def budget(self) -> str: ...
    @property
    def recipe(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def seeds(self) -> str: ...
    @property
    def trials(self) -> int: ...
    @property
    def items(self) -> int: ...
    @property
    def zoo(self) -> bool: ...
    @property
    def variant(self) -> tuple[str, ...]: ...
    @property
    def variants(self) -> Mapping[str, Contestant]: ...
    @property
    def world_options(self) -> Mapping[str, Any]: ...


def run_compare(options: CompareOptions) -> Result:
    """Clips, three trainings, one exam. Run again with the same options, it goes on where it stopped."""
    from threeworlds.train import Budget, use_machine

    if options.zoo:
        return run_zoo(options)
    use_machine()
    entries, budgets = contestants(options), [Budget.parse(text) for text in options.budget.split(",")]
    seeds, tried = training_seeds(options), len(factors(options.trials))
    if len({budget.kind for budget in budgets}) > 1:
        raise ValueError(f"budgets {options.budget!r}: several budgets must be of one kind, such as 1m,2m,4m")
    options.out.mkdir(parents=True, exist_ok=True)
    tell_estimate(options, len(entries) * len(seeds), budgets, len(entries) * tried)
    store = open_clips(options)
    if len(budgets) == 1:
        return _compare(options, store, entries, budgets[0], options.out, command_of(options), QUESTIONS)
    results: dict[Budget, Result] = {}
    for budget in sorted(budgets, key=lambda b: b.amount):
        folder = options.out / f"budget-{budget}"
        command = command_of(options, budget=budget, out=folder)
        asked = QUESTIONS if budget.amount == max(b.amount for b in budgets) else against_budget()
        known = _asked_before(options.out, folder, command, asked)
        results[budget] = known or _compare(options, store, entries, budget, folder, command, asked)
    return _against_budget(options, results)


def against_budget() -> tuple[str, ...]:
    """The questions whose scores are shown against budget."""
    shown = {question for question, _ in SHOWN}
    return tuple(name for name in QUESTIONS if name in shown)


def _asked_before(whole: Path, part: Path, command: str, questions: Sequence[str]) -> Result | None:
    """What a run that was stopped between budgets has of this one. A finished run that is repeated asks all anew.

    Among other budgets this one may have been asked less: then it is asked again.
    """
    if (whole / RESULT).exists() or not (part / RESULT).exists():
        return None
    result = read_result(part / RESULT)
    same = (result.command, result.version) == (command, __version__)
    return result if same and {row.question for row in result.rows}.issuperset(questions) else None


def _compare(
    options: CompareOptions,
    store: ClipStore,
    entries: Mapping[str, Contestant],
    budget: Budget,
    out: Path,
    command: str,
    questions: Sequence[str],
) -> Result:
    """Train each route for one budget, with each seed, and put the questions."""
    entrants: list[Entrant] = []
    curves: dict[str, Any] = {}
    first, *others = training_seeds(options)
    out.mkdir(parents=True, exist_ok=True)
    tried = check_trials(out, options.trials, entries, store.spec)
    for name, entry in entries.items():
        train = partial(_train, entry, options, store)
        trials = tune(partial(train, first), options.trials, store, budget, tried / name) if options.trials else {}
        rate = trials.get("chosen", 1.0)
        logger.info("training %s for %s", name, budget)
        run = train(first, budget, out / "models" / name, rate)
        further = [train(s, budget, out / "models" / seed_name(name, s), rate) for s in others]
        siblings = tuple(_seat(name, other) for other in further)
        entrants.append(replace(_seat(name, run), siblings=siblings, trials=trials))
        curves |= {f"{name}/{stage}": curve for stage, curve in run.curves.items()}
    exam = build_exam(store, items=options.items, seed=options.seed, options=options.world_options)
    data = {
        **data_facts(store, options),
        "budget": str(budget),
        "equal": equality(budget.kind, len(others) + 1, options.trials),
    }
    return write_scorecard(exam, entrants, questions, out, command=command, data=data, curves=curves)


def _against_budget(options: CompareOptions, results: Mapping[Budget, Result]) -> Result:
    """The result of the largest budget, and what all scored, where it is shown, as the question "budget"."""
    largest = list(results)[-1]
    rows = [
        replace(row, question="budget", metric=f"{SHOWN[row.question, row.metric]}_{budget.amount:.0f}")
        for budget, result in results.items()
        for row in result.rows
        if (row.question, row.metric) in SHOWN and row.status == "ok"
    ]
    films = [replace(film, path=f"budget-{largest}/{film.path}") for film in results[largest].films]
    data = {**results[largest].data, "budgets": [str(budget) for budget in results]}
    rows = [*results[largest].rows, *rows]
    whole = replace(results[largest], command=command_of(options), rows=tuple(rows), films=tuple(films), data=data)
    write_result(whole, options.out / RESULT)
    return whole


@dataclass(frozen=True, kw_only=True)
class ZooScore:
    """What ``compare --zoo`` asks of ``score``."""

    checkpoints: tuple[Path, ...]
    out: Path
    world: str
    seed: int
    items: int
    world_options: Mapping[str, Any]
    questions: str = ""


def run_zoo(options: CompareOptions) -> Result:
    """Score the trained models in ./zoo, in place of training: on episodes made anew from the seed."""
    if options.video is not None or options.size is not None or options.seeds or options.variant or options.trials:
        raise ValueError("--zoo scores models that are there: leave out --video, --size, --seeds, --variant, --trials")
    recipes = {route: recipe_of(route, options.recipe) for route in checked_routes(options.routes)}
    folders = chosen_models(ZOO, options.world, recipes)
    return run_score(
        ZooScore(
            checkpoints=folders,
            out=options.out,
            world=options.world,
            seed=options.seed,
            items=options.items,
            world_options=options.world_options,
        )
    )


def tell_estimate(options: CompareOptions, models: int, budgets: Sequence[Budget], trials: int) -> None:
    """Time and memory, before anything is read, made or trained."""
    clips = options.out / "clips"
    if clips.exists():
        logger.info("%s are there already", clips)
    elif options.video is not None:
        logger.info("%s", estimate.of_films(options.video, options.size or VIDEO_SIZE))
    elif options.world in WORLDS:
        spec = WORLDS[options.world].spec(options.size, **options.world_options)
        logger.info("%s", estimate.of_clips(EPISODES * WORLDS[options.world].steps, spec.height, spec.width))
    logger.info("%s", estimate.of_training(models, budgets, trials))
    part = (1 + (len(budgets) - 1) * len(against_budget()) / len(QUESTIONS)) / len(budgets)
    logger.info("%s", estimate.of_exam(models * len(budgets), options.items, part))


def open_clips(options: CompareOptions) -> ClipStore:
    """The clips in ``out/clips``, made now unless an earlier run of the same command made them."""
    from threeworlds.data import ClipStore, ingest

    path = options.out / "clips"
    if options.video is None:
        asked: dict[str, Any] = {
            "episodes": EPISODES,
            "seed": options.seed,
            "size": options.size,
            "options": options.world_options,
        }
        make = partial(generate, options.world, path, **asked)
        return made_once(path, {"world": options.world, **asked}, make)
    video, size = options.video, options.size or VIDEO_SIZE

    def read() -> ClipStore:
        ingest(video, path, size=(size, size))
        return ClipStore.open(path)

    return made_once(path, {"video": video.resolve(), "size": size}, read)


def data_facts(store: ClipStore, options: CompareOptions) -> dict[str, Any]:
    """What the report says of the clips; files that could not be used, each with its cause."""
    facts = dict(store.summary())
    refused = facts.get("ingest", {}).get("quarantined", {})
    facts["source"] = f"world {options.world}" if options.video is None else f"films in {options.video.name}"
    facts["quarantine"] = [{"file": file, "cause": cause} for file, cause in refused.items()]
    return facts


def checked_routes(text: str) -> tuple[str, ...]:
    """Names of routes from "a,b"."""
    from threeworlds.routes import route_names

    known = route_names()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"routes {text!r}; allowed: {', '.join(known)}, separated by commas")
    return names


def equality(kind: str, seeds: int = 1, trials: int = 0) -> str:
    """In what the comparison is equal, and in what not, in words."""
    each = "each route" if seeds == 1 else f"each of a route's {seeds} models"
    equal = {"seconds": "wall clock", "flops": "FLOPs", "clips": "windows seen", "steps": "optimiser steps"}[kind]
    tried = f"{trials} tuning trials of every route and " if trials else ""
    return (
        f"equal clips and equal {equal} for {each}, all its parts together; {tried}helper heads are extra and declared"
    )


def command_of(options: CompareOptions, *, budget: Budget | None = None, out: Path | None = None) -> str:
    """The command line that makes this result again, or of several budgets the part of one."""
    given: Mapping[str, Any] = {
        "world" if options.video is None else "video": options.world if options.video is None else options.video,
        **({"size": options.size} if options.size else {}),
        "routes": options.routes,
        "budget": budget or options.budget,
        "recipe": options.recipe,
        "seed": options.seed,
        **({"seeds": options.seeds} if options.seeds else {}),
        **({"trials": options.trials} if options.trials else {}),
        "items": options.items,
        "out": out or options.out,
    }
    words = [f"--{name} {value}" for name, value in given.items()]
    words += [f"--option {name}={value}" for name, value in options.world_options.items()]
    words += [f"--variant {text}" for text in options.variant]
    return "threeworlds compare " + " ".join(words)


def training_seeds(options: CompareOptions) -> tuple[int, ...]:
    """Seeds of the models, from "0,1,2"; without them the one seed of clips and exam."""
    words = [word.strip() for word in options.seeds.split(",") if word.strip()]
    if not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
        raise ValueError(f"seeds {options.seeds!r}: different whole numbers, separated by commas, such as 0,1,2")
    return tuple(int(word) for word in words) or (options.seed,)


def seed_name(name: str, seed: int) -> str:
    """The folder of a contestant trained with a seed that is not the first."""
    return f"{name}-seed-{seed}"


def contestants(options: CompareOptions) -> Mapping[str, Contestant]:
    """What is trained, by name: the routes as they are, then their variants."""
    plain = {name: Contestant(route=name, config=named_config(name, options.recipe)) for name in _routes(options)}
    entries = plain | dict(options.variants)
    of_seeds = {seed_name(name, seed) for name in entries for seed in training_seeds(options)}
    doubled = sorted((set(plain) | of_seeds) & set(options.variants))
    if doubled:
        raise ValueError(f"--variant {doubled[0]}=...: that name is a model of this comparison; take another")
    idle = sorted(set(recipe_names(options.recipe)[1]) - {entry.route for entry in entries.values()})
    if idle:
        raise ValueError(f"recipe {options.recipe!r}: {idle[0]} is not compared; routes: {', '.join(entries)}")
    return entries


def named_config(route: str, recipe: str) -> Any:
    """The config of a route's recipe; ValueError where it has none of that name."""
    from threeworlds.routes import get_route

    recipes, name = get_route(route).recipes, recipe_of(route, recipe)
    if name not in recipes:
        raise ValueError(f"{route} has no recipe {name!r}; recipes: {', '.join(recipes)}")
    return recipes[name]()


def recipe_of(route: str, recipe: str) -> str:
    """The name of a route's recipe, from words such as "base", or "base,sora=large" where one takes another."""
    every, own = recipe_names(recipe)
    return own.get(route, every)


def recipe_names(recipe: str) -> tuple[str, dict[str, str]]:
    """The recipe of all routes, and those of routes that take another."""
    every, *others = recipe.split(",")
    own = dict(other.split("=", 1) for other in others if other.count("=") == 1)
    if "=" in every or len(own) < len(others):
        raise ValueError(f"recipe {recipe!r}: a name for all routes, then ROUTE=NAME for any; such as base,sora=large")
    if own:
        checked_routes(",".join(own))
    return every, own


def _routes(options: CompareOptions) -> tuple[str, ...]:
    """None are needed where there are variants."""
    return checked_routes(options.routes) if options.routes or not options.variant else ()


def _train(
    entry: Contestant, options: CompareOptions, store: ClipStore, seed: int, budget: Budget, out: Path, rate: float
) -> TrainedRun:
    from threeworlds.routes import get_route
    from threeworlds.train import train_route

    return train_route(
        get_route(entry.route),
        recipe=recipe_of(entry.route, options.recipe),
        config=entry.config,
        store=store,
        budget=budget,
        out=out,
        seed=seed,
        rate=rate,
        resume=True,
    )


def _seat(name: str, run: TrainedRun) -> Entrant:
    from threeworlds.train import load_model

    model, card = load_model(run.path)  # what is scored is what was written
    entrant = make_entrant(model, card, run.path)
    return replace(entrant, route=name, variant_of=card.route if name != card.route else "")
