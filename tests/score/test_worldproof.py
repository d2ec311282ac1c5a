"""The experiment with two judges runs, and both say of the cheats what they must."""

import json
import sys

import pytest

pytest.importorskip("worldproof")


def test_both_judges_know_the_world_from_a_still_picture(tmp_path, monkeypatch, load_script):
    script = load_script("experiments/judged_by_worldproof.py")
    monkeypatch.setattr(
        sys, "argv", ["judged_by_worldproof.py", "--items", "12", "--out", str(tmp_path / "found.json")]
    )
    script.main()
    found = json.loads((tmp_path / "found.json").read_text())
    for side in ("theirs", "ours"):
        assert not any(verdict["better"] for verdict in found[side]["copies the last frame"].values())
    honest, deaf = found["theirs"]["the world itself"], found["theirs"]["reads the truth, ignores actions"]
    assert honest[script.DIVERGENCE]["better"]
    assert not deaf[script.DIVERGENCE]["better"]
    assert found["ours"]["the world itself"]["action_following"]["better"]
    assert not found["ours"]["reads the truth, ignores actions"]["action_following"]["better"]
