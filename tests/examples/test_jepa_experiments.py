"""The experiments of jepa: what they measure is what they say, on small cases."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from threeworlds.planning import SEARCHES
from threeworlds.routes import get_route
from threeworlds.routes.jepa.recipes import ActorConfig, CriticConfig
from threeworlds.train import Card, save_model
from threeworlds.worlds import WORLDS, collect


@pytest.fixture
def script(load_script):
    return lambda name: load_script(f"experiments/{name}.py")


@pytest.mark.parametrize("task", ["uniform", "collision"])
def test_velocities_that_are_in_the_states_are_read_from_them(script, task):
    """States that hold the true places and velocities: a line and a network read them, from others they cannot."""
    jepa = script("jepa")
    truth = np.stack([clip.state for clip in collect("motion", episodes=60, seed=0, size=32, task=task)]).astype(float)
    z = np.nan_to_num(truth[:, 3:])  # what is no ball is NaN
    z = (z - z.mean((0, 1))) / 3
    read = jepa.velocities(z, truth[:, 3:].copy(), z, task)
    blind = jepa.velocities(np.zeros_like(z), truth[:, 3:].copy(), np.zeros_like(z), task)
    assert set(read) == {"", "network_"}
    for kind in read:
        assert read[kind].shape == (60, truth.shape[1] - 4, 4 if task == "collision" else 2)
        error = jepa.velocity_error(read[kind], truth)
        assert error < 0.3 * jepa.velocity_error(blind[kind], truth)


def test_every_way_to_search_is_asked_once_and_goes_on_where_it_stopped(script, tmp_path, monkeypatch):
    search = script("jepa_search")
    monkeypatch.setattr(search, "ASKED", (replace(search.ASKED[0], budget=3),))
    route, spec = get_route("jepa"), WORLDS["rooms"].spec(32)
    torch.manual_seed(0)
    config = replace(route.recipes["debug"](), critic=CriticConfig(hidden=8), actor=ActorConfig(hidden=8))
    save_model(tmp_path, route.build(config, spec), Card(route="jepa", recipe="debug", config=config, spec=spec))
    asked = [str(tmp_path), "--items", "3", "--out", str(tmp_path / "search.json")]
    rows = search.main(asked)["rows"]
    assert {row["search"] for row in rows} == set(SEARCHES)
    assert len(rows) == 2 * (len(SEARCHES) + 3)
    assert all(row["success"]["low"] <= row["success"]["value"] <= row["success"]["high"] for row in rows)
    monkeypatch.setattr(search, "measure", None)  # nothing is left to measure
    assert search.main(asked)["rows"] == json.loads((tmp_path / "search.json").read_text())["rows"] == rows
