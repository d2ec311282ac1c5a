"""Tuning trials: as many for every route, of the same factors, chosen on validation clips: `compare --trials`."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from threeworlds.cli import main
from threeworlds.data import ClipStore, ClipWriter
from threeworlds.routes import get_route
from threeworlds.score import compare, trials
from threeworlds.score.compare import Contestant
from threeworlds.train import Budget, ResumeError, TrainingError
from threeworlds.types import Clip, ClipSpec, Imagined, Ledger

SPEC = ClipSpec(height=8, width=8, fps=10.0)
BUDGET = Budget.parse("100steps")


@pytest.mark.parametrize(
    ("number", "found"), [(0, ()), (2, (1, 1 / 2)), (3, (1, 1 / 2, 2)), (5, (1, 1 / 2, 2, 1 / 4, 4))]
)
def test_factors_go_outwards_from_the_recipes_own(number: int, found: tuple[float, ...]) -> None:
    assert trials.factors(number) == found


@pytest.mark.parametrize("number", [-1, 1, 6])
def test_one_trial_or_six_are_refused(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=f"trials {number}: 2 to 5"):
        trials.factors(number)
    assert main(["compare", "--trials", str(number), "--out", str(tmp_path / "out")]) == 2
    assert "2 to 5 for each route, or 0 for none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ----------------------------------------------------------------------------------------- the choice


class Trainer:
    """In place of a training: keeps what it was asked, and writes nothing."""

    def __init__(self, diverges: tuple[float, ...] = ()) -> None:
        self.asked: list[tuple[str, float, str]] = []
        self.diverges = diverges

    def __call__(self, budget: Budget, out: Path, rate: float) -> Any:
        self.asked.append((str(budget), rate, out.name))
        out.mkdir(parents=True, exist_ok=True)
        if rate in self.diverges:
            error = TrainingError("loss nan")
            error.spent = Ledger(flops=7.0, seconds=0.7)
            raise error
        ledger = {"world": Ledger(flops=100.0, seconds=10.0), "decoder": Ledger(flops=20.0, seconds=2.0)}
        return SimpleNamespace(path=out, rate=rate, ledger=ledger)


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> dict[float, float]:
    """What validation clips say of each factor; to be changed."""
    found = {1.0: 0.3, 0.5: 0.2, 2.0: 0.1, 0.25: 0.4, 4.0: 0.5}
    look = Ledger(flops=3.0, seconds=0.3)
    monkeypatch.setattr(trials, "free_error", lambda run, store: (found[run.rate], look))
    return found


def tuned(train: Trainer, number: int, folder: Path) -> Any:
    return trials.tune(train, number, None, BUDGET, folder)  # type: ignore[arg-type]


def test_the_least_error_is_taken_and_all_that_was_spent_is_told(errors: dict[float, float], tmp_path: Path) -> None:
    train = Trainer()
    found = tuned(train, 3, tmp_path)
    assert train.asked == [("10steps", 1.0, "rate-1"), ("10steps", 0.5, "rate-0.5"), ("10steps", 2.0, "rate-2")]
    assert found["chosen"] == 2.0
    assert [(t["factor"], t["error"], t["flops"]) for t in found["tried"]] == [
        (1, 0.3, 123),
        (0.5, 0.2, 123),
        (2, 0.1, 123),
    ]
    assert (found["flops"], found["seconds"]) == (3 * 123, pytest.approx(3 * 12.3))
    assert json.loads((tmp_path / "trials.json").read_text()) == found


def test_of_equals_the_recipes_own_rate_stays(errors: dict[float, float], tmp_path: Path) -> None:
    errors.update({0.5: 0.3, 2.0: 0.3})
    assert tuned(Trainer(), 3, tmp_path)["chosen"] == 1.0


def test_a_trial_that_diverges_is_counted_and_not_taken(errors: dict[float, float], tmp_path: Path) -> None:
    found = tuned(Trainer(diverges=(2.0,)), 3, tmp_path)
    assert found["chosen"] == 0.5
    assert found["tried"][2] == {"factor": 2.0, "error": None, "flops": 7.0, "seconds": 0.7}
    assert found["flops"] == 123 + 123 + 7


def test_what_was_found_is_not_asked_again(errors: dict[float, float], tmp_path: Path) -> None:
    first = tuned(Trainer(diverges=(2.0,)), 3, tmp_path)
    errors.clear()
    assert tuned(Trainer(diverges=(2.0,)), 3, tmp_path) == first


# ----------------------------------------------------------------------------------- what is looked at


STEP = 2 * 2 / 255  # of a frame to the next in the clips below, where white is 2 above black


class Brighter(nn.Module):
    """Goes on from the last frame, each frame so much brighter than the one before."""

    control = "none"

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def predict(self, context: torch.Tensor, frames: int, *, action: object = None, seed: int = 0) -> Imagined:
        ahead = torch.arange(1, frames + 1)[:, None, None, None]
        return Imagined(video=context[:, -1:] + self.by * ahead)


@pytest.fixture
def dawn(tmp_path: Path) -> ClipStore:
    """Clips that grow brighter, each from a shade of its own."""
    with ClipWriter(tmp_path / "clips", SPEC) as writer:
        for number in range(40):
            shades = 60 + number + 2 * np.arange(24, dtype=np.uint8)
            video = np.broadcast_to(shades[:, None, None, None], (24, 8, 8, 3)).astype(np.uint8)
            writer.add(Clip(video=video, source=f"clip {number}"))
    return ClipStore.open(tmp_path / "clips")


def error_of(model: nn.Module, store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> float | None:
    card = SimpleNamespace(route="brighter", seed=0)
    monkeypatch.setattr("threeworlds.train.load_model", lambda path: (model, card))
    return trials.free_error(SimpleNamespace(path=Path()), store)[0]  # type: ignore[arg-type]


def test_the_error_is_that_of_the_frames(dawn: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert error_of(Brighter(STEP), dawn, monkeypatch) == pytest.approx(0.0, abs=1e-9)
    behind = np.mean([(2 * ahead / 255) ** 2 for ahead in range(1, 17)])  # a still picture; 16 frames asked
    assert error_of(Brighter(0.0), dawn, monkeypatch) == pytest.approx(behind, rel=1e-4)
    assert error_of(Brighter(float("nan")), dawn, monkeypatch) is None


def test_nothing_of_the_test_split_is_read(dawn: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    gather, clip = dawn.gather, dawn.clip

    def gathered(episodes: Any, *given: Any) -> Any:
        read.extend(episodes)
        return gather(episodes, *given)

    def clipped(episode: int) -> Any:
        read.append(episode)
        return clip(episode)

    monkeypatch.setattr(dawn, "gather", gathered)
    monkeypatch.setattr(dawn, "clip", clipped)
    error_of(Brighter(0.1), dawn, monkeypatch)
    assert set(read) >= set(dawn.split("val").tolist())
    assert not set(read) & set(dawn.split("test").tolist())


# --------------------------------------------------------------------------------- what is refused early


def test_a_folder_of_other_trials_is_refused(tmp_path: Path) -> None:
    check = {"entries": {}, "spec": SPEC}
    assert trials.check_trials(tmp_path, 2, **check) == tmp_path / "trials-2"
    (tmp_path / "models").mkdir()
    trials.check_trials(tmp_path, 0, **check)
    with pytest.raises(ResumeError, match="trials was 0, now 2"):
        trials.check_trials(tmp_path, 2, **check)
    (tmp_path / "trials-3").mkdir()
    trials.check_trials(tmp_path, 3, **check)
    for other in (0, 2):
        with pytest.raises(ResumeError, match=f"trials was 3, now {other}"):
            trials.check_trials(tmp_path, other, **check)


def test_a_route_without_frames_is_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = replace(get_route("jepa"), build=lambda config, spec: nn.Linear(2, 2))
    monkeypatch.setattr("threeworlds.routes.get_route", lambda name: blind)
    entries = {"mine": Contestant(route="blind", config=None)}
    trials.check_trials(tmp_path, 0, entries, SPEC)
    with pytest.raises(ValueError, match="mine shows no frames"):
        trials.check_trials(tmp_path, 2, entries, SPEC)


# ------------------------------------------------------------------------------------------ the command

COMMAND = (
    "compare --routes jepa --variant narrow=jepa:world.state=8 --recipe debug --budget 10steps --items 4 --seeds 0,1"
)


@pytest.fixture(scope="module")
def small() -> Iterator[pytest.MonkeyPatch]:
    """Few clips, and one question that costs nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "EPISODES", 60)
        patch.setattr(compare, "QUESTIONS", ("cost",))
        yield patch


