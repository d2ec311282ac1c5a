"""Sora: given frames wherever they are, one call for every task, and the solvers behind it."""

from dataclasses import replace

import pytest
import torch

from threeworlds.routes.sora.generator import given_frames
from threeworlds.routes.sora.model import Sora, rollout_error, stages
from threeworlds.routes.sora.objective import TASKS, FlowObjective, PictureObjective, clean_frames, frame_times
from threeworlds.routes.sora.recipes import debug
from threeworlds.types import Batch, ClipSpec, Imagined


@pytest.fixture(scope="module")
def model() -> Sora:
    """Untrained, but not at the zeros it starts from."""
    torch.manual_seed(0)
    model = Sora(debug(), ClipSpec(height=16, width=16, fps=10, captioned=True)).eval()
    for layer in (model.generator.read_out, model.generator.modulation):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return model


def latents(model, frames=6, batch=2):
    return torch.randn(batch, frames, model.autoencoder.channels, *model.autoencoder.grid)


def draws():
    return torch.Generator().manual_seed(0)


# ---------------------------------------------------------------------------------------- given frames


@pytest.mark.parametrize(
    ("given", "nearest", "beyond", "distance"),
    [
        ("111...", [1, 2, 3, 3, 3, 3], [1, 1, 2, 2, 2, 2], [0, 0, 0, 1, 2, 3]),  # continue
        ("......", [0] * 6, [0] * 6, [0] * 6),  # nothing is given
        ("....11", [5, 5, 5, 5, 5, 6], [6, 6, 6, 6, 5, 5], [-4, -3, -2, -1, 0, 0]),  # what came before
        ("11..11", [1, 2, 2, 5, 5, 6], [1, 1, 1, 6, 5, 5], [0, 0, 1, -1, 0, 0]),  # connect
        ("1...1.", [1, 1, 1, 5, 5, 5], [1, 1, 1, 5, 5, 5], [0, 1, 2, -1, 0, 1]),  # equally near: the earlier
    ],
)
def test_a_frame_sees_the_nearest_given_one_and_its_neighbour(given, nearest, beyond, distance):
    x = torch.arange(1.0, 7).view(1, 6, 1, 1, 1)
    time = torch.tensor([[1.0 if mark == "1" else 0.3 for mark in given]])
    first, second, far = given_frames(x, time)
    assert first.flatten().tolist() == nearest
    assert second.flatten().tolist() == beyond
    assert far.flatten().tolist() == distance


# --------------------------------------------------------------------------------------- tasks in training


@pytest.mark.parametrize("name", TASKS)
def test_each_task_leaves_the_frames_clean_that_its_name_says(name):
    clean = clean_frames(torch.full((500,), TASKS.index(name)), 8)
    both_ends = clean[:, 0].any() and clean[:, -1].any()
    assert not clean.all(1).any()
    assert clean.any() == (name not in ("words", "levels"))
    if name in ("picture", "prefix", "both"):
        assert clean[:, 0].all()
    if name == "picture":
        assert not clean[:, 1:].any()
    if name in ("suffix", "both"):
        assert clean[:, -1].all()
    assert both_ends == (name in ("both", "scattered"))
    changes = (clean[:, 1:] != clean[:, :-1]).sum(1)
    assert name == "scattered" or changes.max() <= {"picture": 1, "prefix": 1, "suffix": 1, "both": 2}.get(name, 0)


def test_frames_to_be_made_share_a_level_unless_each_has_its_own():
    for name in TASKS:
        config = replace(debug().generator, tasks=tuple(float(name == task) for task in TASKS))
        time = frame_times(200, 8, config)
        levels = [row[row < 1].unique().numel() for row in time]
        assert set(levels) == ({8} if name == "levels" else {1})


