"""Walls that hold, the exact distance against a grid, and experts that arrive."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from threeworlds.worlds import collect
from threeworlds.worlds import rooms as r


def in_the_wall(s: np.ndarray, slack: float = 1e-5) -> np.ndarray:
    beside = np.abs(s[..., 0] - s[..., 2]) < r.REACH - slack
    return beside & (np.abs(s[..., 1] - s[..., 3]) > r.CLEAR + slack)


def all_states(layout: str, **asked: object) -> np.ndarray:
    return np.stack([c.state for c in collect("rooms", episodes=60, seed=2, layout=layout, size=8, **asked)])  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", ["fixed", "random"])
def test_the_agent_is_never_in_a_wall_and_no_step_is_too_long(layout: str) -> None:
    s = all_states(layout)
    assert not in_the_wall(s).any()
    assert (s[..., :2] >= r.LOW - 1e-6).all()
    assert (s[..., :2] <= r.HIGH + 1e-6).all()
    assert np.abs(np.diff(s[..., :2], axis=1)).max() <= r.SPEED + 1e-6
    crossed = np.sign(s[:, :, 0] - s[:, :, 2])
    assert (crossed != crossed[:, :1]).any(axis=1).mean() > 0.4


@pytest.mark.parametrize("layout", ["fixed", "random"])
def test_many_agents_advance_as_one_does(layout: str) -> None:
    states = all_states(layout)[:, ::5].reshape(-1, 4)
    actions = np.random.default_rng(0).uniform(-1.3, 1.3, (len(states), 2)).astype(np.float32)
    world = r.Rooms()
    for _ in range(3):
        alone = []
        for state, action in zip(states, actions, strict=True):
            world.load(state)
            alone.append(world.step(action))
        states = r.advance(states, actions)
        np.testing.assert_array_equal(states, alone)


def test_layouts() -> None:
    assert (all_states("fixed")[..., 2:] == np.float32(r.FIXED)).all()
    assert all_states("random")[:, 0, 2:].std(axis=0).min() > 0.05


def test_a_wall_stops_the_agent_and_lets_it_slide() -> None:
    world = r.Rooms()
    world.load(np.array([0.5 - r.REACH - 0.01, 0.7, *r.FIXED], np.float32))
    state = world.step(np.array([1, 1], np.float32))
    assert state[:2] == pytest.approx([0.5 - r.REACH, 0.7 + r.SPEED])


def test_the_door_lets_it_through() -> None:
    world = r.Rooms()
    world.load(np.array([0.4, r.FIXED[1], *r.FIXED], np.float32))
    for _ in range(10):
        state = world.step(np.array([1, 0], np.float32))
    assert state[0] == pytest.approx(0.4 + 10 * r.SPEED)


# ------------------------------------------------------------------------------------------- distance


def place(x: float, y: float, wall: tuple[float, float] = r.FIXED) -> np.ndarray:
    return np.array([x, y, *wall])


def test_distance_by_hand() -> None:
    assert r.distance(place(0.2, 0.2), place(0.2, 0.8)) == pytest.approx(0.6)
    assert r.distance(place(0.2, 0.3), place(0.8, 0.3)) == pytest.approx(0.6)  # straight through the door
    round_two_corners = 2 * np.hypot(0.3 - r.REACH, 0.5 - r.CLEAR) + 2 * r.REACH
    assert r.distance(place(0.2, 0.8), place(0.8, 0.8)) == pytest.approx(round_two_corners)


def grid_distances(start: np.ndarray, cells: int) -> np.ndarray:
    """Dijkstra on a grid whose moves go up to three cells: a little too long, never too short."""
    ticks = np.linspace(r.LOW, r.HIGH, cells)
    moves = [(i, j) for i in range(-3, 4) for j in range(-3, 4) if np.gcd(i, j) == 1]
    free = ~in_the_wall(np.stack([*np.meshgrid(ticks, ticks, indexing="ij"), *np.full((2, cells, cells), 0)], -1)
                        + np.array([0, 0, *start[2:]]), slack=0)  # fmt: skip
    step = ticks[1] - ticks[0]
    far = np.full((cells, cells), np.inf)
    first = tuple(np.argmin(np.abs(ticks[:, None] - start[:2]), axis=0))
    far[first] = 0
    queue = [(0.0, first)]
    while queue:
        so_far, (i, j) = heapq.heappop(queue)
        if so_far > far[i, j]:
            continue
        for di, dj in moves:
            k, l = i + di, j + dj  # noqa: E741
            if 0 <= k < cells and 0 <= l < cells and free[k, l]:
                longer = so_far + step * np.hypot(di, dj)
                if longer < far[k, l]:
                    far[k, l] = longer
                    heapq.heappush(queue, (longer, (k, l)))
    return far


@pytest.mark.parametrize("start", [(0.2, 0.8), (0.5, 0.32), (0.75, 0.6)])
def test_distance_is_what_a_grid_search_finds(start: tuple[float, float]) -> None:
    """To within the grid: it begins up to half a cell off, turns a little, and cuts corners by less than a cell."""
    cells = 60
    ticks = np.linspace(r.LOW, r.HIGH, cells)
    found = grid_distances(place(*start), cells)
    reached = np.argwhere(np.isfinite(found))
    assert len(reached) > 0.85 * cells**2
    for i, j in reached[::17]:
        exact = r.distance(place(*start), place(ticks[i], ticks[j]))
        assert abs(found[i, j] - exact) <= 0.03 * exact + 0.02


unit = st.floats(0, 1)


def free_place(u: float, v: float, right: bool, wall: tuple[float, float]) -> np.ndarray:
    low, high = (wall[0] + r.REACH, r.HIGH) if right else (r.LOW, wall[0] - r.REACH)
    return place(low + u * (high - low), r.LOW + v * (r.HIGH - r.LOW), wall)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(unit, unit, st.booleans()), min_size=3, max_size=3), st.floats(0.3, 0.7), st.floats(0.2, 0.8))
def test_distance_is_a_metric(places: list[tuple[float, float, bool]], wall_x: float, door_y: float) -> None:
    a, b, c = (free_place(*p, (wall_x, door_y)) for p in places)
    ab, ba, bc, ac = r.distance(a, b), r.distance(b, a), r.distance(b, c), r.distance(a, c)
    assert np.isfinite(ab)
    assert ab == pytest.approx(ba)
    assert r.distance(a, a) == 0
    assert ac <= ab + bc + 1e-6
    assert ab >= np.linalg.norm(a[:2] - b[:2]) - 1e-9


def test_distance_between_layouts_is_an_error_and_batches_are_elementwise() -> None:
    with pytest.raises(ValueError, match="different walls"):
        r.distance(place(0.2, 0.2), place(0.2, 0.2, (0.4, 0.3)))
    s = all_states("random")[:, [0, 50]].astype(np.float64)
    batch = r.distance(s[:, 0], s[:, 1])
    assert batch == pytest.approx([float(r.distance(a, b)) for a, b in s])
    assert np.isfinite(batch).all()


# ------------------------------------------------------------------------------------------- policies


@pytest.mark.parametrize("layout", ["fixed", "random"])
def test_an_expert_arrives_by_nearly_the_shortest_way(layout: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        world = r.Rooms(layout=layout)  # type: ignore[arg-type]
        state = world.draw(rng)
        world.load(state)
        goal = np.array([*r.draw_place(rng, float(state[2])), *state[2:]])
        allowed = int(1.3 * r.distance(state, goal) / r.SPEED) + 8
        for _ in range(allowed):
            if np.linalg.norm(state[:2] - goal[:2]) < r.SPEED:
                break
            state = world.step(r.expert_action(state, goal[:2]))
        assert np.linalg.norm(state[:2] - goal[:2]) < r.SPEED


def test_the_noisy_expert_is_between_the_expert_and_the_wanderer() -> None:
    crossings = {}
    for policy in r.POLICIES:
        s = all_states("fixed", policies=[policy])
        crossings[policy] = (np.diff(np.sign(s[:, :, 0] - s[:, :, 2]), axis=1) != 0).any(axis=1).mean()
    assert crossings["expert"] > crossings["noisy"] > crossings["wander"] > 0


@pytest.mark.parametrize("size", [32, 64])
def test_locate(size: int) -> None:
    for clip in collect("rooms", episodes=5, seed=0, size=size, layout="random"):
        error = np.abs(r.locate(clip.video)["avatar"] - clip.state[:, :2])  # type: ignore[index]
        assert error.max() < 0.01
