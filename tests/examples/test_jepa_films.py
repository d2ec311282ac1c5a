"""The script of jepa's films runs through on untrained models, and its films and figures are what they say."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from threeworlds.routes import get_route
from threeworlds.routes.jepa.recipes import ActorConfig, CriticConfig, PlannerConfig
from threeworlds.score.journey import Journey
from threeworlds.train import Card, load_model, save_model
from threeworlds.worlds import WORLDS, collect

PICTURES = ("beliefs", "futures", "surprise", "masks", "costs", "ways-rooms", "ways-walls")


@pytest.fixture
def script(load_script):
    return load_script("examples/jepa_films.py")


def save_untrained(folder, world, **changes):
    route, spec = get_route("jepa"), WORLDS[world].spec(32)
    config = replace(route.recipes["debug"](), **changes)
    torch.manual_seed(0)
    save_model(folder, route.build(config, spec), Card(route="jepa", recipe="debug", config=config, spec=spec))


def test_every_picture_and_every_figure_is_made(tmp_path, script, monkeypatch):
    monkeypatch.setattr(script, "PAIRS", 3)
    monkeypatch.setattr(script, "GOALS", 2)
    save_untrained(tmp_path / "arena", "arena")
    save_untrained(tmp_path / "rooms", "rooms", critic=CriticConfig(hidden=8), actor=ActorConfig(hidden=8))
    folders = tmp_path / "arena", tmp_path / "rooms", tmp_path / "rooms"
    script.main(*folders, pictures=tmp_path, result=tmp_path / "films.json")
    assert {file.stem for file in tmp_path.glob("*.png")} == {f"jepa-{name}" for name in PICTURES}
    figures = json.loads((tmp_path / "films.json").read_text())
    assert set(figures["ways"]) == {"search", "actor"}
    assert figures["ways"]["search"]["steps"] == 60  # it knows nothing, and goes on as long as it may
    assert all(low <= value <= high for value, low, high in figures["rank"].values())


def test_an_agent_of_another_world_has_a_picture_of_its_own(tmp_path, script, monkeypatch):
    drawn = []
    for name in ("draw_beliefs", "draw_futures", "draw_surprise", "draw_masks", "draw_costs"):
        monkeypatch.setattr(script, name, lambda *_: None)
    monkeypatch.setattr(script, "draw_ways", lambda ways, path: drawn.append((path.name, list(ways))))
    monkeypatch.setattr(script, "agreement", lambda *_: {})
    save_untrained(tmp_path / "rooms", "rooms")
    rooms = tmp_path / "rooms"
    script.main(rooms, rooms, rooms, (rooms,), tmp_path, tmp_path / "films.json")
    first, walls, other = drawn
    assert first == other == ("jepa-ways-rooms.png", ["search"])  # without an actor there is no way by it
    assert walls == ("jepa-ways-walls.png", ["remembers", "forgets"])


def test_the_way_that_forgets_has_no_memory_and_the_model_gets_its_own_back(tmp_path, script, monkeypatch):
    critic, planner = CriticConfig(hidden=8), PlannerConfig(horizon=2, candidates=4, elites=2, rounds=1, memory=7)
    save_untrained(tmp_path, "rooms", critic=critic, planner=planner)
    model, kept = load_model(tmp_path)[0], []
    monkeypatch.setattr(script, "travel", lambda model, *_, **how: kept.append((model.config.planner.memory, how)))
    script.detours_of(model)
    assert [memory for memory, _ in kept] == [7, 0] and kept[0][1] == kept[1][1]
    assert model.config.planner == planner


def test_what_the_simulator_makes_is_the_clip_itself(script):
    (clip,) = collect("arena", episodes=1, seed=5, size=32, steps=10)
    again = script.simulated(clip.state[3], clip.action[3:], 32)
    assert np.array_equal(again, clip.video[4:])


def test_a_cost_that_is_the_shortest_way_ranks_like_it(script, monkeypatch):
    monkeypatch.setattr(script, "GOALS", 3)

    def told(model, states, goal):
        true = WORLDS["rooms"].distance(states, np.broadcast_to(goal, states.shape))
        return {"plain": -true, "critic": true**3, "true": true}

    monkeypatch.setattr(script, "costs_to", told)
    found = script.agreement(None, seed=0)
    assert found["critic"] == pytest.approx((1, 1, 1))
    assert found["plain"] == pytest.approx((-1, -1, -1))


def test_how_far_an_imagined_way_is_off(script):
    x = np.linspace(0.2, 0.4, 5)
    real, other = (
        np.stack([x, np.full(5, y), np.full(5, 0.5), np.full(5, 0.3)], 1).astype(np.float32) for y in (0.7, 0.6)
    )
    films = [WORLDS["rooms"].render(states, 64) for states in (real, other)]
    way = Journey(real=films[0], imagined=films[1], goal=films[0][-1], actions=np.zeros((4, 2)), states=real, reached=4)
    found = script.measured(way)
    assert found["steps"] == 4 and found["reached"]
    assert found["off"] == pytest.approx([0.1, 0.1], abs=0.005)


def test_a_frame_of_a_strip_stands_at_its_number(script):
    axes = Figure().subplots()
    frames = np.stack([np.full((4, 4, 3), 40 * i, np.uint8) for i in range(3)])
    script.show(axes, frames, start=-1)
    (image,) = axes.get_images()
    assert image.get_extent() == [-1.5, 1.5, 0, 1]
    assert list(image.get_array()[2, [2, 8, 14], 0]) == [0, 40, 80]
