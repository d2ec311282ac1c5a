"""Compression of films: nothing looks ahead, a picture is a film of one frame; and a critic that moves only itself."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from threeworlds.routes.sora.autoencoder import (
    Autoencoder,
    DecoderObjective,
    PatchCritic,
    hinge,
    moved,
    recoloured,
    zoomed,
)
from threeworlds.routes.sora.model import Sora, stages
from threeworlds.routes.sora.recipes import debug
from threeworlds.routes.sora.stream import stream
from threeworlds.routes.sora.tasks import Sampling, connect, extend, still, text_to_video
from threeworlds.train.optim import trainable
from threeworlds.types import Batch, ClipSpec

SPEC = ClipSpec(height=16, width=16, fps=10, captioned=True)


def config_of(**changes):
    return replace(debug().autoencoder, kind="causal", **changes)


def autoencoder_of(**changes):
    """Untrained, but with time mixed in: mixing starts at zero."""
    torch.manual_seed(0)
    autoencoder = Autoencoder(config_of(**changes), 16, 16).eval()
    for name, parameter in autoencoder.named_parameters():
        if "mix.weight" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return autoencoder


def film(frames, batch=2):
    return torch.rand(batch, frames, 3, 16, 16) * 2 - 1


@pytest.mark.parametrize(("stride", "frames"), [(1, 9), (2, 9)])
@torch.no_grad()
def test_a_prefix_is_coded_and_shown_as_if_nothing_followed(stride, frames):
    autoencoder, video = autoencoder_of(time_stride=stride), film(frames)
    latent = autoencoder.encode(video)
    shown = autoencoder.decode(latent)
    assert latent.shape == (2, 1 + (frames - 1) // stride, 4, 2, 2)
    assert shown.shape == video.shape
    for kept in range(1, latent.shape[1]):
        part = 1 + stride * (kept - 1)
        torch.testing.assert_close(autoencoder.encode(video[:, :part]), latent[:, :kept], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(autoencoder.decode(latent[:, :kept]), shown[:, :part], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_frame_depends_on_those_before_it_as_far_back_as_memory_says():
    autoencoder = autoencoder_of()
    latent = torch.randn(1, 12, 4, 2, 2)
    other = latent.clone()
    other[:, 2] += 1
    differs = (autoencoder.decode(latent) != autoencoder.decode(other)).flatten(2).any(2)[0].tolist()
    assert autoencoder.memory == 6
    assert differs == [False] * 2 + [True] * 7 + [False] * 3


@torch.no_grad()
def test_a_picture_is_a_still_film():
    autoencoder, picture = autoencoder_of(), film(1)
    latent = autoencoder.encode(picture.expand(-1, 4, -1, -1, -1))
    torch.testing.assert_close(latent, autoencoder.encode(picture).expand_as(latent), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("stride", "frames"), [(1, 4), (2, 5)])
def test_it_trains(stride, frames):
    autoencoder = autoencoder_of(time_stride=stride)
    video = film(frames)
    loss, _ = autoencoder(Batch(video=video))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in autoencoder.parameters())
    autoencoder.normalise(Batch(video=video))
    assert autoencoder.encode(video).mean((0, 1, 3, 4)).abs().max() < 1e-4


def test_lengths_and_strides_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="4 frames; a stride of 2 in time takes 1 \\+ 2 k"):
        autoencoder_of(time_stride=2).encode(film(4))
    with pytest.raises(ValueError, match="needs a latent for every frame"):
        Sora(replace(debug(), autoencoder=config_of(time_stride=2)), SPEC)
    with pytest.raises(ValueError, match="only 'causal' knows time"):
        Autoencoder(replace(debug().autoencoder, time_stride=2), 16, 16)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = replace(debug(), autoencoder=config_of(), generator=replace(debug().generator, causal=True))
    model = Sora(config, SPEC).eval()
    model.autoencoder.load_state_dict(autoencoder_of().state_dict())
    return model


def test_every_task_works_with_it(model):
    video, sampling = film(3, 1), Sampling(steps=1)
    assert still(model, ("a red disc",), sampling=sampling).video.shape == (1, 1, 3, 16, 16)
    assert extend(model, video[:, :1], ("",), frames=3, sampling=sampling).video.shape[1] == 4
    assert connect(model, video, video, ("",), frames=3, sampling=sampling).video.shape[1] == 9


@torch.no_grad()
def test_a_stream_shows_what_the_whole_film_would(model, monkeypatch):
    """Chunks decoded one by one, with as much of the past as counts, are the film decoded at once."""
    from threeworlds.routes.sora.stream import Stream

    taken, commit = [], Stream._commit  # the state itself forgets what lies far back
    monkeypatch.setattr(Stream, "_commit", lambda self, chunk: taken.append(chunk) or commit(self, chunk))
    chunks = list(islice(stream(model, film(3, 1), ("",), seed=0, chunk=2, steps=1), 5))
    whole = model.autoencoder.decode(torch.cat(taken, dim=1))[:, -10:]
    torch.testing.assert_close(torch.cat(chunks, dim=1), whole, atol=1e-5, rtol=1e-4)


# ------------------------------------------------------------------------------------------------ the critic


def test_the_critic_and_the_maker_are_moved_each_by_its_own_loss():
    torch.manual_seed(0)
    critic, true = PatchCritic((8, 8)), film(2)[0]
    made = film(2)[0].requires_grad_()
    pleases, tells = hinge(critic, true, made)
    (of_maker,) = torch.autograd.grad(pleases + tells, made, retain_graph=True)
    (expected,) = torch.autograd.grad(-critic(made).mean(), made)
    torch.testing.assert_close(of_maker, expected)
    moved = made.detach() - 100 * of_maker
    assert critic(moved).mean() > critic(made).mean()  # downhill for the maker: the critic takes it for truer
    weights = list(critic.parameters())
    both, alone = (torch.autograd.grad(loss, weights, retain_graph=True) for loss in (pleases + tells, tells))
    for got, want in zip(both, alone, strict=True):
        torch.testing.assert_close(got, want)


def test_the_adversarial_loss_is_a_choice_that_trains_everything():
    torch.manual_seed(0)
    video = film(2)
    plain = Autoencoder(debug().autoencoder, 16, 16)
    assert plain.critic is None
    other = Autoencoder(replace(debug().autoencoder, adversarial=0.1), 16, 16)
    loss, metrics = other(Batch(video=video))
    loss.backward()
    assert all(p.grad.norm() > 0 for p in other.critic.parameters() if p.ndim > 1)
    assert metrics["critic"] > 0
    assert all(p.grad.isfinite().all() for p in other.parameters())


# -------------------------------------------------------------------------------- pictures changed in training


def test_colours_are_mixed_within_what_is_there_and_shapes_stay():
    torch.manual_seed(0)
    video = film(3, batch=8)
    mixed = recoloured(video, 1.0)
    assert (mixed.amin(2) >= video.amin(2) - 1e-6).all() and (mixed.amax(2) <= video.amax(2) + 1e-6).all()
    assert not torch.allclose(mixed, video, atol=0.1)
    grey = video[:, :, :1].expand_as(video)
    torch.testing.assert_close(recoloured(grey, 1.0), grey)  # no colour, nothing to mix: each pixel stays where it is
    assert torch.equal(recoloured(video, 0.0), video)


def test_both_stages_of_compression_train_in_mixed_colours():
    torch.manual_seed(0)
    plain = Autoencoder(replace(debug().autoencoder, kind="fsq"), 16, 16)  # nothing else is drawn
    coloured, grey = film(3), film(3)[:, :, :1].expand(-1, -1, 3, -1, -1)
    for objective in (plain, DecoderObjective(plain)):
        for video, changes in ((grey, False), (coloured, True)):
            plain.config = replace(plain.config, recolour=0.0)
            before, _ = objective(Batch(video=video))
            plain.config = replace(plain.config, recolour=1.0)
            after, _ = objective(Batch(video=video))
            assert torch.allclose(before, after) != changes


@pytest.mark.parametrize("seed", range(6))
def test_from_nearer_a_disc_is_larger_by_one_measure_in_every_frame_and_still_a_disc(seed):
    torch.manual_seed(seed)
    y, x = torch.meshgrid(*2 * [torch.arange(64) - 31.5], indexing="ij")
    disc = (x**2 + y**2 < 8**2).float().expand(1, 3, 3, 64, 64)
    seen = zoomed(disc, 1.0)
    area, wide, tall = seen.sum((-2, -1)), seen.amax(-2).sum(-1), seen.amax(-1).sum(-1)
    torch.testing.assert_close(area, area[:1, :1, :1].expand_as(area))
    assert 0.5 <= (area[0, 0, 0] / disc[0, 0, 0].sum()).sqrt() <= 2.05
    torch.testing.assert_close(wide, tall, rtol=0.15, atol=1.0)


def test_how_near_is_drawn_for_a_part_of_the_batches_and_for_none_where_there_is_no_part():
    torch.manual_seed(0)
    video = film(3)
    changed = sum(not torch.equal(zoomed(video, 0.25), video) for _ in range(400))
    assert 70 < changed < 130
    state = torch.get_rng_state()
    assert zoomed(video, 0.0) is video and torch.equal(torch.get_rng_state(), state)


def test_both_stages_of_compression_see_clips_from_nearer_and_farther():
    torch.manual_seed(0)
    plain, video = Autoencoder(replace(debug().autoencoder, kind="fsq"), 16, 16), film(3)  # nothing else is drawn
    for objective in (plain, DecoderObjective(plain)):
        plain.config = replace(plain.config, zoom=0.0)
        before, _ = objective(Batch(video=video))
        plain.config = replace(plain.config, zoom=1.0)
        after, _ = objective(Batch(video=video))
        assert not torch.allclose(before, after)


def test_latents_and_pictures_move_together():
    """By whole cells and whole pixels exactly; by parts of a cell linearly; what comes in repeats the edge."""
    latent, video = torch.randn(2, 3, 4, 8, 8), torch.randn(2, 3, 3, 32, 32)
    there, seen = moved(latent, video, torch.tensor([4, -8]))
    torch.testing.assert_close(seen[..., :24, 4:], video[..., 8:, :-4])
    torch.testing.assert_close(there[..., :6, 1:], latent[..., 2:, :-1])
    torch.testing.assert_close(there[..., :6, 0], latent[..., 2:, 0])
    half, _ = moved(latent, video, torch.tensor([2, 0]))
    torch.testing.assert_close(half[..., 1:], (latent[..., 1:] + latent[..., :-1]) / 2)


def test_latents_learn_to_move_as_pictures_do():
    """A bright square on black, anywhere: after training with `equivariance` moved latents show the moved picture."""

    def squares(count):
        video, at = torch.full((count, 1, 3, 16, 16), -1.0), torch.randint(2, 9, (count, 2))
        for clip, (x, y) in zip(video, at.tolist(), strict=True):
            clip[..., y : y + 5, x : x + 5] = 1
        return video

    errors = []
    for equivariance in (0.0, 0.5):
        torch.manual_seed(0)
        model = Autoencoder(replace(debug().autoencoder, factor=4, equivariance=equivariance), 16, 16)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for _ in range(300):
            loss, _ = model(Batch(video=squares(16)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            latent, video = moved(model.encode(test := squares(64)), test, torch.tensor([2, 2]))
            errors.append(float((model.decode(latent) - video).square().mean()))
    assert errors[1] < 0.7 * errors[0]


def test_at_the_end_the_decoder_learns_alone():
    """Its pictures get nearer to the truth; what latents mean to the generator does not change by a bit."""
    torch.manual_seed(0)
    config = debug()
    model = Sora(replace(config, autoencoder=replace(config.autoencoder, decoder_share=0.2)), SPEC)
    first, second, last = stages(model)
    assert [stage.name for stage in (first, second, last)] == ["autoencoder", "generator", "decoder"]
    assert first.share + second.share + last.share == pytest.approx(1)
    assert last.finish is None
    assert trainable(last.module).keys() == {f"decoder.{n}" for n, _ in model.autoencoder.decoder.named_parameters()}
    video, optimizer = film(4), torch.optim.AdamW(last.module.parameters(), lr=3e-3)
    latent, before = model.autoencoder.encode(video), model.reconstruct(video)
    for _ in range(40):
        loss, _ = last.module(Batch(video=video))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(model.autoencoder.encode(video), latent)
    assert (model.reconstruct(video) - video).square().mean() < 0.95 * (before - video).square().mean()


@torch.no_grad()
def test_a_finer_grid_codes_and_shows_the_same_frames():
    torch.manual_seed(0)
    model = Sora(replace(debug(), autoencoder=replace(debug().autoencoder, factor=4)), SPEC).eval()
    assert model.autoencoder.encode(film(3)).shape == (2, 3, 4, 4, 4)
    assert model.reconstruct(film(3)).shape == (2, 3, 3, 16, 16)
    assert text_to_video(model, ["a red disc"], frames=4, size=(24, 32)).video.shape == (1, 4, 3, 24, 32)
    with pytest.raises(ValueError, match=r"multiples of 8 "):
        text_to_video(model, ["a red disc"], frames=4, size=(20, 32))


def test_a_finer_grid_of_films_is_refused():
    with pytest.raises(ValueError, match="factor=4 with kind='causal'"):
        autoencoder_of(factor=4)
