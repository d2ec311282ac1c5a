"""The generative decoder: shapes, seeds, and one of two pictures rather than their mean."""

from dataclasses import replace

import torch

from threeworlds.routes.jepa.flow_decoder import FlowDecoder
from threeworlds.routes.jepa.model import Jepa, decoder_stage
from threeworlds.routes.jepa.objective import DecoderObjective
from threeworlds.routes.jepa.parts import StateDecoder
from threeworlds.routes.jepa.recipes import DecoderConfig, debug
from threeworlds.types import Batch
from threeworlds.worlds import WORLDS

CONFIG = DecoderConfig(kind="flow", channels=(8, 8, 16), steps=4, moving=0.0)


def fitted(decoder, steps=120):
    """On black and white pictures, evenly, and a state that says nothing."""
    objective = DecoderObjective(CONFIG, decoder)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=4e-3)
    z = torch.zeros(16, 1, 2)
    for _ in range(steps):
        side = torch.randint(2, (16, 1, 1, 1, 1)) * 2.0 - 1
        loss, _ = objective(Batch(video=side.expand(-1, 1, 3, 8, 8), cached={"z": z}))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return decoder.eval()


@torch.no_grad()
def test_of_two_pictures_it_draws_one_where_the_other_draws_their_mean():
    torch.manual_seed(0)
    with torch.enable_grad():
        flow, mean = fitted(FlowDecoder(CONFIG, 2, 8, 8)), fitted(StateDecoder(CONFIG, 2, 8, 8))
    z = torch.zeros(64, 1, 2)
    drawn = flow(z, seed=3).mean((1, 2, 3, 4))
    assert (drawn.abs() > 0.7).float().mean() > 0.9
    assert 0.25 < (drawn > 0).float().mean() < 0.75
    assert mean(z).mean((1, 2, 3, 4)).abs().max() < 0.4


@torch.no_grad()
def test_a_model_that_has_it_samples_by_seed():
    torch.manual_seed(0)
    model = Jepa(replace(debug(), decoder=CONFIG), WORLDS["arena"].spec(16)).eval()
    given = torch.rand(2, 4, 3, 16, 16)
    films = [model.predict(given, 3, seed=seed).video for seed in (1, 1, 2)]
    assert films[0].shape == (2, 3, 3, 16, 16)
    assert torch.equal(films[0], films[1])
    assert not torch.equal(films[0], films[2])
    assert model.reconstruct(given).shape == given.shape
    still = model.decoder(torch.zeros(1, 2, 16))
    torch.testing.assert_close(still[:, 0], still[:, 1])  # the same state, the same noise: no flicker


def test_it_is_trained_as_the_other_is():
    torch.manual_seed(0)
    model = Jepa(replace(debug(), decoder=CONFIG), WORLDS["arena"].spec(16))
    stage = decoder_stage(model, cached=False)
    batch = Batch(video=torch.rand(2, 3, 3, 16, 16), cached={"z": torch.randn(2, 3, 16)})
    stage.module(batch)[0].backward()
    assert all(weight.grad is not None for weight in model.decoder.parameters())
    assert stage.helper
