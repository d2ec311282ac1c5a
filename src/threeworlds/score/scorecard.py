"""The scorecard: the same questions to every entrant, gathered into one result."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from threeworlds import __version__
from threeworlds.score.claims import judge_claims
from threeworlds.score.clips import generate
from threeworlds.score.estimate import of_exam
from threeworlds.score.exam import (
    EXAM_SEEDS,
    PROBE_EPISODES,
    Answers,
    Entrant,
    Exam,
    build_exam,
    corrected,
    differences_of,
    rows_of,
)
from threeworlds.score.films import write_films
from threeworlds.score.machine import describe_machine
from threeworlds.score.result import SCHEMA, write_result
from threeworlds.score.seeds import pooled, seeds_of, teams_of
from threeworlds.types import Difference, Film, Result, Row

if TYPE_CHECKING:
    from threeworlds.data import ClipStore
    from threeworlds.train import Card

# Each a module of this package with `ask(exam, entrants)`; the report shows a new one without change. `VERSION` is that
# of its protocol, and stands in every row: it rises with what is given, asked, or how answers are judged.
QUESTIONS = (
    "prediction",
    "physics",
    "hallucination",
    "control",
    "understanding",
    "text",
    "surprise",
    "planning",
    "passive",
    "play",
    "cost",
)
# Asked by name alone: imitation trains policies, for minutes; reward needs the recipe of that name; physics_iq is
# another benchmark's measure; simulator takes a minute, most of it for scenes that no training shows.
ON_REQUEST = ("imitation", "reward", "physics_iq", "simulator")
EPISODES_PER_ITEM = 10  # made anew for `score`, so that a tenth of them, the test split, gives the items

logger = logging.getLogger(__name__)


class SeatOptions(Protocol):
    """Which trained models sit which exam."""

    @property
    def checkpoints(self) -> tuple[Path, ...]: ...
    @property
    def out(self) -> Path: ...
    @property
    def world(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def items(self) -> int: ...
    @property
    def world_options(self) -> Mapping[str, Any]: ...


class ScoreOptions(SeatOptions, Protocol):
    """What ``threeworlds score`` was asked."""

    @property
    def questions(self) -> str: ...


Found = tuple[list[Row], list[Difference], list[Film]]


def ask_all(
    exam: Exam, entrants: Sequence[Entrant], questions: Sequence[str], out: Path
) -> tuple[tuple[Row, ...], tuple[Difference, ...], tuple[Film, ...]]:
    """Put every question to every entrant. Who breaks a question gets a failed row, and costs nobody else."""
    rows: list[Row] = []
    differences: list[Difference] = []
    films: list[Film] = []
    for question in questions:
        logger.info("asking: %s", question)
        own_rows, own_differences, own_films = _put(question, exam, entrants, out)
        rows += own_rows
        differences += own_differences
        films += own_films
    return tuple(rows), tuple(corrected(differences)), tuple(films)


def _put(question: str, exam: Exam, entrants: Sequence[Entrant], out: Path) -> Found:
    """Ask all together. Where that breaks, ask each alone, and then those together who did not break it."""
    try:
        return _ask(question, exam, entrants, out)
    except Exception as error:  # a route may come from outside, and break in any way
        logger.exception("the question %s failed", question)
        failed = [_failed(question, entrant, exam, error) for entrant in entrants]
    if len(entrants) == 1:
        return failed, [], []
    alone = [_put(question, exam, [entrant], out) for entrant in entrants]
    broken = [row for rows, _, _ in alone for row in rows if row.status == "failed"]
    sound = [entrant for entrant in entrants if entrant.route not in {row.route for row in broken}]
    if len(sound) == len(entrants):
        return failed, [], []
    rows, differences, films = _put(question, exam, sound, out) if sound else ([], [], [])
    return [*broken, *rows], differences, films


def _ask(question: str, exam: Exam, entrants: Sequence[Entrant], out: Path) -> Found:
    asker = import_module(f"threeworlds.score.{question}")
    answers: Answers = pooled([asker.ask(exam, team) for team in teams_of(entrants)], exam, seeds_of(entrants))
    rows = [*answers.rows, *(row for m in answers.measured for row in rows_of(m, exam, entrants))]
    differences = [d for m in answers.measured for d in differences_of(m, exam)]
    told = [replace(row, protocol=f"{row.protocol} [{question}/{asker.VERSION}]") for row in rows]
    return told, differences, list(write_films(answers.films, out))


def write_scorecard(
    exam: Exam,
    entrants: Sequence[Entrant],
    questions: Sequence[str],
    out: Path,
    *,
    command: str,
    data: Mapping[str, Any],
    curves: Mapping[str, Any],
) -> Result:
    """Ask, judge the claims, and write ``out/result.json`` and its films."""
    rows, differences, films = ask_all(exam, entrants, questions, out)
    result = Result(
        schema=SCHEMA,
        command=command,
        version=__version__,
        machine=describe_machine(),
        data={**data, "exam": exam_facts(exam)},
        ledger={e.route: {stage: asdict(ledger) for stage, ledger in e.ledger.items()} for e in entrants},
        routes={e.route: route_facts(e) for e in entrants},
        rows=rows,
        differences=differences,
        films=films,
        curves=curves,
    )
    result = replace(result, verdicts=judge_claims(result))
    write_result(result, out / "result.json")
    return result


def exam_facts(exam: Exam) -> dict[str, Any]:
    """How many items, of what length, drawn by which seed."""
    assert exam.test.video is not None
    return {
        "items": len(exam.test.video),
        "films": len(set(exam.groups)) or len(exam.test.video),
        "frames_given": exam.given.shape[1],
        "frames_ahead": exam.future.shape[1],
        "seed": exam.seed,
        "world_options": dict(exam.options),
    }


def route_facts(entrant: Entrant) -> dict[str, Any]:
    """What the report says of a route that no run can measure, and how this model was made."""
    from threeworlds.routes import get_route

    route = get_route(entrant.registered)
    return {
        "story": dict(route.story),
        "learns_from": route.learns_from,
        "recipe": entrant.recipe,
        "config": asdict(entrant.model.config),
        **({"trials": dict(entrant.trials)} if entrant.trials else {}),
    }


def entrant_of(path: Path) -> tuple[Entrant, Card]:
    """A trained model from its folder, and its untrained twin."""
    from threeworlds.train import load_model

    model, card = load_model(path)
    return make_entrant(model, card, path), card


def make_entrant(model: Any, card: Card, path: Path) -> Entrant:
    """Seat a model at the exam. Its twin's weights come from another seed than its own, and each seed has its own twin:
    models of several seeds are measured against as many untrained ones.
    """
    import torch

    from threeworlds.routes import get_route

    with torch.random.fork_rng():
        torch.manual_seed(card.seed + 1_000_003)
        untrained = get_route(card.route).build(card.config, card.spec).eval()
    return Entrant(
        route=card.route,
        recipe=card.recipe,
        model=model,
        untrained=untrained,
        ledger=card.ledger,
        checkpoint=path.name,
        seed=card.seed,
    )


def run_score(options: ScoreOptions) -> Result:
    """``threeworlds score``: trained models on episodes made anew from the seed, so that anyone can draw others."""
    from threeworlds.train import use_machine

    use_machine()
    questions = checked_questions(options.questions)
    logger.info("%s", of_exam(len(options.checkpoints), options.items, len(questions) / len(QUESTIONS)))
    with seated(options) as (exam, entrants, data):
        paths = " ".join(str(path) for path in options.checkpoints)
        command = (
            f"threeworlds score {paths} --world {options.world} --seed {options.seed} --items {options.items}"
            + "".join(f" --option {name}={value}" for name, value in options.world_options.items())
            + (f" --questions {options.questions}" if options.questions else "")
            + f" --out {options.out}"
        )
        return write_scorecard(exam, entrants, questions, options.out, command=command, data=data, curves={})


@contextmanager
def seated(options: SeatOptions) -> Iterator[tuple[Exam, list[Entrant], Mapping[str, Any]]]:
    """The exam, the trained models at it, and what is known of its clips, which are gone afterwards.

    Raises ValueError where two models are of one route, or were trained on another world or size.
    """
    pairs = [entrant_of(path) for path in options.checkpoints]
    names = [entrant.route for entrant, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"two checkpoints of one route: {', '.join(names)}; score them one at a time")
    _check_specs(options.world, [card for _, card in pairs])
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        clips = Path(folder) / "clips"
        size = pairs[0][1].spec.height
        count = EPISODES_PER_ITEM * options.items
        drawn: dict[str, Any] = {"seed": EXAM_SEEDS + options.seed, "options": options.world_options}
        store = generate(options.world, clips, episodes=count, size=size, **drawn)
        asked: dict[str, Any] = {"items": options.items, "seed": options.seed, "options": options.world_options}
        exam = build_exam(store, helpers=helpers(store, Path(folder), count, drawn["seed"]), **asked)
        yield exam, [entrant for entrant, _ in pairs], store.summary()


def helpers(store: ClipStore, folder: Path, count: int, seed: int) -> ClipStore:
    """Clips for probes and code maps: the store, or the world as it is without options where all of the store is kept
    for testing (held-out combinations).
    """
    if len(store.split("train")):
        return store
    most = min(count, EPISODES_PER_ITEM * PROBE_EPISODES // 8)  # eight of ten train
    return generate(store.spec.world, folder / "helpers", episodes=most, size=store.spec.height, seed=seed)


def checked_questions(text: str) -> tuple[str, ...]:
    """Names of questions from "a,b"; nothing means all."""
    names = tuple(name.strip() for name in text.split(",") if name.strip()) or QUESTIONS
    unknown = [name for name in names if name not in QUESTIONS + ON_REQUEST]
    if unknown:
        raise ValueError(f"no question {', '.join(unknown)}; questions: {', '.join(QUESTIONS + ON_REQUEST)}")
    return names


def _check_specs(world: str, cards: Sequence[Card]) -> None:
    for card in cards:
        if card.spec.world != world:
            made_for = card.spec.world or "video from outside"
            raise ValueError(f"{card.route} was trained on {made_for}, not on world {world!r}; score it there")
        if (card.spec.height, card.spec.width) != (cards[0].spec.height, cards[0].spec.width):
            raise ValueError("the checkpoints were trained on frames of different sizes; score them one at a time")


def _failed(question: str, entrant: Entrant, exam: Exam, error: Exception) -> Row:
    return Row(
        route=entrant.route,
        question=question,
        metric="all",
        unit="",
        direction="higher",
        status="failed",
        reason=f"{type(error).__name__}: {error}",
        world=exam.spec.world or "video",
        seed=exam.seed,
    )
