"""What every world promises, over all of them."""

from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from threeworlds.types import Clip
from threeworlds.worlds import WORLDS, WorldEnv, collect
from threeworlds.worlds.base import action_space

CASES: list[tuple[str, dict[str, Any]]] = [
    ("arena", {"combinations": "all"}),
    ("arena", {"combinations": "heldout", "shapes": (2,)}),
    *(("motion", {"task": task, "range": r}) for task in ("uniform", "collision", "parabola") for r in ("in", "out")),
    ("rooms", {"layout": "fixed"}),
    ("rooms", {"layout": "random"}),
]
if all(map(find_spec, ("stable_worldmodel", "loguru", "pygame"))):
    CASES += [("tworoom", {}), ("pusht", {})]
every_world = pytest.mark.parametrize(("name", "options"), CASES)


def make(name: str, **options: Any) -> gymnasium.Env:
    return gymnasium.make(f"threeworlds/{name}-v0", **options).unwrapped


def few(name: str, options: dict[str, Any], **asked: Any) -> list[Clip]:
    return list(collect(name, **({"episodes": 3, "seed": 7} | asked), **options))


def same(a: Clip, b: Clip) -> bool:
    arrays = all(
        np.array_equal(getattr(a, field), getattr(b, field), equal_nan=field == "state")
        for field in ("video", "action", "state")
        if getattr(a, field) is not None
    )
    return arrays and (a.captions, a.tags, a.source) == (b.captions, b.tags, b.source)


