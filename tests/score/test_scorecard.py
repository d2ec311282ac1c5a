"""The scorecard: from trained folders to result.json and a report; what cannot be scored is refused."""

import json
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from planted import CopyLast, Deaf, seat

from threeworlds.report import write_report
from threeworlds.routes import get_route
from threeworlds.score import control, scorecard
from threeworlds.score.clips import generate
from threeworlds.score.exam import NO_FLOOR
from threeworlds.score.films import film_of
from threeworlds.score.result import read_result
from threeworlds.train import Budget, load_model, train_route

ITEMS = 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return generate("arena", tmp_path_factory.mktemp("made") / "clips", episodes=24, seed=0, workers=1)


@pytest.fixture(scope="module")
def checkpoints(clips, tmp_path_factory):
    """Two routes, trained for five steps."""
    folders = {}
    for name in ("sora", "jepa"):
        route, out = get_route(name), tmp_path_factory.mktemp("models") / name
        config, budget = route.recipes["debug"](), Budget.parse("5steps")
        train_route(route, recipe="debug", config=config, store=clips, budget=budget, out=out, progress=False)
        folders[name] = out
    return folders


def options(checkpoints, out, **changes):
    given = {"world": "arena", "questions": "", "seed": 0, "items": ITEMS, "world_options": {}}
    return SimpleNamespace(checkpoints=tuple(checkpoints), out=out, **(given | changes))


