"""Worlds whose law is another package's: the same moves as there, nearly the same pictures, and its rule of success."""

import sys
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
import torch

from threeworlds.score.journey import draw_places
from threeworlds.score.planning import SETTINGS, settings_of
from threeworlds.worlds import WORLDS, collect, pusht, tworoom
from threeworlds.worlds.foreign import borrowed, shrunk

here = pytest.mark.skipif(
    not all(map(find_spec, ("stable_worldmodel", "loguru", "pygame"))), reason="no stable-worldmodel"
)
both = pytest.mark.parametrize("name", ["tworoom", "pusht"])


def states_of(name: str, episodes: int = 3, **asked) -> list[np.ndarray]:
    return [c.state for c in collect(name, episodes=episodes, seed=3, size=8, **asked)]


@here
def test_two_rooms_move_as_the_package_says() -> None:
    env, rng = tworoom.game(), np.random.default_rng(0)
    starts = np.concatenate(states_of("tworoom"))[::5]
    actions = rng.uniform(-1.5, 1.5, (len(starts), 2)).astype(np.float32)
    moved = tworoom.advance(starts, actions)
    for start, action, after in zip(starts, actions, moved, strict=True):
        env._set_state(tworoom.flipped(start[None])[0])
        *_, info = env.step(action * (1, -1))
        np.testing.assert_allclose(after, tworoom.flipped(info["state"][None], back=True)[0], atol=1e-6)
    assert (np.abs(moved - starts).max(-1) < 0.9 * tworoom.SPEED * np.abs(actions).clip(0, 1).max(-1)).any()  # a wall


@here
def test_a_t_moves_as_the_package_says() -> None:
    """Ways of many steps, without our setting of the state in between: only what contacts remember differs."""
    env, pushed = pusht.game(), 0
    for clip in collect("pusht", episodes=4, seed=3, size=8, steps=30, policies=("push",)):
        pusht.put(clip.state[0])
        np.testing.assert_allclose(pusht.read(), clip.state[0], atol=1e-5)
        for action in clip.action:
            env.step(action.astype(float) * (1, -1))
        pushed += np.ptp(clip.state[:, 4:6], axis=0).max() > 0.05
        np.testing.assert_allclose(pusht.read()[[0, 1, 4, 5]], clip.state[-1, [0, 1, 4, 5]], atol=0.01)
    assert pushed >= 2


@here
@pytest.mark.parametrize(("name", "size", "apart"), [("tworoom", 56, 0.8), ("pusht", 64, 1.3)])
def test_pictures_are_those_of_the_package(name: str, size: int, apart: float) -> None:
    """``apart``: of 255 levels, in the mean; the T's outline is not drawn."""
    states = np.concatenate(states_of(name))[::25]
    theirs = []
    for state in states:
        if name == "tworoom":
            frame = tworoom.game()._render_frame(torch.from_numpy(tworoom.flipped(state[None])[0])).permute(1, 2, 0)
            theirs.append(shrunk(frame.contiguous().numpy(), size))
        else:
            pusht.put(state)
            module = sys.modules["stable_worldmodel.envs.pusht.env"]
            if not hasattr(module.cv2, "resize"):
                module.cv2.resize = lambda image, size: image
            theirs.append(shrunk(np.ascontiguousarray(pusht.game().render()), size))
    ours = WORLDS[name].render(states, size)
    assert np.abs(ours.astype(int) - np.stack(theirs)).mean() < apart
    assert np.abs(ours[:-1].astype(int) - np.stack(theirs[1:])).mean() > 2 * apart  # another state's is not


@here
def test_experts_go_through_the_door() -> None:
    rng = np.random.default_rng(1)
    places = np.stack([tworoom.draw_place(rng) for _ in range(60)])
    now, goals = places[:30], places[30:]
    assert ((now[:, 0] < 0.5) != (goals[:, 0] < 0.5)).sum() > 8
    for _ in range(90):
        now = tworoom.advance(now, np.stack([tworoom.expert_action(s, g) for s, g in zip(now, goals, strict=True)]))
    assert tworoom.reached(now, goals).all()


