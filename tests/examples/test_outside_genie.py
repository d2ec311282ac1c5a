"""The example of another Genie: trained for a moment, held to the contract, and asked what ours is asked."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from threeworlds.cli import main
from threeworlds.score.check import check_route
from threeworlds.score.result import read_result
from threeworlds.types import ClipSpec, Plays, Predicts, Reconstructs

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(find_spec("simulusion") is None, reason="simulusion is not installed")


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr("os.cpu_count", lambda: 1)


@pytest.fixture
def model() -> Iterator[Any]:
    example = import_module("outside_genie")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield example.Outside(example.debug(), ClipSpec(height=32, width=32, fps=10.0)).eval()


def test_it_keeps_the_contract() -> None:
    assert [finding for finding in check_route("simulusion") if finding.problem] == []


def test_it_says_what_it_can_do(model: Any) -> None:
    assert isinstance(model, Plays) and isinstance(model, Predicts) and isinstance(model, Reconstructs)


def test_codes_of_a_long_clip_are_read_where_they_have_learnt(model: Any) -> None:
    video = torch.rand(2, 20, 3, 32, 32) * 2 - 1
    codes = model.infer_codes(video)
    assert codes.shape == (2, 19)
    # Windows of 7 frames have 6 steps: the seventh step is the first of the second window.
    assert torch.equal(codes[:, 6:12], model.infer_codes(video[:, 6:13]))


def test_the_last_code_of_a_window_never_learns(model: Any) -> None:
    """What the example's first lines say of the package; where it no longer holds, they and the windows can go."""
    actions, video = model.genie.latent_action_model, torch.rand(2, 3, 8, 32, 32)
    made = actions(video[:, :, :-1], video[:, :, -1])
    (slope,) = torch.autograd.grad(made["recon_loss"], made["z_q"])
    assert (slope[:, :-1] != 0).any() and (slope[:, -1] == 0).all()


def test_frozen_parts_stay_as_they_are(model: Any) -> None:
    example = import_module("outside_genie")
    objective = example.stages(model)[-1].module
    trained = {id(p) for p in objective.parameters()}
    assert trained == {id(p) for p in model.genie.dynamics_model.parameters()}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of two or three items, a resample may hold one alone
def test_it_is_asked_for_prediction_and_control(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "score"
    words = f"train simulusion --recipe debug --budget 3steps --episodes 24 --out {run}"
    assert main(words.split()) == 0
    words = f"score {run} --items 3 --questions prediction,control --out {out}"
    assert main(words.split()) == 0
    rows = read_result(out / "result.json").rows
    answered = {f"{row.question}/{row.metric}" for row in rows if row.status == "ok"}
    assert [row.reason for row in rows if row.status == "failed"] == []
    assert {"prediction/psnr_h8", "control/purity", "control/right_code_wins", "control/action_following"} <= answered