def test_a_part_of_the_clips_trains_from_noise_alone():
    config = replace(debug().generator, from_noise=0.25, tasks=(0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    time = frame_times(4000, 4, config)
    assert (time[:, 0] == 1).all()
    assert abs((time[:, 1:] == 0).all(1).float().mean() - 0.25) < 0.03


# ------------------------------------------------------------------------------------------ compression


def test_discrete_latents_take_their_levels_and_no_others():
    config = replace(debug(), autoencoder=replace(debug().autoencoder, kind="fsq", levels=5))
    model = Sora(config, ClipSpec(height=16, width=16, fps=10)).eval()
    video = torch.rand(2, 3, 3, 16, 16) * 2 - 1
    torch.nn.init.normal_(model.autoencoder.encoder[-1].weight, std=2.0)  # spread over the levels, as training would
    loss, metrics = model.autoencoder(Batch(video=video))
    loss.backward()
    assert metrics["kl"] == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.autoencoder.parameters())
    assert {round(value, 4) for value in model.autoencoder.encode(video).flatten().tolist()} <= {-1, -0.5, 0, 0.5, 1}
    model.autoencoder.normalise(Batch(video=video))
    again = model.autoencoder.encode(model.reconstruct(video))
    assert again.shape == (2, 3, config.autoencoder.latent, 2, 2)
    centre = model.autoencoder.encode(video).mean((0, 1, 3, 4))
    torch.testing.assert_close(centre, torch.zeros(4), atol=1e-4, rtol=0)


# ------------------------------------------------------------------------------------------- sampling


def test_given_frames_stay_to_the_bit_and_others_do_not_depend_on_what_they_held(model):
    latent = latents(model)
    level = torch.tensor([[1, 1, 0, 0, 0, 1.0], [0] * 6])
    other = torch.where((level == 1)[..., None, None, None], latent, torch.randn_like(latent))
    made, again = (model.sample(x, level, ("", "a red disc"), generator=draws()) for x in (latent, other))
    assert torch.equal(made, again)
    assert torch.equal(made[0, level[0] == 1], latent[0, level[0] == 1])


def test_an_edit_keeps_as_much_as_its_level_says(model, monkeypatch):
    """A network that answers what it sees leaves the noise in, so what is kept can be read off."""
    monkeypatch.setattr(model.generator, "forward", lambda x, time, words: x)
    latent = latents(model)
    for level in (0.0, 0.3, 0.9):
        made = model.sample(latent, torch.full((2, 6), level), ("", ""), generator=draws())
        noise = torch.randn(latent.shape, generator=draws())
        torch.testing.assert_close(made, level * latent + (1 - level) * noise, atol=1e-4, rtol=1e-4)
    assert torch.equal(model.sample(latent, torch.ones(2, 6), ("", ""), generator=draws()), latent)


def test_words_begin_from_all_of_the_noise_and_continuations_from_less(model, monkeypatch):
    """Again a network that answers what it sees, so that the first noise can be read off."""
    monkeypatch.setattr(model.generator, "forward", lambda x, time, words: x)
    level = torch.tensor([[1, 0, 0, 0, 0, 0.0]]).repeat(2, 1)
    made = model.sample(latents(model), level, ("", "a red disc"), generator=draws())
    noise = torch.randn(made.shape, generator=draws())
    torch.testing.assert_close(made[0, 1:], model.config.generator.noise * noise[0, 1:])
    torch.testing.assert_close(made[1, 1:], noise[1, 1:])
    assert model.config.generator.noise < 1


@pytest.mark.parametrize("solver", ["euler", "heun", "multistep"])
def test_solvers_land_on_the_estimate_of_a_network_that_knows_the_answer(model, solver, monkeypatch):
    answer = latents(model)
    monkeypatch.setattr(model.generator, "forward", lambda x, time, words: answer)
    level = torch.tensor([[0.0, 0, 0.3, 0.3, 0.6, 0.95], [0] * 6])
    made = model.sample(latents(model), level, ("", ""), generator=draws(), solver=solver, steps=40)
    torch.testing.assert_close(made, answer, atol=1e-4, rtol=1e-4)


def test_words_count_only_where_there_are_any_and_guidance_amplifies_them(model):
    level = torch.zeros(2, 6)

    def sample(captions, guidance):
        return model.sample(latents(model) * 0, level, captions, generator=draws(), guidance=guidance)

    assert torch.equal(sample(("", ""), 3.0), sample(("", ""), 1.0))
    plain, told, urged = sample(("", ""), 1.0), sample(("a red disc",) * 2, 1.0), sample(("a red disc",) * 2, 3.0)
    assert (urged - plain).norm() > (told - plain).norm() > 0


def test_the_other_objective_trains_and_samples(model):
    config = replace(model.config, generator=replace(model.config.generator, objective="ddpm"))
    other = Sora(config, model.spec).eval()
    loss, _ = FlowObjective(other.generator, captioned=True)(
        Batch(caption=("a red disc rises", ""), cached={"latent": latents(model)})
    )
    loss.backward()
    assert loss.isfinite()
    latent, level = latents(other), torch.tensor([[1, 1, 0, 0, 0, 0.5], [0] * 6])
    made = other.sample(latent, level, ("", "a red disc"), generator=draws(), steps=8)
    assert made.isfinite().all()
    assert torch.equal(made[0, :2], latent[0, :2])


def test_where_pictures_were_trained_the_first_frame_is_made_alone(model, monkeypatch):
    monkeypatch.setattr(model, "config", replace(model.config, generator=replace(model.config.generator, stills=2)))
    seen = []
    forward = model.generator.forward
    monkeypatch.setattr(
        model.generator, "forward", lambda x, time, words: seen.append(time[0]) or forward(x, time, words)
    )
    made = model.sample(latents(model), torch.zeros(2, 6), ("", ""), generator=draws(), steps=2)
    assert [len(time) for time in seen] == [1, 1, 6, 6]
    assert all(time[0] == 1 for time in seen[2:])
    alone = model.sample(latents(model, frames=1), torch.zeros(2, 1), ("", ""), generator=draws(), steps=2)
    assert torch.equal(made[:, :1], alone)


@pytest.mark.parametrize(("asked", "taken"), [(None, [5, 3]), (2, [2, 2])])
def test_a_picture_has_solver_steps_of_its_own_unless_they_are_asked_for(model, monkeypatch, asked, taken):
    config = replace(model.config.generator, stills=2, steps=3, picture_steps=5)
    monkeypatch.setattr(model, "config", replace(model.config, generator=config))
    seen = []
    forward = model.generator.forward
    monkeypatch.setattr(
        model.generator, "forward", lambda x, time, words: seen.append(x.shape[1]) or forward(x, time, words)
    )
    made = model.sample(latents(model), torch.zeros(2, 6), ("", ""), generator=draws(), steps=asked)
    assert seen == [1] * taken[0] + [6] * taken[1]
    seen.clear()
    alone = model.sample(latents(model, frames=1), torch.zeros(2, 1), ("", ""), generator=draws(), steps=asked)
    assert seen == [1] * taken[0]
    assert torch.equal(made[:, :1], alone)


def curriculum(model, *lessons, **changes):
    config = replace(model.config.generator, frames=8, batch_size=4, curriculum=lessons, **changes)
    return Sora(replace(model.config, generator=config), model.spec)


def test_a_curriculum_comes_before_the_clips_and_takes_its_share():
    """Of 0.8 of the budget a quarter for pictures and a half for clips of four frames; every step takes 32 frames."""
    model = Sora(debug(), ClipSpec(height=16, width=16, fps=10, captioned=True))
    compression, *made = stages(curriculum(model, "1:0.25", "4:0.5"))
    left = 1 - compression.share
    assert [stage.name for stage in made] == ["pictures", "clips-4", "generator"]
    assert [stage.share / left for stage in made] == pytest.approx([0.25, 0.5, 0.25])
    assert [(stage.frames, stage.batch_size) for stage in made] == [(1, 32), (4, 8), (8, 4)]
    assert [stage.cache is not None for stage in made] == [True, False, False]
    assert [stage.rollout_error is not None for stage in made] == [False, False, True]
    assert len({id(stage.module.generator) for stage in made}) == 1


def test_a_lesson_of_pictures_learns_from_every_frame_alone(model):
    objective = PictureObjective(Sora(model.config, model.spec).generator, captioned=True)
    seen = []
    objective.generator.register_forward_hook(lambda _, given, out: seen.append(given))
    batch = Batch(caption=("a red disc rises", ""), cached={"latent": latents(model, frames=3)})
    loss, metrics = objective(batch)
    loss.backward()
    ((x, time, words),) = seen
    assert x.shape[:2] == time.shape == (6, 1)
    assert len(words[0]) == 6
    assert set(metrics) == {"still_mse"}
    assert objective.generator.read_out.weight.grad.norm() > 0


@pytest.mark.parametrize(
    "lessons", [("1",), ("8:0.2",), ("0:0.2",), ("1:0.2", "1:0.3"), ("1:0.5", "4:0.5"), ("1:0.0",)]
)
def test_a_curriculum_that_cannot_be_is_named(model, lessons):
    with pytest.raises(ValueError, match=r"generator\.curriculum=.*expected FRAMES:SHARE.*window's 8"):
        stages(curriculum(model, *lessons))


def test_a_curriculum_before_clips_of_several_sizes_is_of_the_first():
    model = Sora(debug(), ClipSpec(height=32, width=32, fps=10, captioned=True))
    pictures, clips = stages(curriculum(model, "1:0.2", buckets=("4@16x32", "8@32x32")))[1:]
    assert clips.buckets
    assert not pictures.buckets
    assert pictures.columns == clips.columns == clips.buckets[0].columns
    cached = pictures.cache(torch.zeros(1, 8, 3, 32, 32))
    window = cached[pictures.columns[0]][:, :1].expand(2, -1, -1, -1, -1)
    seen = []
    pictures.module.generator.register_forward_hook(lambda _, given, out: seen.append(given[0].shape))
    pictures.module(Batch(caption=("", ""), cached={pictures.columns[0]: window}))
    assert seen == [(2, 1, model.autoencoder.channels, 4, 2)]


def test_pictures_add_their_loss(model):
    config = replace(model.config, generator=replace(model.config.generator, stills=3))
    generator = Sora(config, model.spec).generator
    loss, metrics = FlowObjective(generator, captioned=True)(
        Batch(caption=("a red disc rises", ""), cached={"latent": latents(model)})
    )
    loss.backward()
    assert {"latent_mse", "still_mse"} == set(metrics)
    assert generator.read_out.weight.grad.norm() > 0


def test_the_loss_of_pictures_has_its_weight(model):
    batch = Batch(caption=("a red disc rises", ""), cached={"latent": latents(model)})

    def loss(weight):
        generator = replace(model.config.generator, stills=2, stills_weight=weight)
        torch.manual_seed(0)
        made = Sora(replace(model.config, generator=generator), model.spec).generator
        return FlowObjective(made, captioned=True)(batch)[0].item()

    without, half, whole = map(loss, (0.0, 0.5, 1.0))
    assert whole > without
    assert half == pytest.approx((without + whole) / 2)


@pytest.mark.parametrize(("caption", "given"), [(("a red disc rises", "a blue square falls"), 1), (None, 3)])
def test_roll_outs_are_judged_clip_by_clip_after_what_is_given(model, monkeypatch, caption, given):
    """The made film is the true one with clip 1 half off: its error is that of the frames after the given ones."""
    video = torch.rand(2, 6, 3, 16, 16) - 0.5
    asked = []

    def generate(prompt, *, seed):
        asked.append(prompt)
        off = torch.tensor([0.0, 0.5])[:, None, None, None, None]
        return Imagined(video=torch.cat([torch.full_like(video[:, :given], 9), video[:, given:] + off], dim=1))

    monkeypatch.setattr(model, "generate", generate)
    torch.testing.assert_close(rollout_error(model, Batch(video=video, caption=caption)), torch.tensor([0.0, 0.25]))
    assert torch.equal(asked[0].video, video[:, :given])
    assert (asked[0].caption, asked[0].frames) == (caption, 6)


def test_shapes_that_do_not_agree_and_unknown_solvers_are_named(model):
    with pytest.raises(ValueError, match="they differ"):
        model.sample(latents(model), torch.zeros(2, 5), ("", ""), generator=draws())
    with pytest.raises(ValueError, match="no solver 'rk4'; solvers: euler, heun, multistep"):
        model.sample(latents(model), torch.zeros(2, 6), ("", ""), generator=draws(), solver="rk4")