class Filled(WorldEnv):
    """0 for NaN in ``info``: the checker compares with ==, by which NaN differs from itself."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        frame, info = super().reset(seed=seed, options=options)
        return frame, {"state": np.nan_to_num(info["state"])}

    def step(self, action: Any) -> Any:
        *rest, info = super().step(action)
        return *rest, {"state": np.nan_to_num(info["state"])}


@every_world
def test_gymnasium_accepts_it(name: str, options: dict[str, Any]) -> None:
    check_env(Filled(WORLDS[name], size=16, **options), skip_render_check=True)


@every_world
def test_spec_is_what_comes_out(name: str, options: dict[str, Any]) -> None:
    world = WORLDS[name]
    spec = world.spec(24, **options)
    env = make(name, size=24, **options)
    frame, info = env.reset(seed=0)
    assert frame.shape == (spec.height, spec.width, 3)
    assert frame.dtype == np.uint8
    assert info["state"].shape == (len(spec.state_names),)
    assert info["state"].dtype == np.float32
    assert env.action_space == action_space(spec.action)
    assert len(spec.action.names) == spec.action.size
    clip = few(name, options, size=24, steps=33, episodes=1)[0]
    assert clip.video.shape == (33, 24, 24, 3)
    assert clip.state is not None
    assert clip.state.shape == (33, len(spec.state_names))
    assert (clip.action is None) == (spec.action.kind == "none")
    if clip.action is not None:
        assert len(clip.action) == 32
        assert all(env.action_space.contains(action) for action in clip.action)
    assert bool(clip.captions) == spec.captioned
    assert clip.fps == spec.fps
    assert clip.source == f"{name}/7/0"
    assert clip.tags[0] in world.policies


@every_world
def test_defaults(name: str, options: dict[str, Any]) -> None:
    world = WORLDS[name]
    clip = few(name, options, episodes=1)[0]
    assert clip.video.shape == (world.steps, world.size, world.size, 3)
    assert world.spec(**options).height == world.size
    assert world.spec().world == name


@every_world
def test_state_is_finite_but_for_what_is_absent(name: str, options: dict[str, Any]) -> None:
    for clip in few(name, options):
        assert clip.state is not None
        missing = np.isnan(clip.state)
        assert (missing == missing[0]).all()
        absent = {n.split("_")[0] for n, gone in zip(WORLDS[name].state_names, missing[0], strict=True) if gone}
        assert absent <= {"shape1", "ball1"}


@every_world
def test_same_seed_same_bytes(name: str, options: dict[str, Any]) -> None:
    first, again, other = few(name, options), few(name, options), few(name, options, seed=8)
    assert all(map(same, first, again))
    assert not any(map(same, first, other))
    assert not np.array_equal(first[0].video, first[1].video)


@every_world
def test_number_of_workers_changes_nothing(name: str, options: dict[str, Any]) -> None:
    asked = {"episodes": 20, "steps": 18, "size": 16}  # more than a chunk
    alone, together = few(name, options, **asked), few(name, options, workers=2, **asked)
    assert len(together) == 20
    assert all(map(same, alone, together))


@every_world
def test_an_episode_played_again_in_the_environment_is_the_same(name: str, options: dict[str, Any]) -> None:
    """Drawing frames one at a time or all at once, and beginning in a state given as options, change no byte."""
    for clip in few(name, options, size=32):
        assert clip.state is not None
        env = make(name, size=32, **options)
        frame, _ = env.reset(options={"state": clip.state[0]})
        assert np.array_equal(frame, clip.video[0])
        for t in range(len(clip.video) - 1):
            frame, reward, terminated, truncated, info = env.step(0 if clip.action is None else clip.action[t])
            assert np.array_equal(frame, clip.video[t + 1])
            assert np.array_equal(info["state"], clip.state[t + 1], equal_nan=True)
            assert (terminated, truncated) == (False, False)
            assert type(reward) is float and 0 <= reward <= 1
            assert WORLDS[name].task is not None or reward == 0


def test_a_step_earns_what_the_task_of_the_world_pays() -> None:
    """As the expert of the arena earns it: the mean reward of a step is the return that is scored."""
    world = WORLDS["arena"]
    task = world.task
    assert task is not None
    env = make("arena", size=16, **task.options)
    expert = world.policy(task.policy, np.random.default_rng(0))
    _, info = env.reset(seed=0)
    earned, paid = [], []
    for _ in range(world.steps):
        _, reward, _, _, info = env.step(expert(info["state"]))
        earned.append(reward)
        paid.append(float(task.reward(info["state"])))
    assert earned == paid
    assert set(earned) == {0.0, 1.0}


@every_world
def test_observations_share_no_memory(name: str, options: dict[str, Any]) -> None:
    env = make(name, size=16, **options)
    frame, info = env.reset(seed=0)
    kept, state = frame.copy(), info["state"].copy()
    frame[:], info["state"][:] = 0, 0
    assert np.array_equal(env.render(), kept)
    later, _, _, _, info = env.step(env.action_space.sample())
    assert not np.shares_memory(frame, later)
    assert not np.array_equal(info["state"], np.zeros_like(state))


@pytest.mark.parametrize(
    ("name", "rest", "push"),
    [("arena", 0, 2), ("rooms", np.zeros(2, np.float32), np.array([1, 0], np.float32))],
)
def test_an_action_acts_between_its_frame_and_the_next(name: str, rest: Any, push: Any) -> None:
    start = next(iter(collect(name, episodes=1, seed=0))).state[0]  # type: ignore[index]
    start[:2] = 0.3, 0.8  # free to the right

    def play(actions: list[Any]) -> np.ndarray:
        env = make(name, size=32)
        frames = [env.reset(options={"state": start})[0]]
        return np.stack(frames + [env.step(action)[0] for action in actions])

    quiet, pushed = play([rest] * 6), play([rest] * 3 + [push] + [rest] * 2)
    differs = [not np.array_equal(a, b) for a, b in zip(quiet, pushed, strict=True)]
    assert differs == [False] * 4 + [True] * 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: collect("arean", episodes=1, seed=0), "world='arean': allowed are 'arena'"),
        (lambda: collect("arena", episodes=1, seed=0, policies=["fly"]), "policy='fly': allowed are 'chase'"),
        (lambda: collect("arena", episodes=1, seed=0, workers=0), "workers=0"),
        (lambda: collect("arena", episodes=1, seed=0, steps=1), "steps=1"),
        (lambda: collect("arena", episodes=1, seed=0, size=4), "size=4"),
        (lambda: collect("arena", episodes=1, seed=0, combinations="none"), "combinations='none': allowed"),
        (lambda: collect("arena", episodes=1, seed=0, shapes=()), "shapes"),
        (lambda: WORLDS["motion"].spec(task="pendulum"), "task='pendulum': allowed"),
        (lambda: make("rooms").reset(options={"state": np.zeros(3)}), r"state has shape \(3,\)"),
        (lambda: make("arena").step(5), "action 5 is not in"),
    ],
)
def test_errors_say_what_was_given_and_what_is_allowed(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_an_option_nobody_reads_is_an_error() -> None:
    with pytest.raises(TypeError, match="gravity"):
        collect("arena", episodes=1, seed=0, gravity=1)
