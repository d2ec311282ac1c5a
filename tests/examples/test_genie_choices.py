"""The experiment on choices of genie prints the command that makes its figures again."""

import importlib.util
import json
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def choices():
    spec = importlib.util.spec_from_file_location("genie_choices", ROOT / "experiments" / "genie_choices.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["genie_choices"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["genie_choices"]


def test_the_command_gives_the_same_run(choices):
    given = choices.parse(["--flops", "3e9", "--items", "7", "--seed", "4"])
    python, script, *words = shlex.split(choices.command_of(given))
    assert (python, script) == ("python", "experiments/genie_choices.py")
    assert vars(choices.parse(words)) == vars(given)


def test_the_page_gives_the_command_of_the_kept_figures():
    kept = json.loads((ROOT / "results" / "genie-choices.json").read_text())
    assert f"--items {kept['items']} " in kept["command"]
    assert kept["command"] in (ROOT / "docs" / "genie.md").read_text()
