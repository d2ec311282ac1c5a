"""A run that is killed and resumed equals the run that was not, bit for bit; bad checkpoints are told apart."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_route
from toy_route import ToyConfig, train_toy

from threeworlds.data import ClipStore
from threeworlds.train import CheckpointError, CheckpointWarning, ResumeError, TrainedRun
from threeworlds.train.checkpoint import FINISHED, checkpoint_paths


def results(path: Path) -> dict[str, bytes]:
    """What must be equal, byte by byte."""
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("metrics.jsonl"))} | {
        "weights": (path / "model.safetensors").read_bytes()
    }


def start(store: ClipStore, out: Path, die_at_sync: int = 0) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, toy_route.__file__, str(store.path), str(out), str(die_at_sync)])


def lines(out: Path) -> int:
    # One level down only: checkpoint folders come and go while the run is watched.
    return sum(file.read_bytes().count(b"\n") for file in out.glob("*/metrics.jsonl"))


def cut(path: Path, stage: str) -> None:
    """As if the run had been stopped after that stage's last checkpoint, before the stage was finished."""
    later = [folder for folder in sorted(path.glob("[0-9][0-9]-*")) if folder.name > stage]
    for folder in (path / stage / FINISHED, *later):
        shutil.rmtree(folder)
    (path / "model.safetensors").unlink()


@pytest.fixture
def copy(run: TrainedRun, out: Path) -> Path:
    return Path(shutil.copytree(run.path, out))


def test_same_arguments_give_the_same_bytes(run: TrainedRun, store: ClipStore, out: Path) -> None:
    assert results(train_toy(store, out).path) == results(run.path)


def test_checkpoints_change_nothing(run: TrainedRun, store: ClipStore, out: Path) -> None:
    assert results(train_toy(store, out, every="1h").path) == results(run.path)


def test_another_seed_gives_other_bytes(run: TrainedRun, store: ClipStore, out: Path) -> None:
    other = results(train_toy(store, out, seed=1).path)
    assert all(other[name] != data for name, data in results(run.path).items())


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed(run: TrainedRun, store: ClipStore, out: Path) -> None:
    """Real processes: killed while writing checkpoints of each stage, and at moments nobody chose."""
    for die_at_sync in (3, 8, 14, 22):
        assert start(store, out, die_at_sync).wait() == -signal.SIGKILL
    killed = 0
    while killed < 3:
        target = lines(out) + random.randrange(1, 12)
        process = start(store, out)
        while process.poll() is None and lines(out) < target:
            time.sleep(0.001)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        if process.returncode == 0:
            break
    assert killed
    assert start(store, out).wait() == 0
    assert results(out) == results(run.path)


@pytest.mark.parametrize("stage", ["00-autoencoder", "01-dynamics", "02-head"])
def test_resumed_in_each_stage(run: TrainedRun, store: ClipStore, copy: Path, stage: str) -> None:
    cut(copy, stage)
    shutil.rmtree(checkpoint_paths(copy / stage)[-1])
    resumed = train_toy(store, copy, resume=True)
    assert results(copy) == results(run.path)
    assert resumed.total.steps == run.total.steps
    assert resumed.total.flops == run.total.flops
    assert resumed.curves == run.curves


def test_finished_stages_are_not_trained_again(
    run: TrainedRun, store: ClipStore, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threeworlds.train.loop._Loop", None)
    again = train_toy(store, copy, resume=True)
    assert (again.ledger, again.total, again.curves) == (run.ledger, run.total, run.curves)
    assert results(copy) == results(run.path)


def tear(path: Path) -> None:
    file = path / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def flip(path: Path) -> None:
    file = path / "tensors.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def edit(path: Path) -> None:
    file = path / "state.json"
    document = json.loads(file.read_text())
    document["state"]["ledger"]["steps"] = 1
    file.write_text(json.dumps(document))


def empty(path: Path) -> None:
    (path / "state.json").write_text("")


def lose(path: Path) -> None:
    (path / "tensors.safetensors").unlink()


@pytest.mark.parametrize("damage", [tear, flip, edit, empty, lose])
def test_damaged_checkpoint_is_named_and_the_one_before_used(
    run: TrainedRun, store: ClipStore, copy: Path, damage
) -> None:
    cut(copy, "01-dynamics")
    _, last = checkpoint_paths(copy / "01-dynamics")
    damage(last)
    with pytest.warns(CheckpointWarning, match=last.name):
        train_toy(store, copy, resume=True)
    assert results(copy) == results(run.path)


def test_no_usable_checkpoint(store: ClipStore, copy: Path) -> None:
    cut(copy, "01-dynamics")
    for path in checkpoint_paths(copy / "01-dynamics"):
        tear(path)
    with pytest.warns(CheckpointWarning), pytest.raises(CheckpointError, match=r"no usable checkpoint: .*torn"):
        train_toy(store, copy, resume=True)


def test_lost_metrics(store: ClipStore, copy: Path) -> None:
    cut(copy, "01-dynamics")
    (copy / "01-dynamics" / "metrics.jsonl").write_text("")
    with pytest.raises(CheckpointError, match=r"metrics.jsonl: 0 bytes"):
        train_toy(store, copy, resume=True)


def test_another_run_in_the_folder(store: ClipStore, copy: Path) -> None:
    with pytest.raises(ResumeError, match="holds a run already"):
        train_toy(store, copy)
    with pytest.raises(ResumeError, match="seed was 0, now 1"):
        train_toy(store, copy, resume=True, seed=1)
    with pytest.raises(ResumeError, match=r"config\.width was 8, now 9"):
        train_toy(store, copy, resume=True, config=ToyConfig(width=9))
    with pytest.raises(ResumeError, match="budget was '50steps', now '51steps'"):
        train_toy(store, copy, resume=True, budget="51steps")


def test_other_clips(store: ClipStore, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**facts, "data_hash": "other"}))
    with pytest.raises(ResumeError, match="data_hash was 'other'"):
        train_toy(store, copy, resume=True)
