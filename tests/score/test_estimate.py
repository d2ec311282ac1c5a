"""What is told before a run starts: how long, how large, and that it comes first."""

import logging
from types import SimpleNamespace

import pytest

from threeworlds.score import compare, estimate, scorecard
from threeworlds.train import Budget


def told_before(monkeypatch, caplog, name, module, run, **given):
    """The log up to where ``module.name`` is called, which is where work begins."""

    def stop(*_, **__):
        raise InterruptedError

    monkeypatch.setattr(module, name, stop)
    with caplog.at_level(logging.INFO, "threeworlds"), pytest.raises(InterruptedError):
        run(SimpleNamespace(**given))
    return [record.getMessage() for record in caplog.records]


def options(tmp_path, **changes):
    given = {"world": "arena", "video": None, "size": None, "routes": "sora,jepa", "budget": "2m", "recipe": "debug"}
    more = {
        "seed": 0,
        "seeds": "",
        "trials": 0,
        "items": 20,
        "zoo": False,
        "variant": (),
        "variants": {},
        "world_options": {},
    }
    return given | more | {"out": tmp_path / "out"} | changes


def test_a_comparison_tells_before_clips_are_made(tmp_path, monkeypatch, caplog):
    run = compare.run_compare
    clips, training, exam = told_before(monkeypatch, caplog, "open_clips", compare, run, **options(tmp_path))
    assert clips == "clips take about 246 MB on disk, mapped"  # 2,000 episodes of 40 frames of 32 x 32 pixels
    assert training.startswith("training takes about 5 min for 2 models; ")  # two minutes each, and helper heads
    assert exam.startswith("questions with 20 items to 2 models take about ")


def test_trials_are_told_too(tmp_path, monkeypatch, caplog):
    run = compare.run_compare
    _, training, _ = told_before(monkeypatch, caplog, "open_clips", compare, run, **options(tmp_path, trials=5))
    assert training.startswith("training takes about 7 min for 2 models and 10 trials; ")  # 12 s each, and helper heads
    caplog.clear()
    _, training, _ = told_before(
        monkeypatch, caplog, "open_clips", compare, run, **options(tmp_path, trials=2, budget="9steps")
    )
    assert training.startswith("each model is trained for 9 steps, each of 4 trials for 0.1 of that, how long")


def test_a_folder_of_films_is_surveyed_before_it_is_read(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(estimate, "of_films", lambda folder, size: f"{folder.name} at {size}")
    given = options(tmp_path, video=tmp_path / "mine")
    films, *_ = told_before(monkeypatch, caplog, "open_clips", compare, compare.run_compare, **given)
    assert films == "mine at 32"


def test_clips_that_are_there_take_nothing(tmp_path, monkeypatch, caplog):
    (tmp_path / "out" / "clips").mkdir(parents=True)
    first, *_ = told_before(monkeypatch, caplog, "open_clips", compare, compare.run_compare, **options(tmp_path))
    assert first.endswith("are there already")


def test_a_score_tells_before_models_are_read(tmp_path, monkeypatch, caplog):
    given = {"checkpoints": (tmp_path / "a", tmp_path / "b"), "out": tmp_path, "world": "arena", "seed": 0, "items": 20}
    more = {"world_options": {}, "questions": "text"}
    (told,) = told_before(monkeypatch, caplog, "seated", scorecard, scorecard.run_score, **given, **more)
    assert told.startswith("questions with 20 items to 2 models take about 0.1 min")


def test_items_models_and_questions_take_their_time(monkeypatch):
    monkeypatch.setattr(estimate.torch, "get_num_threads", lambda: 1)
    assert estimate.of_exam(3, 200) == "questions with 200 items to 3 models take about 15 min"
    assert estimate.of_exam(3, 200, 1 / 11).endswith("take about 1.4 min")
    monkeypatch.setattr(estimate.torch, "get_num_threads", lambda: 2)
    assert estimate.of_exam(3, 200).endswith("take about 8 min")


def test_flops_take_what_the_machine_gives_and_steps_are_not_guessed(monkeypatch):
    monkeypatch.setattr(estimate, "measure_sgemm", lambda: 100.0)
    told = estimate.of_training(3, [Budget.parse("4e12flops"), Budget.parse("8e12flops")])
    assert told.startswith("training takes about 17 min for 3 models")  # 3 x 1.2e13 / 4e10 FLOP/s, and helper heads
    assert estimate.of_training(1, [Budget.parse("300steps")]).startswith("each model is trained for 300 steps")
