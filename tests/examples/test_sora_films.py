"""The script of films runs through on an untrained model and tells every figure."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from threeworlds.routes import get_route
from threeworlds.train import Card, save_model
from threeworlds.worlds import WORLDS


def test_every_task_leaves_a_strip_and_every_measure_a_figure(tmp_path, load_script):
    script = load_script("examples/sora_films.py")
    route, spec = get_route("sora"), WORLDS["arena"].spec(32)
    config = route.recipes["debug"]()
    torch.manual_seed(0)
    card = Card(route="sora", recipe="debug", config=config, spec=spec)
    save_model(tmp_path / "model", route.build(config, spec), card)
    script.main(tmp_path / "model", pictures=tmp_path, result=tmp_path / "tasks.json", items=2)
    tasks = ("words", "size", "still", "image", "after", "before", "loop", "connect", "edit")
    assert {file.stem for file in tmp_path.glob("*.png")} == {f"sora-{task}" for task in tasks}
    figures = json.loads((tmp_path / "tasks.json").read_text())
    assert set(figures["words_by_side"]) == {"32", "48", "64"}
    assert figures["edit_by_strength"].keys() == {"0.3", "0.5", "0.7", "0.9"}
    assert figures["largest_jump_median"]["cut"] > 0


def test_films_from_words_stand_under_their_caption_and_over_the_truth(tmp_path, load_script):
    script = load_script("examples/sora_films.py")
    route, spec = get_route("sora"), WORLDS["arena"].spec(32)
    torch.manual_seed(0)
    model = route.build(route.recipes["debug"](), spec).eval()
    clips, captions = script.fresh_clips(3, 0, 32)
    strips = script.films(model, clips, captions, seed=0)
    assert [strip[:2] for strip in strips["words"][::2]] == [("film", caption) for caption in captions]
    assert all(torch.equal(film, clip) for (_, _, film), clip in zip(strips["words"][1::2], clips, strict=True))
    assert strips["edit"][0][1] == script.recoloured(captions[:1])[0]
    script.save_picture([("film", captions[0], clips[0]), ("true clip", "", clips[0])], tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        shown = np.asarray(picture)
    first, second = (shown[top : top + 64, script.LABEL :][:, : 14 * 64] for top in (script.LINE, script.LINE + 68))
    assert np.array_equal(first, second)
    assert (shown[: script.LINE, script.LABEL :] < 128).any()  # the caption
    assert (shown[script.LINE :, : script.LABEL] < 128).any()  # the names


@pytest.mark.parametrize("causal", [True, False])
def test_a_stream_is_shown_at_two_sizes_of_a_model_that_has_one(load_script, causal):
    script = load_script("examples/sora_films.py")
    route, spec = get_route("sora"), WORLDS["arena"].spec(32)
    config = route.recipes["debug"]()
    torch.manual_seed(0)
    model = route.build(replace(config, generator=replace(config.generator, causal=causal)), spec).eval()
    strips = script.streams(model, 0)
    assert [(name, tuple(film.shape)) for name, _, film in strips] == (
        [("32 pixels", (14, 3, 32, 32)), ("64 pixels", (7, 3, 64, 64))] if causal else []
    )


def test_the_largest_jump_by_hand(load_script):
    script = load_script("examples/sora_films.py")
    video = torch.tensor([0.0, 1, 2, 5]).view(1, 4, 1, 1, 1)
    assert script.largest_jump(video).item() == 9
    assert script.recoloured(("a red disc chases blue",)) == ("a green disc chases yellow",)
