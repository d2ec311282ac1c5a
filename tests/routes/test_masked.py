"""Masked prediction: what is hidden is hidden, targets follow slowly, and a clip that can be filled in is."""

from dataclasses import replace

import pytest
import torch

from threeworlds.routes.jepa.masked import MaskedJepa, hidden_blocks, masked_stage
from threeworlds.routes.jepa.recipes import MaskedConfig
from threeworlds.types import Batch, ClipSpec

SPEC = ClipSpec(height=16, width=24, fps=10)
CONFIG = MaskedConfig(width=32, layers=2, heads=2, patch=4, predictor_width=16, predictor_layers=1, frames=3)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MaskedJepa(CONFIG, SPEC)


def test_blocks_take_the_part_and_shape_that_was_asked():
    torch.manual_seed(0)
    for _ in range(50):
        hidden = hidden_blocks(16, 16, 1, (0.15, 0.2))
        height, width = hidden.any(1).sum(), hidden.any(0).sum()
        assert hidden.sum() == height * width  # one rectangle
        assert 0.13 < hidden.float().mean() < 0.23
        assert 0.55 < height / width < 1.9
    assert hidden_blocks(16, 16, 4, (0.15, 0.2)).float().mean() > 0.2
    assert not hidden_blocks(2, 2, 9, (0.9, 1.0)).all()


@pytest.mark.parametrize(("masks", "same"), [("tubes", True), ("blocks", False)])
def test_tubes_hide_one_place_in_all_frames_and_blocks_another_in_each(masks, same):
    torch.manual_seed(1)
    objective = masked_stage(MaskedJepa(replace(CONFIG, masks=masks, patch=2), SPEC)).module
    frames = objective._draw(3).unflatten(0, (3, -1))
    assert bool((frames == frames[0]).all()) == same


def test_what_is_hidden_does_not_reach_the_context(model):
    video, kept = torch.rand(2, 3, 3, 16, 24), torch.arange(36)  # 3 frames of 4 x 6 tokens: half are seen
    struck = video.clone()
    struck[:, 2] = 0  # wholly hidden
    torch.testing.assert_close(model.encoder(video, kept), model.encoder(struck, kept))
    assert not torch.allclose(model.encoder(video)[:, :36], model.encoder(struck)[:, :36])


def test_tokens_lie_where_their_pixels_are(model):
    video = torch.zeros(1, 3, 3, 16, 24)
    struck = video.clone()
    struck[0, 1, :, 8:12, 20:24] = 1
    entered = []
    model.encoder.read_in.register_forward_hook(lambda _, given, __: entered.append(given[0]))
    for clip in (video, struck):
        model.encoder(clip)
    (token,) = (entered[0] != entered[1]).any(-1)[0].nonzero()[:, 0].tolist()
    assert model.encoder.places(3)[token].tolist() == [1, 2, 5]


def test_the_target_follows_slowly_and_only_in_training(model):
    objective, batch = masked_stage(model).module, Batch(video=torch.rand(2, 3, 3, 16, 24))
    start = objective.target.read_in.bias.clone()
    with torch.no_grad():
        model.encoder.read_in.bias.add_(1.0)
    objective.eval()(batch)
    torch.testing.assert_close(objective.target.read_in.bias, start)
    loss, _ = objective.train()(batch)
    torch.testing.assert_close(objective.target.read_in.bias, start + 0.01)
    loss.backward()
    assert all(p.grad is None for p in objective.target.parameters())
    assert all(p.grad is not None for p in (*model.encoder.parameters(), *model.predictor.parameters()))


def test_it_learns_to_fill_in_what_the_rest_gives_away(model):
    """Clips of one colour: any token tells all others, so the error falls below that of one answer for all."""
    objective = masked_stage(model).module
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=3e-3)
    video = (torch.rand(16, 1, 3, 1, 1) * 2 - 1).expand(-1, 3, -1, 16, 24)
    for _ in range(60):
        loss, metrics = objective(Batch(video=video))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert metrics["over_same"] < 0.5
    assert metrics["rank"] > 1.5


def test_a_state_is_the_tokens_of_its_frame(model):
    video = torch.rand(2, 7, 3, 16, 24)
    z = model.eval().represent(video).z
    assert z.shape == (2, 7, 24 * 32)
    torch.testing.assert_close(z[:, 3:6], model.represent(video[:, 3:6]).z)  # chunks of three
    torch.testing.assert_close(z[:, :1].unflatten(2, (24, 32))[:, 0], model.encoder(video[:, :3])[:, :24])


def test_frames_that_do_not_divide_into_patches_are_refused():
    with pytest.raises(ValueError, match="patches of 5"):
        MaskedJepa(replace(CONFIG, patch=5), SPEC)
