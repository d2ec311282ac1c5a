"""The script of genie's pictures runs through on an untrained model, and its truth is the simulator's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from threeworlds.routes import get_route
from threeworlds.train import Card, save_model
from threeworlds.types import Clip
from threeworlds.worlds import COLLECTIONS, WORLDS, collect

PICTURES = ("hold", "play", "picture", "tokens", "track")


@pytest.fixture
def script(load_script):
    return load_script("examples/genie_films.py")


def untrained(spec, folder):
    """A model that has learnt nothing, saved."""
    route = get_route("genie")
    config = route.recipes["debug"]()
    torch.manual_seed(0)
    save_model(folder, route.build(config, spec), Card(route="genie", recipe="debug", config=config, spec=spec))


def test_every_picture_is_made(tmp_path, script):
    untrained(WORLDS["arena"].spec(32), tmp_path / "model")
    script.main(tmp_path / "model", pictures=tmp_path)
    assert {file.stem for file in tmp_path.glob("*.png")} == {f"genie-{name}" for name in PICTURES}
    for file in tmp_path.glob("*.png"):
        assert np.asarray(Image.open(file).convert("RGB")).std() > 10


def test_the_truth_beside_a_dream_is_what_the_clip_shows_under_its_own_actions(script):
    (clip,) = collect("arena", episodes=1, seed=3, size=32, steps=6)
    names = WORLDS["arena"].action.names
    told = [names[action] for action in clip.action[script.GIVEN - 1 :]]
    apart = np.abs(script.simulated(clip, told).astype(int) - clip.video[script.GIVEN :]).mean()
    assert apart < 0.1  # of 255, for states are kept as float32; from frame to frame it is 9


class Flicker:
    """A game of grey frames, of no meaning."""

    def episode(self, rng, size):
        video = rng.integers(0, 256, (40, size, size, 3), dtype=np.uint8)
        return Clip(video=video, action=rng.integers(6, size=39), state=np.zeros((40, 4), np.float32))

    def close(self):
        """Nothing to end."""


def test_a_game_gets_a_picture_of_its_own(tmp_path, script, monkeypatch):
    game = replace(COLLECTIONS["coinrun"], player=Flicker, size=32)
    monkeypatch.setitem(COLLECTIONS, "coinrun", game)
    untrained(game.spec(), tmp_path / "model")
    script.main(tmp_path / "model", pictures=tmp_path)
    assert [file.stem for file in tmp_path.glob("*.png")] == ["genie-coinrun"]
    picture = np.asarray(Image.open(tmp_path / "genie-coinrun.png").convert("RGB"))
    assert picture.std() > 10 and len(picture) > 400  # two true strips, two dreams, and at least one action held
