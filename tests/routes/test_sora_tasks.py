"""Every task on known models: the bookkeeping of windows by a model that counts, the tasks by an untrained one."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from threeworlds.routes import get_route
from threeworlds.routes.sora import tasks
from threeworlds.routes.sora.rollout import anew, between
from threeworlds.routes.sora.stream import stream
from threeworlds.types import ClipSpec, Prompt

SPEC = ClipSpec(height=32, width=32, fps=10, captioned=True)
WINDOW = 8


def counting(calls):
    """Fills a gap by straight lines between the nearest given frames (one side: by steps of one)."""

    def fill(clip, level):
        calls.append(level[0].tolist())
        assert clip.shape[1] <= WINDOW
        value, known = clip[0, :, 0, 0, 0], level[0] == 1
        where = torch.arange(len(value), dtype=torch.float)
        if not known.any():
            return where.view(1, -1, 1, 1, 1).expand_as(clip)
        given, at = where[known], value[known]
        low = torch.searchsorted(given, where, right=True).clamp(1, max(len(given) - 1, 1)) - 1
        if len(given) == 1:
            line = at[0] + where - given[0]
        else:
            line = at[low] + (where - given[low]) * (at[low + 1] - at[low]) / (given[low + 1] - given[low])
        return torch.where(known, value, line).view(1, -1, 1, 1, 1).expand_as(clip)

    return fill


def line(*values):
    return torch.tensor(values, dtype=torch.float).view(1, -1, 1, 1, 1)


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 8, 9, 21])
@pytest.mark.parametrize("head", [0, 1, 2, 5, 12])
@pytest.mark.parametrize("tail", [0, 1, 2, 5, 12])
def test_a_straight_line_is_continued_and_bridged_at_every_length(frames, head, tail):
    calls = []
    whole = torch.arange(head + frames + tail, dtype=torch.float).view(1, -1, 1, 1, 1)
    made = between(counting(calls), whole[:, :head], whole[:, head + frames :], frames, WINDOW)
    assert torch.equal(made, whole[:, head : head + frames])
    if head and tail:  # the last part is made with both sides in view
        assert calls[-1][0] == calls[-1][-1] == 1


def test_making_anew_shows_what_was_made_before():
    calls = []

    def fill(clip, level):
        calls.append(level[0].tolist())
        return torch.where(level[..., None, None, None] == 1, clip, clip + 1)

    done = anew(fill, torch.zeros(1, 13, 1, 1, 1), 0.25, WINDOW)
    assert torch.equal(done, torch.ones(1, 13, 1, 1, 1))
    assert calls == [[0.25] * 8, [1] * 4 + [0.25] * 4, [1] * 4 + [0.25]]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    route = get_route("sora")
    built = route.build(route.recipes["debug"](), SPEC).eval()
    for parameter in built.generator.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return built


@pytest.fixture(scope="module")
def clips():
    return torch.rand(2, 2, 6, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_words_give_the_same_film_as_the_models_own_call(model):
    words = ("a red disc rises", "")
    film = tasks.text_to_video(model, words, frames=13, sampling=tasks.Sampling(seed=4)).video
    assert torch.equal(film, model.generate(Prompt(caption=words, frames=13), seed=4).video)


@pytest.mark.parametrize(("size", "frames"), [((48, 64), 24), ((32, 32), 1), ((16, 96), 3)])
def test_other_sizes_and_lengths_than_in_training(model, size, frames):
    film = tasks.text_to_video(model, ("a red disc",), frames=frames, size=size).video
    assert film.shape == (1, frames, 3, *size)
    assert film.isfinite().all()


def test_a_still_is_a_film_of_one_frame(model):
    assert tasks.still(model, ("a red disc", ""), size=(16, 32)).video.shape == (2, 1, 3, 16, 32)


def test_given_frames_stay_where_they_are(model, clips):
    """After, before, between: given frames are as the autoencoder shows them, made ones in their place."""
    first, second = clips
    words = ("", "a red disc")
    shown = [model.reconstruct(clip) for clip in clips]
    after = tasks.extend(model, first, words, frames=9).video
    before = tasks.extend(model, first, words, frames=9, backward=True).video
    both = tasks.connect(model, first, second, words, frames=5).video
    near = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(after[:, :6], shown[0], **near)
    torch.testing.assert_close(before[:, 9:], shown[0], **near)
    torch.testing.assert_close(both[:, :6], shown[0], **near)
    torch.testing.assert_close(both[:, 11:], shown[1], **near)
    assert after.shape[1] == before.shape[1] == 15
    assert both.shape[1] == 17


def test_a_loop_ends_before_its_start(model, clips):
    film = tasks.loop(model, clips[0], ("", ""), frames=4).video
    assert film.shape[1] == 10
    torch.testing.assert_close(film[:, :6], model.reconstruct(clips[0]), atol=1e-5, rtol=0)
    seen = tasks.connect(model, clips[0], clips[0], ("", ""), frames=4).video
    assert torch.equal(film, seen[:, :10])


def test_closure_by_hand():
    video = torch.tensor([[0.0, 1, 2, 3], [0, 1, 0, 1]]).view(2, 4, 1, 1, 1)
    torch.testing.assert_close(tasks.closure_error(video), torch.tensor([9.0, 1.0]))


def test_an_edit_keeps_more_the_weaker_it_is(model, clips):
    shown = model.reconstruct(clips[0])
    far = [
        float((tasks.edit(model, clips[0], ("a red disc",) * 2, strength=s).video - shown).square().mean())
        for s in (0.02, 0.3, 1.0)
    ]
    assert far[0] < far[1] < far[2]


ERRORS = {
    "size 40x32: width and height must be multiples of 16": lambda m, v: tasks.still(m, ("",), size=(32, 40)),
    "size 24x32: .* multiples of 16": lambda m, v: tasks.extend(m, v[..., :24], ("", ""), frames=1),
    "frames=0: at least 1": lambda m, v: tasks.extend(m, v, ("", ""), frames=0),
    "strength=0: more than 0": lambda m, v: tasks.edit(m, v, ("", ""), strength=0),
    "strength=1.5: .* at most 1": lambda m, v: tasks.edit(m, v, ("", ""), strength=1.5),
    "size 528x512: 8,448 tokens .* 512x512": lambda m, v: tasks.still(m, ("",), size=(512, 528)),
    "guidance=nan": lambda m, v: tasks.Sampling(guidance=float("nan")),
    "guidance=inf": lambda m, v: tasks.Sampling(guidance=float("inf")),
    "guidance=-1": lambda m, v: tasks.Sampling(guidance=-1),
    "steps=0: at least 1": lambda m, v: tasks.Sampling(steps=0),
    "no solver 'rk4'": lambda m, v: tasks.Sampling(solver="rk4"),
    "a stream takes words as they are": lambda m, v: tasks.streamed(
        m, v, ("", ""), frames=4, sampling=tasks.Sampling(guidance=2)
    ),
    "not trained to stream": lambda m, v: tasks.streamed(m, v, ("", ""), frames=4),
}


@pytest.mark.parametrize("told", ERRORS)
def test_what_cannot_be_is_named(told, model, clips):
    with pytest.raises(ValueError, match=told):
        ERRORS[told](model, clips[0])


def test_the_largest_size_is_allowed(model):
    tasks.check_size(model, 512, 512)
    tasks.check_size(model, 256, 1024)


def test_a_stream_is_the_film_and_the_first_frames_of_its_chunks(clips):
    route = get_route("sora")
    config = route.recipes["debug"]()
    torch.manual_seed(0)
    causal = route.build(replace(config, generator=replace(config.generator, causal=True)), SPEC).eval()
    words = ("a red disc", "")
    made = tasks.streamed(causal, clips[0], words, frames=6, sampling=tasks.Sampling(seed=3, steps=1))
    chunks = torch.cat(list(islice(stream(causal, clips[0], words, seed=3, steps=1), 2)), dim=1)
    given = clips[0].shape[1]
    assert made.video.shape[1] == given + 6
    assert torch.equal(made.video[:, given:], chunks[:, :6])
    assert torch.allclose(made.video[:, :given], causal.reconstruct(clips[0]), atol=1e-6)
