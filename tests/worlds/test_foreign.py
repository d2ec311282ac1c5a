"""Games as collections of clips. A game that is not installed is not tested."""

import sys
from importlib.util import find_spec
from itertools import groupby, islice

import numpy as np
import pytest

from threeworlds.score.clips import generate
from threeworlds.worlds import COLLECTIONS, WORLDS, collect
from threeworlds.worlds.coinrun import runner
from threeworlds.worlds.foreign import Collection, held, shrunk

# The game's package leaves a file open when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
PACKAGE = {"coinrun": "procgen", "doom": "vizdoom"}
each_game = pytest.mark.parametrize(
    "game",
    [
        pytest.param(game, marks=pytest.mark.skipif(find_spec(PACKAGE[name]) is None, reason=f"no {PACKAGE[name]}"))
        for name, game in COLLECTIONS.items()
    ],
    ids=list(COLLECTIONS),
)


@each_game
def test_clips_are_what_the_spec_says_and_the_same_by_seed(game: Collection) -> None:
    first, again = (list(game.collect(episodes=2, seed=5, size=32)) for _ in range(2))
    (other,) = game.collect(episodes=1, seed=6, size=32)
    for clip, same in zip(first, again, strict=True):
        assert clip.video.shape[1:] == (32, 32, 3) and clip.video.dtype == np.uint8
        assert len(clip.video) == len(clip.action) + 1 == len(clip.state) <= game.steps
        assert clip.action.max() < game.action.size == len(game.action.names)
        assert clip.state.shape[1] == len(game.state_names)
        assert np.array_equal(clip.video, same.video) and np.array_equal(clip.action, same.action)
    assert first[0].source == f"{game.name}/5/0"
    assert not np.array_equal(first[0].video[0], other.video[0])


@each_game
def test_a_store_is_made_by_the_usual_door(game: Collection, tmp_path) -> None:
    store = generate(game.name, tmp_path / "clips", episodes=2, seed=0, size=16)
    assert store.spec == game.spec(16)
    assert store.has_action.all()


def by_name(game: Collection, name: str) -> int:
    return game.action.names.index(name)


@pytest.mark.skipif(find_spec("procgen") is None, reason="no procgen")
def test_an_action_is_what_happens_to_the_runner_after_its_frame() -> None:
    """The runner speeds up to the right in the very step in which "right" is pressed."""
    game = COLLECTIONS["coinrun"]
    gains = {"right": [], "left": []}
    for clip in game.collect(episodes=3, seed=1):
        faster = np.diff(clip.state[:, game.state_names.index("vx")])
        for name, found in gains.items():
            pressed = clip.action == by_name(game, name)
            began = np.flatnonzero(pressed[1:] & ~pressed[:-1]) + 1
            found += faster[began].tolist()
    assert np.mean(gains["right"]) > 0.02 > -0.02 > np.mean(gains["left"])


@pytest.mark.skipif(find_spec("vizdoom") is None, reason="no vizdoom")
def test_turning_left_turns_left() -> None:
    game = COLLECTIONS["doom"]
    (clip,) = game.collect(episodes=1, seed=2)
    turned = (np.diff(clip.state[:, 2]) + 180) % 360 - 180
    assert (turned[clip.action == by_name(game, "left")] > 0).mean() > 0.9
    assert (turned[clip.action == by_name(game, "right")] < 0).mean() > 0.9


def test_a_missing_game_says_what_to_install(monkeypatch) -> None:
    for name, package in PACKAGE.items():
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ValueError, match=f"{name} needs more packages.*pip install"):
            next(COLLECTIONS[name].collect(episodes=1, seed=0))


def test_a_game_is_no_world_to_simulate() -> None:
    assert not WORLDS.keys() & COLLECTIONS.keys()
    with pytest.raises(ValueError, match="has no simulator"):
        collect("coinrun", episodes=1, seed=0)
    with pytest.raises(ValueError, match="not a state of coinrun"):
        runner(b"\0\0\0\0\4\0\0\0maze" + bytes(200))


def test_actions_are_held_and_drawn_by_weight() -> None:
    drawn = list(islice(held({7: 0.9, 1: 0.1}, (3, 10), np.random.default_rng(0)), 6000))
    lengths = [len(list(same)) for _, same in groupby(drawn)]
    assert min(lengths[:-1]) >= 3  # the last one is cut off
    assert 0.85 < np.mean(np.array(drawn) == 7) < 0.95


def test_a_shrunk_pixel_is_the_mean_of_what_it_covers() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    means = frame.reshape(8, 4, 8, 4, 3).mean((1, 3))
    assert np.abs(shrunk(frame, 8) - means).max() < 1  # rounded along one axis, then along the other
    assert np.array_equal(shrunk(frame, 32), frame)
