"""The experiment on roll-outs: the truth has no error, floors are the scorecard's, and every table is filled."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from threeworlds.routes.sora.model import Sora
from threeworlds.routes.sora.recipes import debug
from threeworlds.types import ClipSpec

SCRIPT = Path(__file__).parents[2] / "experiments" / "sora_rollout.py"


@pytest.fixture(scope="module")
def rollout():
    spec = importlib.util.spec_from_file_location("sora_rollout", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["sora_rollout"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["sora_rollout"]


@pytest.fixture(scope="module")
def items(rollout):
    return rollout.draw_items(3, 32, ahead=8, seed=0)


def test_the_truth_has_no_error_and_the_last_frame_has(rollout, items):
    perfect, copied = items.errors(items.future), rollout.floors(items)["copy the last frame"]
    assert perfect["psnr"].min() > 58
    assert np.nanmax(perfect["position_error"]) == 0
    assert copied["psnr"].mean() < 40
    assert np.nanmean(copied["position_error"]) > 0.01


def test_every_table_is_filled(rollout, items):
    torch.manual_seed(0)
    config = debug()
    config = replace(config, generator=replace(config.generator, causal=True))
    model = Sora(config, ClipSpec(height=32, width=32, fps=10, captioned=True, world="arena")).eval()
    found = rollout.horizons(model, items)
    assert set(found) == {"sora", "copy the last frame", "constant velocity"}
    assert list(found["sora"]["psnr"]) == [1, 2, 4, 8]
    assert list(rollout.few_steps(model, items)) == list(rollout.STEPS)
    fast = rollout.streaming(model, items, 32, chunks=3)
    assert fast["frames_per_second"]["kept"] > 0 and fast["ratio"] > 0


def test_a_model_that_cannot_stream_is_refused(rollout):
    with pytest.raises(SystemExit, match="expected a sora model of arena that streams"):
        rollout.main([str(SCRIPT.parents[1] / "zoo" / "arena-jepa-base")])
