"""The script of films runs through on an untrained model and tells every figure."""

import importlib.util
import json
from pathlib import Path

import torch

from threeworlds.routes import get_route
from threeworlds.train import Card, save_model
from threeworlds.worlds import WORLDS

SCRIPT = Path(__file__).parents[2] / "examples" / "sora_films.py"


def test_every_task_leaves_a_strip_and_every_measure_a_figure(tmp_path):
    loaded = importlib.util.spec_from_file_location("sora_films", SCRIPT)
    script = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(script)
    route, spec = get_route("sora"), WORLDS["arena"].spec(32)
    config = route.recipes["debug"]()
    torch.manual_seed(0)
    card = Card(route="sora", recipe="debug", config=config, spec=spec)
    save_model(tmp_path / "model", route.build(config, spec), card)
    script.main(tmp_path / "model", pictures=tmp_path, result=tmp_path / "tasks.json", items=2)
    tasks = ("words", "size", "still", "image", "after", "before", "loop", "connect", "edit", "original")
    assert {file.stem for file in tmp_path.glob("*.png")} == {f"sora-{task}" for task in tasks}
    figures = json.loads((tmp_path / "tasks.json").read_text())
    assert set(figures["words_by_side"]) == {"32", "48", "64"}
    assert figures["edit_by_strength"].keys() == {"0.3", "0.5", "0.7", "0.9"}
    assert figures["largest_jump_median"]["cut"] > 0


def test_the_largest_jump_by_hand():
    loaded = importlib.util.spec_from_file_location("sora_films", SCRIPT)
    script = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(script)
    video = torch.tensor([0.0, 1, 2, 5]).view(1, 4, 1, 1, 1)
    assert script.largest_jump(video).item() == 9
    assert script.recoloured(("a red disc chases blue",)) == ("a green disc chases yellow",)