@pytest.fixture(scope="module")
def out(small: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison in which half the learning rate is found to err least."""
    out, look = tmp_path_factory.mktemp("compared") / "out", trials.free_error

    def favouring(run: Any, store: ClipStore) -> tuple[float | None, Ledger]:
        error, spent = look(run, store)
        assert error is not None
        return (error / 2 if run.path.name == "rate-0.5" else error), spent

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "free_error", favouring)
        assert main([*COMMAND.split(), "--trials", "2", "--out", str(out)]) == 0
    return out


def test_every_route_has_its_trials_in_result_and_report(out: Path) -> None:
    result = json.loads((out / "result.json").read_text())
    for name in ("jepa", "narrow"):
        found = result["routes"][name]["trials"]
        assert found["chosen"] == 0.5
        assert [trial["factor"] for trial in found["tried"]] == [1.0, 0.5]
        assert all(trial["flops"] > 0 and trial["seconds"] > 0 and trial["error"] > 0 for trial in found["tried"])
    assert "--trials 2" in result["command"]
    assert "2 tuning trials of every route" in result["data"]["equal"]
    report = (out / "report.md").read_text()
    assert "tuning trials (2)" in report
    assert report.count("error 0.") == 4
    assert not list(out.glob("trials-2/*-seed-1"))


def test_the_choice_holds_for_all_seeds_and_its_command_makes_the_model_again(out: Path, tmp_path: Path) -> None:
    for folder in ("jepa", "jepa-seed-1", "narrow", "narrow-seed-1"):
        assert json.loads((out / "models" / folder / "run.json").read_text())["rate"] == 0.5
    words = shlex.split(json.loads((out / "models" / "narrow" / "card.json").read_text())["command"])
    words = [str(out / "clips") if word == "CLIPS" else word for word in words]
    assert main([*words[1:], "--out", str(tmp_path / "again")]) == 0
    made, again = (path / "model.safetensors" for path in (out / "models" / "narrow", tmp_path / "again"))
    assert made.read_bytes() == again.read_bytes()


def test_a_second_run_trains_and_looks_at_nothing_again(
    out: Path, small: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = json.loads((out / "result.json").read_text())
    monkeypatch.setattr("threeworlds.train.loop._Loop", None)
    monkeypatch.setattr(trials, "free_error", None)
    assert main([*COMMAND.split(), "--trials", "2", "--out", str(out)]) == 0
    assert json.loads((out / "result.json").read_text())["routes"] == before["routes"]


@pytest.mark.parametrize("other", [0, 3])
def test_the_command_refuses_other_trials(
    out: Path, small: pytest.MonkeyPatch, other: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMAND.split(), "--trials", str(other), "--out", str(out)]) == 2
    assert f"trials was 2, now {other}" in capsys.readouterr().err
