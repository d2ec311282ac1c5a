"""The experiment on choices of genie prints the command that makes its figures again."""

import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from threeworlds.worlds import WORLDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def choices(load_script):
    return load_script("experiments/genie_choices.py")


def test_the_command_gives_the_same_run(choices):
    given = choices.parse(["actions", "--flops", "3e9", "--items", "7", "--seed", "4"])
    python, script, *words = shlex.split(choices.command_of(given))
    assert (python, script) == ("python", "experiments/genie_choices.py")
    assert vars(choices.parse(words)) == vars(given)


@pytest.mark.parametrize("choice", ["actions", "decoders"])
def test_the_page_gives_the_command_of_the_kept_figures(choice):
    kept = json.loads((ROOT / "results" / f"genie-{choice}.json").read_text())
    assert f" {choice} " in kept["command"] and f"--items {kept['items']} " in kept["command"]
    assert kept["command"] in (ROOT / "docs" / "genie.md").read_text()


def test_what_variants_share_is_trained_once_and_is_alike_in_them(choices, tmp_path, monkeypatch):
    trained = []

    def scramble(self, model, stage):
        trained.append(stage.name)
        with torch.no_grad():
            for parameter in stage.module.parameters():
                parameter.normal_()
        return 1.0

    monkeypatch.setattr(choices.Trainer, "_train", scramble)
    trainer = choices.Trainer(SimpleNamespace(spec=WORLDS["arena"].spec(32)), tmp_path, choices.PARTS, seed=0)
    configs = choices.variants("actions") | choices.variants("decoders") | choices.variants("dynamics")
    models = {name: trainer.variant(config)[0] for name, config in configs.items()}
    assert {stage: trained.count(stage) for stage in choices.PARTS} == {
        "tokenizer": len({config.tokenizer for config in configs.values()}),
        "actions": len({config.actions for config in configs.values()}),
        "dynamics": len(set(configs.values())),
    }
    first, vq, causal = (models[name] for name in ("masked", "vq", "causal"))
    assert torch.equal(first.tokenizer.encoder[0].weight, vq.tokenizer.encoder[0].weight)
    assert torch.equal(first.actions.encoder[0].weight, causal.actions.encoder[0].weight)
    assert not torch.equal(first.dynamics.norm.weight, causal.dynamics.norm.weight)


@pytest.mark.parametrize(("choice", "parts"), [("actions", 1), ("decoders", 1), ("dynamics", 3)])
def test_all_flops_go_to_what_is_compared(choice, parts, choices):
    flops = choices.flops_of(choice, 8e9)
    assert len(flops) == parts and "actions" in flops
    assert sum(flops.values()) == pytest.approx(8e9)


@pytest.mark.parametrize("choice", ["actions", "decoders", "dynamics"])
def test_a_variant_is_the_first_with_one_part_changed(choice, choices):
    small, *others = choices.variants(choice).values()
    for other in others:
        same = [getattr(small, part) == getattr(other, part) for part in choices.PARTS]
        assert same.count(False) == 1
    assert sum(choices.PARTS.values()) == 1