@pytest.fixture(scope="module", autouse=True)
def _one_process():
    """Clips are made in this process: starting others takes longer than making these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.cpu_count", lambda: 1)
        yield


@pytest.fixture(scope="module")
def scored(checkpoints, tmp_path_factory):
    out = tmp_path_factory.mktemp("scored")
    return scorecard.run_score(options(checkpoints.values(), out)), out


# ------------------------------------------------------------------------------------------- the result


def test_the_result_reads_back_and_makes_a_report(scored):
    result, out = scored
    again = read_result(out / "result.json")
    assert len(again.rows) == len(result.rows)
    assert {v.claim: v.verdict for v in again.verdicts} == {v.claim: v.verdict for v in result.verdicts}
    write_report(out)
    for name in ("report.md", "report.html"):
        assert "sora" in (out / name).read_text()


def test_every_question_is_answered_by_every_route_or_says_why_not(scored):
    result, _ = scored
    asked = {(row.route, row.question) for row in result.rows}
    assert asked == {(route, question) for route in ("sora", "jepa") for question in scorecard.QUESTIONS}
    assert [row for row in result.rows if row.status == "failed"] == []
    assert all(row.reason for row in result.rows if row.status == "not_applicable")
    assert all(row.low <= row.value <= row.high for row in result.rows if row.low is not None)


def test_no_answer_is_without_floor_and_interval_or_says_why(scored):
    result, _ = scored
    answered = [row for row in result.rows if row.status == "ok"]
    assert len({row.question for row in answered}) == len(scorecard.QUESTIONS) - 1  # no goals in arena
    for row in answered:
        assert row.floor is not None or (row.floor_name == NO_FLOOR and "No floor, by design: " in row.protocol), row
        assert row.low is not None or "no interval" in row.protocol, row


def test_every_row_names_the_version_of_its_protocol(scored):
    result, _ = scored
    for question in scorecard.QUESTIONS + scorecard.ON_REQUEST:
        version = import_module(f"threeworlds.score.{question}").VERSION
        assert all(r.protocol.endswith(f" [{question}/{version}]") for r in result.rows if r.question == question)


def test_what_was_asked_and_of_whom_is_kept(scored, checkpoints):
    result, _ = scored
    assert result.data["exam"] == {
        "items": ITEMS,
        "films": ITEMS,
        "frames_given": 4,
        "frames_ahead": 16,
        "seed": 0,
        "world_options": {},
    }
    assert set(result.routes) == set(result.ledger) == {"sora", "jepa"}
    assert result.routes["jepa"]["recipe"] == "debug"
    assert result.ledger["sora"]["total"]["steps"] > 0
    assert {row.checkpoint for row in result.rows} == {"sora", "jepa"}
    assert result.command.startswith(f"threeworlds score {checkpoints['sora']} {checkpoints['jepa']} --world arena")


def test_films_are_there_and_the_clips_are_gone(scored):
    result, out = scored
    assert {film.kind for film in result.films} == {"prediction", "hallucination", "text", "play", "passive"}
    assert all((out / film.path).is_file() for film in result.films)
    assert len({film.path for film in result.films}) == len(result.films)
    assert {path.name for path in out.iterdir()} - {"report.md", "report.html"} == {"result.json", "films"}


def test_films_of_long_captions_keep_apart():
    long = "a large red disc falls quickly and bounces off the bottom wall " * 3
    paths = {
        film_of(item, route, "text", np.zeros((1, 8, 8, 3), np.uint8))[0].path
        for item in (long + "left", long + "right", "A b", "a-b")
        for route in ("truth", "sora")
    }
    assert len(paths) == 8
    assert max(map(len, paths)) < 90


def floors(result):
    return [row.floor for row in result.rows if row.metric.startswith(("psnr", "position"))]


def test_the_same_seed_asks_the_same_and_another_seed_other_items(scored, checkpoints, tmp_path):
    first, _ = scored
    ask = {"questions": "prediction"}
    again = scorecard.run_score(options([checkpoints["jepa"]], tmp_path / "a", **ask))
    other = scorecard.run_score(options([checkpoints["jepa"]], tmp_path / "b", seed=1, **ask))
    of_jepa = [replace(row, protocol="") for row in first.rows if row.route == "jepa" and row.question == "prediction"]
    assert [replace(row, protocol="") for row in again.rows] == of_jepa  # the protocol names all who were asked
    assert not set(floors(again)) & set(floors(other))


def test_no_episode_of_the_exam_was_trained_on_though_the_seeds_be_equal(checkpoints, clips, tmp_path, monkeypatch):
    exams = []

    def spy(store, **given):
        exams.append({store.video(i).tobytes() for i in range(len(store))})
        raise ValueError("seen enough")

    monkeypatch.setattr(scorecard, "build_exam", spy)
    with pytest.raises(ValueError, match="seen enough"):
        scorecard.run_score(options([checkpoints["sora"]], tmp_path, seed=0))
    assert len(exams[0]) == scorecard.EPISODES_PER_ITEM * ITEMS
    assert not exams[0] & {clips.video(i).tobytes() for i in range(len(clips))}
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_held_out_combinations_are_asked_though_none_of_them_may_train(checkpoints, tmp_path):
    asked = {"questions": "text,understanding", "world_options": {"combinations": "heldout"}}
    result = scorecard.run_score(options([checkpoints["sora"]], tmp_path, **asked))
    rows = {(row.question, row.metric): row for row in result.rows}
    assert rows["text", "colour"].status == rows["understanding", "position_r"].status == "ok"
    assert rows["text", "colour"].n == ITEMS
    assert rows["text", "colour"].ceiling == 1
    assert result.data["exam"]["world_options"] == {"combinations": "heldout"}
    assert "--option combinations=heldout" in result.command


def test_the_untrained_twin_is_another_network_and_leaves_the_draws_alone(checkpoints):
    import torch

    model, card = load_model(checkpoints["jepa"])
    torch.manual_seed(5)
    before = torch.get_rng_state()
    cards = [replace(card, seed=seed) for seed in (0, 0, 1)]
    entrants = [scorecard.make_entrant(model, each, checkpoints["jepa"]) for each in cards]
    assert torch.equal(before, torch.get_rng_state())
    twins = [entrant.untrained.state_dict() for entrant in entrants]
    (weight, *_) = (key for key, value in twins[0].items() if value.ndim > 1 and value.std() > 0)
    assert torch.equal(twins[0][weight], twins[1][weight])
    assert not torch.equal(twins[0][weight], twins[2][weight])
    assert not torch.equal(twins[0][weight], model.state_dict()[weight])
    assert not entrants[0].untrained.training


# ---------------------------------------------------------------------------------------- what is refused


def test_another_world_is_refused(checkpoints, tmp_path):
    with pytest.raises(ValueError, match="sora was trained on arena, not on world 'motion'"):
        scorecard.run_score(options([checkpoints["sora"]], tmp_path / "out", world="motion"))
    assert not (tmp_path / "out").exists()


def test_an_unknown_question_is_refused_with_those_there_are(checkpoints, tmp_path):
    with pytest.raises(ValueError, match="no question beauty; questions: prediction, "):
        scorecard.run_score(options([checkpoints["sora"]], tmp_path / "out", questions="text, beauty"))
    assert not (tmp_path / "out").exists()


def test_questions_are_split_at_commas_and_nothing_means_all():
    assert scorecard.checked_questions(" text,control ") == ("text", "control")
    assert scorecard.checked_questions("") == scorecard.QUESTIONS


def test_two_checkpoints_of_one_route_are_refused(checkpoints, tmp_path):
    with pytest.raises(ValueError, match="two checkpoints of one route"):
        scorecard.run_score(options([checkpoints["sora"]] * 2, tmp_path / "out"))


def test_checkpoints_of_two_sizes_are_refused(checkpoints):
    _, card = load_model(checkpoints["sora"])
    larger = replace(card, spec=replace(card.spec, height=64, width=64))
    scorecard._check_specs("arena", [card, card])
    with pytest.raises(ValueError, match="different sizes"):
        scorecard._check_specs("arena", [card, larger])


# ------------------------------------------------------------------------------------- what goes wrong


def test_a_question_that_breaks_costs_no_other(arena, tmp_path, monkeypatch):
    def broken(exam, entrants):
        raise FloatingPointError("no number")

    monkeypatch.setattr(control, "ask", broken)
    entrants = [seat("sora", CopyLast()), seat("jepa", Deaf())]
    rows, differences, films = scorecard.ask_all(arena, entrants, ("control", "prediction"), tmp_path)
    failed = [row for row in rows if row.status == "failed"]
    assert [(row.route, row.question, row.value) for row in failed] == [
        ("sora", "control", None),
        ("jepa", "control", None),
    ]
    assert all(row.reason == "FloatingPointError: no number" for row in failed)
    assert {row.route for row in rows if row.question == "prediction" and row.status == "ok"} == {"sora", "jepa"}
    assert {d.question for d in differences} == {"prediction"}
    assert films


@pytest.mark.parametrize("error", [KeyError("z"), AssertionError(), TypeError("no such argument"), MemoryError()])
def test_any_error_is_survived_also_in_the_statistics(error, arena, tmp_path, monkeypatch):
    def broken(measured, exam, entrants):
        raise error

    monkeypatch.setattr(scorecard, "rows_of", broken)
    rows, differences, films = scorecard.ask_all(arena, [seat("sora", CopyLast())], ("prediction",), tmp_path)
    assert [(row.status, row.reason.split(":")[0]) for row in rows] == [("failed", type(error).__name__)]
    assert differences == films == ()  # a question that failed has told nothing


class Broken(CopyLast):
    """Looks something up that is not there."""

    def __init__(self, error):
        self.error = error

    def predict(self, context, frames, *, action=None, seed=0):
        raise self.error


@pytest.mark.parametrize("error", [KeyError("z"), IndexError("beyond the end"), RuntimeError()])
def test_a_model_that_breaks_costs_only_itself(error, arena, tmp_path):
    entrants = [seat("sora", CopyLast()), seat("outside", Broken(error)), seat("jepa", Deaf())]
    rows, differences, films = scorecard.ask_all(arena, entrants, ("prediction",), tmp_path)
    (failed,) = [row for row in rows if row.status == "failed"]
    assert (failed.route, failed.question, failed.metric) == ("outside", "prediction", "all")
    assert failed.reason.startswith(type(error).__name__)
    kept = [seat("sora", CopyLast()), seat("jepa", Deaf())]
    without = scorecard.ask_all(arena, kept, ("prediction",), tmp_path)
    assert [row for row in rows if row is not failed] == list(without[0])
    assert (differences, films) == without[1:]


def test_a_film_that_cannot_be_written_costs_its_question_alone(arena, tmp_path, monkeypatch):
    def no_film(films, folder):
        if any(film.kind == "prediction" for film, _ in films):
            raise OSError("disk full")
        return ()

    monkeypatch.setattr(scorecard, "write_films", no_film)
    rows, _, _ = scorecard.ask_all(arena, [seat("sora", CopyLast())], ("prediction", "cost"), tmp_path)
    assert {row.question: row.status for row in rows}.keys() == {"prediction", "cost"}
    assert [row.reason for row in rows if row.question == "prediction"] == ["OSError: disk full"]


def test_who_stops_the_program_is_obeyed(arena, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        scorecard.ask_all(arena, [seat("sora", Broken(KeyboardInterrupt()))], ("prediction",), tmp_path)


def test_costs_come_from_the_ledger(scored):
    result, _ = scored
    for route in ("sora", "jepa"):
        cost = {row.metric: row.value for row in result.rows if (row.route, row.question) == (route, "cost")}
        total = result.ledger[route]["total"]
        assert cost["parameters"] == total["parameters"] > 0
        assert cost["train_flops"] == total["flops"] > 0
        assert cost["seconds_per_second"] > 0


def test_no_number_in_the_file_is_other_than_json(scored):
    text = (scored[1] / "result.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)
    assert np.isfinite([row["value"] for row in json.loads(text)["rows"] if row["value"] is not None]).all()
