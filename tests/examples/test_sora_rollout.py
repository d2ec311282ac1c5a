"""The experiment on roll-outs: the truth has no error, floors are the scorecard's, and every table is filled."""

from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import torch

from threeworlds.routes.sora.model import Sora
from threeworlds.routes.sora.recipes import debug
from threeworlds.types import ClipSpec, Imagined

SCRIPT = Path(__file__).parents[2] / "experiments" / "sora_rollout.py"


@pytest.fixture(scope="module")
def rollout(load_script):
    return load_script("experiments/sora_rollout.py")


@pytest.fixture(scope="module")
def items(rollout):
    return rollout.draw_items(3, 32, ahead=8, seed=0)


def test_the_truth_has_no_error_and_the_last_frame_has(rollout, items):
    perfect, copied = items.errors(items.future), rollout.floors(items)["copy the last frame"]
    assert perfect["psnr"].min() > 58
    assert np.nanmax(perfect["position_error"]) == 0
    assert copied["psnr"].mean() < 40
    assert np.nanmean(copied["position_error"]) > 0.01


def test_a_constant_velocity_is_near_at_the_next_frame(rollout, items):
    floors = rollout.floors(items)
    even, still = (floors[name]["position_error"][:, 0].mean() for name in ("constant velocity", "copy the last frame"))
    assert even < 0.7 * still


def test_a_model_that_is_right_for_four_frames_is_shown_to_be(rollout, items, monkeypatch):
    then_still = torch.cat([items.future[:, :4], items.given[:, -1:].expand(-1, 4, -1, -1, -1)], dim=1)
    monkeypatch.setattr(rollout, "made", lambda model, items, frames, steps=None: then_still)
    found = rollout.horizons(None, items)
    assert [found["sora"]["psnr"][h][0] > 58 for h in (1, 2, 4, 8)] == [True, True, True, False]
    less = found["sora less copy the last frame"]["psnr"]
    assert all(less[h][1] > 0 for h in (2, 4))
    assert less[8] == [0, 0, 0]


def test_each_number_of_steps_is_the_one_that_is_told(rollout, items, monkeypatch):
    asked = []

    def extend(model, video, captions, *, frames, sampling):
        asked.append(sampling.steps)
        worse = items.future[:, :frames] * (1 - 1 / sampling.steps)
        return Imagined(video=torch.cat([video, worse], dim=1), seconds=0.0)

    monkeypatch.setattr(rollout, "extend", extend)
    found = rollout.few_steps(None, items)
    assert tuple(asked) == rollout.STEPS == tuple(found)
    assert found[32]["psnr_more"] == [0, 0, 0]
    assert found[2]["psnr_more"][2] < 0  # whole interval below that of 32 steps


def test_what_is_computed_again_is_what_takes_longer(rollout, items, monkeypatch):
    def stream(model, context, captions, *, seed, chunk, cached):
        while True:
            end = process_time() + (0.002 if cached else 0.02)
            while process_time() < end:
                pass
            yield context

    monkeypatch.setattr(rollout, "stream", stream)
    model = Sora(debug(), ClipSpec(height=32, width=32, fps=10, captioned=True, world="arena"))
    assert rollout.streaming(model, items, 32, chunks=4)["ratio"] > 3


def test_a_small_model_fills_every_table(rollout, items):
    torch.manual_seed(0)
    config = debug()
    config = replace(config, generator=replace(config.generator, causal=True))
    model = Sora(config, ClipSpec(height=32, width=32, fps=10, captioned=True, world="arena")).eval()
    assert list(rollout.horizons(model, items)["sora"]["psnr"]) == [1, 2, 4, 8]
    assert list(rollout.few_steps(model, items)) == list(rollout.STEPS)
    assert rollout.streaming(model, items, 32, chunks=3)["frames_per_second"]["kept"] > 0


def test_a_model_that_cannot_stream_is_refused(rollout):
    with pytest.raises(SystemExit, match="expected a sora model of arena that streams"):
        rollout.main([str(SCRIPT.parents[1] / "zoo" / "arena-jepa-base")])
