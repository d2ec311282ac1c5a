"""Model files: there and back, and files made to harm."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from toy_route import TOY, Head, ToyConfig

from threeworlds.train import Card, ModelFileError, TrainedRun, load_model, save_model
from threeworlds.train.model_files import rebuild, unique_state
from threeworlds.types import ClipSpec, Route


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_route(name: str) -> Route:
        if name != "toy":
            raise ValueError(f"no route {name!r}; routes: toy")
        return TOY

    monkeypatch.setattr("threeworlds.train.model_files.get_route", get_route)


@pytest.fixture
def copy(run: TrainedRun, out: Path) -> Path:
    out.mkdir()
    for name in ("model.safetensors", "config.json", "card.json"):
        shutil.copy(run.path / name, out)
    return out


def change(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))


def test_there_and_back(run: TrainedRun) -> None:
    model, card = load_model(run.path)
    assert not model.training
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    assert (card.route, card.recipe, card.config, card.spec.height) == ("toy", "debug", ToyConfig(), 16)
    assert card.ledger == {**run.ledger, "total": run.total}
    assert card.command == "threeworlds train toy --data CLIPS --recipe debug --budget 50steps --seed 0"
    assert len(card.data_hash) == len(card.split_hash) == 64


def test_saving_again_gives_the_same_bytes(run: TrainedRun, out: Path) -> None:
    model, card = load_model(run.path)
    save_model(out, model, replace(card, scores={"prediction/psnr_h1": 20.5}))
    assert (out / "model.safetensors").read_bytes() == (run.path / "model.safetensors").read_bytes()
    assert load_model(out)[1].scores == {"prediction/psnr_h1": 20.5}


def test_shared_weights_are_kept_once(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(config: ToyConfig, spec: ClipSpec) -> nn.Module:
        model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
        model["b"].weight = model["a"].weight
        return model

    monkeypatch.setattr("threeworlds.train.model_files.get_route", lambda name: replace(TOY, build=build))
    model = build(ToyConfig(), ClipSpec(height=1, width=1, fps=1.0))
    assert set(unique_state(model)) == {"a.weight", "a.bias", "b.bias"}
    spec = ClipSpec(height=1, width=1, fps=1.0)
    save_model(out, model, Card(route="toy", recipe="debug", config=ToyConfig(), spec=spec))
    loaded, _ = load_model(out)
    assert loaded["b"].weight is loaded["a"].weight
    assert torch.equal(loaded["b"].weight, model["b"].weight)


# ------------------------------------------------------------------------------------- made to harm


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_pickle_is_not_opened(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    (copy / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFileError, match=r"model.safetensors: not a readable safetensors file"):
        load_model(copy)
    torch.save({"weights": Bomb()}, copy / "model.safetensors")
    with pytest.raises(ModelFileError, match="not a readable safetensors file"):
        load_model(copy)
    assert not (copy / "exploded").exists()
    pickle.loads(pickle.dumps(Bomb()))  # the bomb is real
    assert (copy / "exploded").exists()


@pytest.mark.parametrize(
    ("edit", "cause"),
    [
        (lambda w: w.update(extra=torch.zeros(2)), r"unknown \['extra'\]"),
        (lambda w: w.update({"../../outside": torch.zeros(2)}), r"unknown \['../../outside'\]"),
        (lambda w: w.pop("autoencoder.mean"), r"missing \['autoencoder.mean'\]"),
        (lambda w: w.update({"autoencoder.mean": torch.zeros(3)}), r"F32 \(3,\), expected torch.float32 \(\)"),
        (lambda w: w.update({"autoencoder.mean": torch.zeros((), dtype=torch.float64)}), "F64"),
    ],
)
def test_tensors_must_be_the_models_own(copy: Path, edit: Callable[[dict[str, torch.Tensor]], object], cause: str):
    weights = load_file(copy / "model.safetensors")
    edit(weights)
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(ModelFileError, match=cause):
        load_model(copy)


def test_torn_weights(copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ModelFileError, match="not a readable safetensors file"):
        load_model(copy)


def test_header_longer_than_the_file(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    with pytest.raises(ModelFileError, match="not a readable safetensors file"):
        load_model(copy)


def test_config_larger_than_the_weights_takes_no_memory(copy: Path) -> None:
    """A million by a million weights are refused by their shape, before they are made."""
    change(copy / "config.json", lambda d: d["config"].update(width=1_000_000))
    with pytest.raises(ModelFileError, match=r"expected torch\.float32"):
        load_model(copy)


@pytest.mark.parametrize(
    ("edit", "cause"),
    [
        (lambda d: d.update(route="../../toy"), "route '../../toy' is not registered: no route .*; routes: toy"),
        (lambda d: d.update(route=["toy"]), "is not registered"),
        (lambda d: d.update(recipe="../debug"), r"recipe '../debug' of route toy: expected \['debug'\]"),
        (lambda d: d.update(_target_="os.system"), "expected the keys"),
        (lambda d: d.pop("spec"), "expected the keys"),
        (lambda d: d.update(schema="other/1"), "schema 'other/1', expected 'threeworlds.model/1'"),
        (lambda d: d["config"].update(colour=1), r"config: not a ToyConfig: unknown \['colour'\], missing \[\]"),
        (lambda d: d["spec"].pop("width"), r"unknown \[\], missing \['width'\]"),
        (lambda d: d["config"].update(width="8"), r"config\.width: expected <class 'int'>, got '8'"),
        (lambda d: d["config"].update(width=True), r"config\.width: expected <class 'int'>, got True"),
        (lambda d: d["config"]["head"].update(x=1), r"config\.head: not a Head"),
        (lambda d: d["spec"].update(height=None), r"spec\.height"),
    ],
)
def test_config_must_be_exactly_so(copy: Path, edit: Callable[[dict[str, Any]], object], cause: str) -> None:
    change(copy / "config.json", edit)
    with pytest.raises(ModelFileError, match=cause):
        load_model(copy)


def test_a_field_that_was_added_since_is_read_as_its_default(copy: Path) -> None:
    before = load_model(copy)[1].config
    change(copy / "config.json", lambda d: d["config"].pop("width"))
    assert load_model(copy)[1].config == before
    assert before.width == type(before)().width


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "not a readable JSON file"),
        ("[" * 100_000, "not a readable JSON file"),
        ("[]", "expected the keys"),
        (" " * (1 << 20) + "{}", "larger than 1048576 bytes"),
    ],
)
def test_json_that_is_none(copy: Path, text: str, cause: str) -> None:
    (copy / "card.json").write_text(text)
    with pytest.raises(ModelFileError, match=f"card.json: {cause}"):
        load_model(copy)


def test_folder_that_is_none(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ModelFileError, match=f"{folder}: no model there .*`threeworlds zoo list`"):
            load_model(folder)


# ------------------------------------------------------------------------------------------ rebuild


@dataclass(frozen=True, kw_only=True)
class Other:
    depth: int = 2


@dataclass(frozen=True, kw_only=True)
class Every:
    kind: Literal["a", "b"] = "a"
    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[str, float] = ("x", 1.0)
    maybe: float | None = None
    part: Head | Other = Other()
    table: dict[str, float] | None = None


@pytest.mark.parametrize("value", [Every(), Every(kind="b", maybe=2.0, part=Head(width=3), table={"k": 1.0}, sizes=())])
def test_rebuild_inverts_json(value: Every) -> None:
    assert rebuild(Every, json.loads(json.dumps(asdict(value))), "value") == value


@pytest.mark.parametrize("wrong", [{"kind": "c"}, {"sizes": [1.5]}, {"pair": ["x"]}, {"part": {"height": 1}}])
def test_rebuild_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError, match=next(iter(wrong))):
        rebuild(Every, {**json.loads(json.dumps(asdict(Every()))), **wrong}, "value")