@here
def test_ways_stay_in_the_rooms() -> None:
    for way in states_of("tworoom", 9):
        for a, b in pairwise(way):
            if (a[0] - 0.5) * (b[0] - 0.5) < 0:
                assert abs(b[1] - tworoom.DOOR_Y) <= tworoom.CLEAR + 1e-5
        assert way.min() >= tworoom.LOW - 1e-5 and way.max() <= tworoom.HIGH + 1e-5


@here
def test_pushers_push_and_keep_the_t_in_the_picture() -> None:
    ways = np.stack(states_of("pusht", 12))
    moving = np.abs(np.diff(ways[..., 4:6], axis=1)).max(-1) > 1e-3
    assert moving.mean() > 0.25
    assert ways[..., 4:6].min() > -0.1 and ways[..., 4:6].max() < 1.1


@here
@both
def test_goals_are_reached_by_the_rule_of_the_package(name: str) -> None:
    world = WORLDS[name]
    start, goal = draw_places(world, None, None, 4, {})
    assert world.reached(start, start) and not world.reached(start, goal)
    env = borrowed(f"stable_worldmodel.envs.{'two_room' if name == 'tworoom' else name}.env")
    rng = np.random.default_rng(0)
    near = start + rng.normal(0, 0.05 if name == "tworoom" else 0.03, (200, len(start))).astype(np.float32)
    if name == "tworoom":
        apart = np.linalg.norm(tworoom.flipped(near) - tworoom.flipped(start[None]), axis=-1)
        expected = apart < 16
    else:
        near[:, 8] = start[8] + rng.normal(0, 0.3, 200) + 2 * np.pi * rng.integers(-1, 2, 200)
        seven = np.concatenate([near[:, [0, 1, 4, 5]] * 512, near[:, 8:9] % (2 * np.pi), near[:, :2]], axis=1)
        goal7 = np.concatenate([start[[0, 1, 4, 5]] * 512, start[8:9] % (2 * np.pi), start[:2]])
        expected = [env.PushT.eval_state(None, goal7, state)[0] for state in seven]
    assert 20 < np.sum(expected) < 180
    np.testing.assert_array_equal(world.reached(near, start), expected)


@here
def test_a_goal_that_is_more_than_a_place_is_not_asked_as_a_place() -> None:
    with pytest.raises(ValueError, match="a goal of pusht is more than a place"):
        draw_places(WORLDS["pusht"], (0.5, 0.5), None, 0, {})


@both
def test_worlds_are_asked_the_settings_that_they_have(name: str) -> None:
    assert [s.name for s in settings_of(WORLDS[name])] == ["25_50", "100_150"]
    assert settings_of(WORLDS["rooms"]) == list(SETTINGS)


@both
def test_a_missing_package_is_named_with_the_line_that_installs_it(name: str, monkeypatch) -> None:
    module = {"tworoom": tworoom, "pusht": pusht}[name]

    def missing(*_):
        raise ImportError("No module named 'stable_worldmodel'")

    monkeypatch.setattr(module, "borrowed", missing)
    module.game.cache_clear()
    try:
        with pytest.raises(ValueError, match=f"{name} needs more packages .*pip install --no-deps stable-worldmodel"):
            WORLDS[name].spec()
    finally:
        module.game.cache_clear()


def test_what_is_borrowed_leaves_no_stand_ins(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "lender" / "deep"
    folder.mkdir(parents=True)
    for place in (folder.parent, folder):
        (place / "__init__.py").write_text("raise RuntimeError('too much')")
    (folder / "part.py").write_text(
        "import never_used.below as below\nfrom lender.deep import other\nword = other.word"
    )
    (folder / "other.py").write_text("word = 7")
    monkeypatch.syspath_prepend(tmp_path)
    assert borrowed("lender.deep.part", ("never_used", "never_used.below")).word == 7
    assert not {"lender", "lender.deep", "never_used", "never_used.below"} & sys.modules.keys()
    with pytest.raises(ImportError, match="no_lender"):
        borrowed("no_lender.part")
