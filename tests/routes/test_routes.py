"""What all routes owe: every recipe builds, debug trains end to end, saved and loaded models answer alike."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
import torch

import threeworlds.routes
from threeworlds.routes import ROUTES, get_route
from threeworlds.train import Budget, load_model, train_route
from threeworlds.types import Batch, Generates, Plans, Plays, Predicts, Prompt, Reconstructs, Represents, Surprised

EVERY_RECIPE = [(name, recipe) for name in ROUTES for recipe in get_route(name).recipes]
CAN = {
    "sora": {Generates, Predicts, Represents, Reconstructs, Surprised},
    "genie": {Plays, Predicts, Represents, Reconstructs, Surprised},
    "jepa": {Predicts, Represents, Reconstructs, Plans, Surprised},
}


@pytest.fixture(scope="module")
def trained(arena_store, tmp_path_factory):
    """Each route's debug recipe, trained for a moment, by name."""
    runs = {}
    for name in ROUTES:
        route, out = get_route(name), tmp_path_factory.mktemp(name)
        config = route.recipes["debug"]()
        budget = Budget.parse("9steps")
        runs[name] = train_route(
            route, recipe="debug", config=config, store=arena_store, budget=budget, out=out, progress=False
        )
    return runs


def test_an_unknown_route_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="no route 'dreamer'; routes: sora, genie, jepa"):
        get_route("dreamer")


@pytest.mark.parametrize(("name", "recipe"), EVERY_RECIPE)
def test_every_recipe_builds_and_takes_one_step(name, recipe, arena_store, rooms_spec):
    route = get_route(name)
    spec = rooms_spec if recipe in ("rooms", "walls") else arena_store.spec
    model = route.build(route.recipes[recipe](), spec)
    stage = route.stages(model)[0]
    video = torch.rand(2, stage.frames, 3, spec.height, spec.width) * 2 - 1
    steps = (2, stage.frames - 1)
    action = torch.zeros(steps, dtype=torch.long) if spec.action.kind == "discrete" else torch.zeros(*steps, 2)
    loss, metrics = stage.module(Batch(video=video, action=action))
    assert loss.isfinite()
    assert loss.requires_grad
    assert all(torch.as_tensor(value).isfinite() for value in metrics.values())


@pytest.mark.parametrize("name", ROUTES)
def test_debug_trains_end_to_end_and_every_parameter_moves(name, trained, arena_store):
    run, route = trained[name], get_route(name)
    assert run.total.steps > 0
    torch.manual_seed(0)
    before = dict(route.build(route.recipes["debug"](), arena_store.spec).named_parameters())
    still = [key for key, value in run.model.named_parameters() if torch.equal(value, before[key])]
    assert still == []


@pytest.mark.parametrize("name", ROUTES)
def test_a_loaded_model_answers_as_the_trained_one(name, trained, arena_store):
    loaded, card = load_model(trained[name].path)
    context = torch.rand(2, 4, 3, 32, 32) * 2 - 1
    first, second = (model.predict(context, 3, seed=5).video for model in (trained[name].model, loaded))
    assert first.shape == (2, 3, 3, 32, 32)
    assert torch.equal(first, second)
    assert card.spec == arena_store.spec


@pytest.mark.parametrize("name", ROUTES)
def test_what_a_route_can_do_is_what_it_says(name, trained):
    protocols = {Generates, Predicts, Represents, Reconstructs, Plays, Plans, Surprised}
    assert {protocol for protocol in protocols if isinstance(trained[name].model, protocol)} == CAN[name]


@pytest.mark.parametrize("name", ROUTES)
def test_surprise_by_a_frame_depends_on_it_and_on_those_before(name, trained):
    video, action = torch.rand(2, 6, 3, 32, 32) * 2 - 1, torch.zeros(2, 5, dtype=torch.long)
    struck = video.clone()
    struck[:, 3] = -struck[:, 3]
    before, after = (trained[name].model.surprise(clip, action) for clip in (video, struck))
    assert before.shape == (2, 6)
    assert before[:, 0].isnan().all()
    assert before[:, 1:].isfinite().all()
    torch.testing.assert_close(before[:, 1:3], after[:, 1:3], rtol=1e-4, atol=1e-4)
    assert (before[:, 3] != after[:, 3]).all()


@pytest.mark.parametrize("name", ROUTES)
def test_video_from_outside_of_any_shape_builds(name, video_spec):
    route = get_route(name)
    model = route.build(route.recipes["debug"](), video_spec).eval()
    video = torch.rand(2, 3, 3, 16, 32) * 2 - 1
    assert model.predict(video, 2).video.shape == (2, 2, 3, 16, 32)
    assert model.reconstruct(video).shape == video.shape
    assert model.represent(video).z.shape[:2] == (2, 3)
    assert all("action" not in stage.columns for stage in route.stages(model))


@pytest.mark.parametrize("name", ROUTES)
def test_predictions_are_a_function_of_the_seed(name, trained):
    context = torch.rand(1, 4, 3, 32, 32) * 2 - 1
    model = trained[name].model
    assert torch.equal(model.predict(context, 4, seed=1).video, model.predict(context, 4, seed=1).video)


def test_no_key_of_a_config_is_unread():
    """A knob nobody reads is a bug: each field's name is read as an attribute somewhere in its route."""
    folder = Path(threeworlds.routes.__file__).parent
    for name in ROUTES:
        text = "".join(f.read_text() for f in (folder / name).glob("*.py") if f.name != "recipes.py")
        unread = [key for key in config_keys(get_route(name).recipes["small"]()) if f".{key}" not in text]
        assert unread == [], name


def config_keys(config):
    for field in fields(config):
        yield field.name
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from config_keys(value)


def test_sora_makes_clips_of_any_length_from_words_or_nothing(trained):
    model = trained["sora"].model
    assert model.generate(Prompt(caption=("a red disc rises",), frames=5), seed=0).video.shape[:2] == (1, 5)
    assert model.generate(Prompt(batch=3, frames=13), seed=0).video.shape[:2] == (3, 13)  # longer than its window
    given = torch.rand(1, 2, 3, 32, 32) * 2 - 1
    made = model.generate(Prompt(video=given, frames=4), seed=0).video
    torch.testing.assert_close(made[:, :2], model.reconstruct(given), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="takes no actions"):
        model.predict(given, 2, action=torch.zeros(1, 3))


def test_an_untrained_sora_continues_by_standing_still(arena_store):
    """Its network starts at zero, so what it predicts is the last given frame."""
    route = get_route("sora")
    model = route.build(route.recipes["debug"](), arena_store.spec).eval()
    given = torch.rand(1, 3, 3, 32, 32) * 2 - 1
    still = model.reconstruct(given)[:, -1:].expand(-1, 4, -1, -1, -1)
    torch.testing.assert_close(model.predict(given, 4).video, still, atol=1e-3, rtol=1e-3)


def test_sora_on_pixel_patches_loses_nothing_and_has_one_stage_to_train(arena_store):
    """The control of "latent, not pixel": the same generator on 8 x 8 patches of pixels."""
    route, config = get_route("sora"), get_route("sora").recipes["debug"]()
    config = replace(config, autoencoder=replace(config.autoencoder, kind="pixels"))
    model = route.build(config, arena_store.spec)
    video = torch.rand(2, 8, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(model.reconstruct(video), video)
    (stage,) = route.stages(model)
    loss, _ = stage.module(Batch(caption=("a red disc rises", ""), cached=stage.cache(video)))
    loss.backward()
    assert loss.isfinite()
    assert model.eval().predict(video[:, :4], 4).video.shape == (2, 4, 3, 32, 32)
