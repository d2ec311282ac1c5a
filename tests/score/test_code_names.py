"""Names of latent actions: both ways, and on disk."""

import numpy as np
import pytest
from planted import Watcher

from threeworlds.score.code_names import load_names, name_codes, names_from_world
from threeworlds.types import ClipSpec
from threeworlds.worlds import WORLDS

CODES = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
ACTIONS = np.array([1, 1, 0, 0, 0, 2, 2, 2, 1])


def test_each_code_has_its_commonest_action_and_each_action_its_surest_code():
    names = name_codes(CODES, ACTIONS, 4, ("stay", "left", "right"))
    assert names.action_of_code == (1, 0, 2, -1)
    assert names.code_of_action == (1, 0, 2)
    assert names.agreement == pytest.approx(7 / 9)
    assert [names.name(code) for code in range(5)] == ["left", "stay", "right", "?", "none"]


def test_a_code_seen_once_does_not_command():
    """Code 1 went with "left" the one time it was seen; code 0 did so five times of six."""
    codes, actions = np.array([0, 0, 0, 0, 0, 0, 1]), np.array([1, 1, 1, 1, 1, 0, 1])
    assert name_codes(codes, actions, 2, ("stay", "left")).code_of_action[1] == 0


def test_names_are_kept_beside_the_checkpoint(tmp_path):
    assert load_names(tmp_path) is None
    names = name_codes(CODES, ACTIONS, 4, ("stay", "left", "right"))
    assert names.save(tmp_path).name == "codes.json"
    assert load_names(tmp_path) == names
    for broken in ("{", "[]", '{"names": ["a"]}'):
        (tmp_path / "codes.json").write_text(broken)
        with pytest.raises(ValueError, match=r"codes\.json"):
            load_names(tmp_path)


def test_a_world_names_the_codes_of_who_sees_its_actions():
    names = names_from_world(Watcher(), WORLDS["arena"].spec(), labelled=200)
    assert names.labelled == 200
    assert names.code_of_action == tuple(Watcher.order.tolist())
    assert names.agreement > 0.85  # pushes against a wall look like staying


def test_video_from_outside_names_nothing():
    with pytest.raises(ValueError, match="no world"):
        names_from_world(Watcher(), ClipSpec(height=32, width=32, fps=10))
    with pytest.raises(ValueError, match="one action for each code"):
        name_codes(CODES, ACTIONS[:3], 4, ("a",))
