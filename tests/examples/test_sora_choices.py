"""The experiment on sora's choices: training spends its seconds, every trial fills its rows, and none is made twice."""

import json
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import torch

from threeworlds.routes.sora.autoencoder import Autoencoder, PixelPatches
from threeworlds.routes.sora.model import Sora
from threeworlds.routes.sora.recipes import debug
from threeworlds.types import ClipSpec

SCRIPT = Path(__file__).parents[2] / "experiments" / "sora_choices.py"
CHECKPOINT = SCRIPT.parents[1] / "zoo" / "arena-sora-base"


@pytest.fixture(scope="module")
def choices(load_script):
    return load_script("experiments/sora_choices.py")


@pytest.fixture(scope="module")
def trial(choices, tmp_path_factory):
    choices.EPISODES = 24
    return choices.Trial(CHECKPOINT, 0.5, 2, 0, tmp_path_factory.mktemp("work"))


def test_a_compression_network_learns_in_its_seconds_and_no_more(choices, trial):
    clips, captions = trial.drawn(combinations="heldout")
    start = process_time()
    (row,) = choices.compressed(trial, "conv", {"channels": (8, 8, 16)}, clips, captions)
    assert 0.5 <= process_time() - start < 30
    assert row["steps"] > 2
    assert row["clips"] == row["steps"] * choices.AutoencoderConfig().batch_size
    assert (row["tokens_a_frame"], row["numbers_a_frame"]) == (4, 64)


def test_pixels_lose_nothing_and_are_not_trained(choices, trial):
    clips, captions = trial.drawn(combinations="heldout")
    (row,) = choices.compressed(trial, "pixels", {"kind": "pixels"}, clips, captions)
    assert row["psnr"]["value"] > 58
    assert row["position_error"]["value"] == 0
    assert row["numbers_a_frame"] == 32 * 32 * 3
    assert "steps" not in row
    assert row["shape"] == choices.shown(trial, clips, captions)["shape"]


def test_a_stride_in_time_halves_the_tokens(choices):
    clip = torch.zeros(1, 17, 3, 32, 32)
    strided = choices.AutoencoderConfig(kind="causal", time_stride=2, channels=(8, 8, 8))
    found = [choices.weighed(network, clip, 1) for network in (PixelPatches(32, 32), Autoencoder(strided, 32, 32))]
    assert [each["tokens_a_frame"] for each in found] == [4, pytest.approx(4 * 9 / 17, abs=0.01)]


def test_every_way_to_train_a_size_spends_the_same_tokens(choices, trial):
    spec = ClipSpec(height=64, width=64, fps=10, captioned=True, world="arena")
    for shapes in choices.TURNS.values():
        config = choices.replace(debug().generator, buckets=shapes, batch_size=4)
        stage = choices.stages(Sora(choices.replace(debug(), generator=config), spec))[-1]
        tokens = [
            b.batch_size * b.frames * int(shape[2:4]) ** 2 for b, shape in zip(stage.buckets, shapes, strict=True)
        ]
        np.testing.assert_allclose(tokens, 4 * 8 * 64**2, rtol=0.02)


def test_a_solver_is_near_the_reference_after_many_evaluations(choices, trial, monkeypatch):
    def film(trial, captions, solver, steps):
        used.append((solver, steps))
        return torch.full((2, 8, 3, 32, 32), 1 / steps)

    used = []
    monkeypatch.setattr(choices, "filmed", film)
    rows = [row for name, job in choices.solvers(trial) for row in job()]
    assert used[1:4] == [("euler", 3), ("heun", 2), ("multistep", 3)]  # three evaluations each
    assert len({row["variant"] for row in rows}) == 10
    off = [row["off_reference"]["value"] for row in rows if row["variant"].startswith("multistep")]
    assert off[0] > off[1] > off[2]


def test_rows_that_are_there_are_not_made_again(choices, trial, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(choices, "describe_machine", dict)

    def jobs(trial):
        for name in ("a", "b"):
            yield name, lambda name=name: made.append(name) or [{"variant": name, "seconds": trial.seconds}]

    monkeypatch.setitem(choices.TRIALS, "buckets", jobs)
    out = tmp_path / "rows.json"
    out.write_text(json.dumps({"rows": [{"variant": "a"}]}))
    found = choices.main(["buckets", "--out", str(out), "--seconds", "7"])
    assert made == ["b"]
    assert json.loads(out.read_text()) == found
    assert found["rows"] == [{"variant": "a"}, {"variant": "b", "seconds": 7.0}]


@pytest.mark.slow
def test_generators_fill_their_rows(choices, trial, monkeypatch):
    monkeypatch.setattr(choices, "STEPS", (1,))
    monkeypatch.setattr(choices, "FILM", 4)
    rows = [row for _, job in choices.objectives(trial) for row in job()]
    assert [row["variant"] for row in rows] == ["flow, 1 steps", "ddpm, 1 steps", "true clips"]
    assert {"colour", "direction", "direction_from_a_frame"} <= set(rows[0])
    (row,) = choices.sized(trial, "turns", choices.TURNS["32, 48 and 64 in turns"], trial.drawn(shapes=(1,))[1])
    assert {"colour_32", "direction_48", "colour_64"} <= set(row)
