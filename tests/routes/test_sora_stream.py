"""Streaming: what is kept agrees with what is computed again, and given frames do not see the future."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from threeworlds.routes import get_route
from threeworlds.routes.sora.generator import causal_mask, given_frames
from threeworlds.routes.sora.stream import Stream, stream
from threeworlds.types import ClipSpec

SPEC = ClipSpec(height=32, width=48, fps=10, captioned=True)


@pytest.fixture(scope="module")
def model():
    """Two blocks, causal, every weight drawn: a network that starts at zero would agree with anything."""
    torch.manual_seed(0)
    route = get_route("sora")
    config = route.recipes["debug"]()
    config = replace(config, generator=replace(config.generator, causal=True, layers=2))
    built = route.build(config, SPEC).eval()
    for parameter in built.generator.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return built


@pytest.mark.parametrize(("chunk", "given"), [(1, 7), (3, 3)])
def test_the_cached_and_the_recomputed_film_agree(model, chunk, given):
    """Six windows long, so that both have forgotten frames."""
    video = torch.rand(2, given, 3, *(SPEC.height, SPEC.width)) * 2 - 1
    films = [
        torch.cat(
            list(islice(stream(model, video, ("a red disc", ""), seed=1, chunk=chunk, cached=kept), 48 // chunk)), 1
        )
        for kept in (True, False)
    ]
    assert films[0].shape == (2, 48, 3, 32, 48)
    torch.testing.assert_close(films[0], films[1], atol=1e-5, rtol=0)
    assert films[0].std(1).mean() > 1e-3  # it moves, so there is something to agree on


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("chunk", [1, 3])
def test_what_the_network_is_given_does_not_grow(model, monkeypatch, chunk, cached):
    """From some chunk on every call has the shapes and the positions of the call a chunk before; so has the state."""
    calls, run = [], model.generator.run

    def watched(x, time, given, words, *, start=0, mask=None, past=None):
        kept = [tuple(part.shape) for pair in past or () for part in pair]
        calls.append((tuple(x.shape), tuple(mask.shape), start, kept, [tuple(part.shape) for part in given]))
        return run(x, time, given, words, start=start, mask=mask, past=past)

    monkeypatch.setattr(model.generator, "run", watched)
    context = torch.randn(1, 4, 4, 4, 6)
    state = Stream(model.generator, context, ("",), keep=8 - chunk, cached=cached)
    sizes = []
    with torch.no_grad():
        for _ in range(60 // chunk):
            calls.clear()
            state.extend(torch.randn(1, chunk, 4, 4, 6), solver="euler", steps=1)
            sizes.append((list(calls), state.latent.shape, len(state.group), min(state.group)))
    assert sizes[-1] == sizes[-2] == sizes[40 // chunk]
    assert len(state.group) == state.latent.shape[1] <= (8 if cached else 3 * 8)


def test_the_first_chunk_is_what_the_whole_network_makes(model):
    """With the window not yet full, streaming solves the same equation as ``Sora.sample`` on prefix and chunk."""
    video = torch.rand(1, 4, 3, *(SPEC.height, SPEC.width)) * 2 - 1
    config = model.config.generator
    with torch.no_grad():
        context = model.autoencoder.encode(video)
        noise = torch.randn(1, 4, *context.shape[2:], generator=torch.Generator().manual_seed(3))
        words = ("a red disc",)
        state = Stream(model.generator, context, words, keep=4)
        made = state.extend(config.noise * noise, solver="euler", steps=3)
        x = torch.cat([context, config.noise * noise], dim=1)
        level = torch.tensor([[1.0] * 4 + [0.0] * 4])
        for step in range(3):
            time = level + (1 - level) * step / 3
            estimate = model.generator(x, time, model.generator.words(words))
            x = x + (level < 1)[..., None, None, None] * (estimate - x) / (1 - step / 3) / 3
    torch.testing.assert_close(made, x[:, 4:], atol=1e-5, rtol=0)


def test_given_frames_do_not_see_what_follows(model):
    x = torch.randn(1, 6, 4, 4, 6)
    time = torch.tensor([[1.0, 1, 1, 0.3, 0.3, 1]])
    words = model.generator.words(("",))
    mask = causal_mask(time)
    other = x.clone()
    other[:, 3:] += 1
    with torch.no_grad():
        first, second = (model.generator.run(v, time, given_frames(v, time), words, mask=mask)[0] for v in (x, other))
    torch.testing.assert_close(first[:, :3], second[:, :3])
    assert (first[:, 3] - second[:, 3]).abs().max() > 1e-3


def test_the_mask_by_hand():
    mask = causal_mask(torch.tensor([[1.0, 0.5, 1.0]]))
    assert mask.int().tolist() == [[[1, 0, 0], [1, 1, 1], [1, 0, 1]]]


def test_what_cannot_stream_says_so(model):
    video = torch.zeros(1, 2, 3, 32, 48)
    with pytest.raises(ValueError, match="chunk=8: this model streams 1 to 7 frames"):
        next(stream(model, video, ("",), seed=0, chunk=8))
    route = get_route("sora")
    plain = route.build(route.recipes["debug"](), SPEC)
    with pytest.raises(ValueError, match="not trained to stream"):
        next(stream(plain, video, ("",), seed=0))
