"""The arena's physics, picture, policies and words."""

from itertools import product

import numpy as np
import pytest

from threeworlds.types import Clip
from threeworlds.worlds import VOCABULARY, arena, arena_text, collect, parse_caption


def alone(x: float, y: float, vx: float, vy: float, shape: str = "disc", size: str = "small") -> np.ndarray:
    """A red shape by itself, the avatar in the lower left corner."""
    state = np.full(len(arena.STATE_NAMES), np.nan, np.float32)
    state[:4] = arena.AVATAR_RADIUS, arena.AVATAR_RADIUS, 0, 0
    look = arena.COLOURS.index("red"), arena.SHAPES.index(shape), arena.SIZES.index(size)
    state[arena.shape_columns(0)] = x, y, vx, vy, 0, 0, *look, 1
    state[arena.shape_columns(1)][-1] = 0
    return state


def play(state: np.ndarray, actions: list[int]) -> np.ndarray:
    world = arena.Arena()
    world.load(state)
    return np.stack([state, *(world.step(action) for action in actions)])


def clips(episodes: int = 40, **asked: object) -> list[Clip]:
    return list(collect("arena", episodes=episodes, seed=3, **asked))  # type: ignore[arg-type]


def shapes(clip: Clip) -> list[np.ndarray]:
    assert clip.state is not None
    columns = [clip.state[:, arena.shape_columns(i)] for i in range(2)]
    return [c for c in columns if c[0, -1] == 1]


# -------------------------------------------------------------------------------------------- physics


@pytest.mark.parametrize("shape", arena.SHAPES)
def test_a_free_shape_moves_in_a_straight_line(shape: str) -> None:
    states = play(alone(0.3, 0.5, 0.03, 0.01, shape), [0] * 10)
    t = np.arange(11)
    assert states[:, 4] == pytest.approx(0.3 + 0.03 * t, abs=1e-5)
    assert states[:, 5] == pytest.approx(0.5 + 0.01 * t, abs=1e-5)


def test_a_disc_bounces_like_a_mirror() -> None:
    states = play(alone(0.8, 0.5, 0.04, 0.0), [0] * 15)
    assert states[-1, 6:8] == pytest.approx([-0.04, 0], abs=1e-5)
    assert states[:, 4].max() < 1 - arena.RADIUS[0] + 0.01
    mirrored = 2 * (1 - arena.RADIUS[0]) - (0.8 + 0.04 * 15)
    assert states[-1, 4] == pytest.approx(mirrored, abs=0.006)  # a substep is 0.005 long


def test_two_shapes_keep_their_energy() -> None:
    state = alone(0.3, 0.52, 0.05, 0.0)
    state[arena.shape_columns(1)] = 0.7, 0.5, -0.02, 0, 0, 0, 1, 0, 1, 1
    states = play(state, [0] * 6)
    mass = (arena.RADIUS / arena.RADIUS[1]) ** 2
    energy = mass[0] * (states[:, 6:8] ** 2).sum(1) + mass[1] * (states[:, 16:18] ** 2).sum(1)
    assert states[-1, 6] < 0 < states[-1, 16]  # they met
    assert energy == pytest.approx(energy[0], rel=1e-3)


@pytest.mark.parametrize(("action", "move"), list(enumerate([(0, 0), (-1, 0), (1, 0), (0, 1), (0, -1)])))
def test_the_avatar_moves_as_it_is_told(action: int, move: tuple[int, int]) -> None:
    state = alone(0.9, 0.9, 0, 0)
    state[:2] = 0.5, 0.5
    after = play(state, [action])[1]
    assert after[:2] - 0.5 == pytest.approx(np.array(move) * 5 / 64, abs=1e-6)
    assert after[2:4] == pytest.approx(after[:2] - 0.5, abs=1e-6)


def test_walls_stop_the_avatar() -> None:
    states = play(alone(0.5, 0.9, 0, 0), [2] * 20)
    assert states[-1, 0] == pytest.approx(1 - arena.AVATAR_RADIUS)
    assert states[-1, 2] == 0


def test_the_avatar_pushes() -> None:
    states = play(alone(0.4, arena.AVATAR_RADIUS, 0, 0), [2] * 6)
    assert states[-1, 4] > 0.5
    assert states[-1, 6] > arena.SLOW


def test_nothing_gets_out_or_sinks_in() -> None:
    """With pushers only: a shape between avatar and wall is the worst case. A pixel of 32 is 0.031."""
    for clip in clips(policies=["push", "chase"]):
        assert clip.state is not None
        for columns in shapes(clip):
            kind, radius = int(columns[0, 7]), float(arena.RADIUS[int(columns[0, 8])])
            inner = radius if kind == 0 else arena.apothem(arena.SIDES[kind], radius)
            assert columns[:, :2].min() > inner - 0.031
            assert columns[:, :2].max() < 1 - inner + 0.031
            apart = np.hypot(*(columns[:, :2] - clip.state[:, :2]).T)
            assert apart.min() > inner + arena.AVATAR_RADIUS - 0.031
            assert np.hypot(columns[:, 2], columns[:, 3]).max() <= arena.FASTEST + 1e-6


# ------------------------------------------------------------------------------------- what is drawn


@pytest.mark.parametrize("combinations", ["train", "heldout", "all"])
def test_combinations(combinations: str) -> None:
    held = []
    for clip in clips(60, combinations=combinations, steps=2):
        looks = [tuple(columns[0, 6:9].astype(int)) for columns in shapes(clip)]
        assert len({look[0] for look in looks}) == len(looks)
        named = {(arena.COLOURS[c], word) for c, s, z in looks for word in (arena.SHAPES[s], arena.SIZES[z])}
        held.append(bool(named & {("yellow", "triangle"), ("blue", "square"), ("green", "small")}))
        assert ("heldout" in clip.tags) == held[-1]
    assert {"train": not any(held), "heldout": all(held), "all": 0 < sum(held) < 60}[combinations]


def test_shapes_option() -> None:
    assert {len(shapes(clip)) for clip in clips(10, shapes=(2,), steps=2)} == {2}
    assert {len(shapes(clip)) for clip in clips(20, steps=2)} == {1, 2}


def test_first_directions_are_along_an_axis() -> None:
    for clip in clips(steps=2):
        for columns in shapes(clip):
            low, high = sorted(np.abs(columns[0, 2:4]))
            assert low <= 0.25 * high


@pytest.mark.parametrize("size", [32, 64])
def test_centroids_of_what_is_not_occluded(size: int) -> None:
    found, errors = 0, []
    for clip in clips(size=size):
        assert clip.state is not None
        centres, mass = arena.locate(clip.video), arena.masses(clip.video)
        errors.append(np.abs(centres["avatar"] - clip.state[:, :2]).max(axis=1))
        colours = [arena.COLOURS[int(columns[0, 6])] for columns in shapes(clip)]
        for colour, columns in zip(colours, shapes(clip), strict=True):
            whole = mass[colour] > 0.95 * np.pi * arena.RADIUS[int(columns[0, 8])] ** 2
            errors.append(np.abs(centres[colour] - columns[:, :2]).max(axis=1)[whole])
            found += whole.mean()
        for absent in set(arena.COLOURS) - set(colours):
            assert np.isnan(centres[absent]).all()
    assert found > 40
    assert np.quantile(np.concatenate(errors), 0.999) < 0.01
    assert np.median(np.concatenate(errors)) < 0.001


def test_area_tells_small_from_large_whatever_the_shape() -> None:
    for shape, size in product(arena.SHAPES, arena.SIZES):
        frame = arena.render(alone(0.6, 0.6, 0, 0, shape, size)[None], 32)
        area = np.pi * arena.RADIUS[arena.SIZES.index(size)] ** 2
        assert arena.masses(frame)["red"] == pytest.approx([area], rel=0.05)


# ------------------------------------------------------------------------------------------- policies


@pytest.mark.parametrize("policy", arena.POLICIES)
def test_policies_are_purposeful(policy: str) -> None:
    """Actions repeat far more often than in a uniform draw (one in five), and every action is used."""
    actions = np.stack([clip.action for clip in clips(policies=[policy])])  # type: ignore[misc]
    assert (actions[:, 1:] == actions[:, :-1]).mean() > (0.7 if policy == "wander" else 0.4)
    assert len(np.unique(actions)) == 5


def test_chase_comes_nearer_and_goto_waits() -> None:
    gaps, waits = {}, {}
    for policy in ("chase", "goto", "wander"):
        some = clips(policies=[policy], shapes=(1,))
        gap = [np.hypot(*(c.state[:, 4:6] - c.state[:, :2]).T) for c in some]  # type: ignore[index]
        gaps[policy] = np.mean(gap)
        waits[policy] = np.mean([c.action == 0 for c in some])
    assert gaps["chase"] < 0.8 * min(gaps["goto"], gaps["wander"])
    assert waits["goto"] > 1.5 * waits["chase"]


# ---------------------------------------------------------------------------------------------- words


def test_captions_of_the_default_episode() -> None:
    for clip in clips(5):
        assert [(c.start, c.stop) for c in clip.captions] == [(0, 16), (8, 24), (16, 32), (24, 40)]


def test_round_trip_of_every_scene() -> None:
    rng = np.random.default_rng(0)
    looks = product(arena.SIZES, arena.COLOURS, arena.SHAPES, arena_text.MOTION_WORDS)
    walls = (None, *arena_text.WALL_WORDS)
    avatars = (*arena_text.AVATAR_WORDS, "chases")
    for n, (size, colour, shape, direction) in enumerate(looks):
        first = {
            "size": size,
            "colour": colour,
            "shape": shape,
            "direction": direction,
            "speed": (None, "slowly", "quickly")[n % 3],
            "bounces": walls[n % 5],
        }
        second = dict(first, colour=arena.COLOURS[(n + 1) % 4], direction="rest", speed=None, bounces=walls[-(n % 5)])
        for avatar, scene_shapes in product(avatars, ((first,), (first, second))):
            chased = f"chases {scene_shapes[-1]['colour']}"
            scene = {"shapes": scene_shapes, "avatar": chased if avatar == "chases" else avatar}
            for _ in range(4):
                text = arena_text.phrase(scene, rng)
                assert parse_caption(text) == scene, text


def test_captions_are_true() -> None:
    """Colour, shape, size, direction and bounce against the states, by other arithmetic."""
    for clip in clips():
        for caption in clip.captions:
            said = {shape["colour"]: shape for shape in parse_caption(caption.text)["shapes"]}
            assert len(said) == len(shapes(clip))
            for columns in shapes(clip):
                shape = said[arena.COLOURS[int(columns[0, 6])]]
                assert shape["shape"] == arena.SHAPES[int(columns[0, 7])]
                assert shape["size"] == arena.SIZES[int(columns[0, 8])]
                vx, vy = columns[caption.start, 2:4]
                turn = np.degrees(np.arctan2(vy, vx)) % 360
                truth = "rest" if np.hypot(vx, vy) < 0.005 else ("right", "up", "left", "down")[round(turn / 90) % 4]
                assert shape["direction"] == truth
                segment = columns[caption.start : caption.stop]
                if shape["bounces"]:
                    edge = {"left": segment[:, 0], "right": 1 - segment[:, 0]}
                    edge |= {"down": segment[:, 1], "up": 1 - segment[:, 1]}
                    assert edge[shape["bounces"]].min() < 0.2 + 0.08


@pytest.mark.parametrize(
    ("velocity", "place", "direction", "bounces"),
    [
        ((0.05, 0), (0.5, 0.5), "right", "right"),
        ((0, -0.02), (0.6, 0.9), "down", None),
        ((0, 0.05), (0.6, 0.7), "up", "up"),
        ((0, 0), (0.6, 0.7), "rest", None),
    ],
)
def test_a_scene_described(
    velocity: tuple[float, float], place: tuple[float, float], direction: str, bounces: str | None
) -> None:
    scene = arena_text.describe(play(alone(*place, *velocity), [0] * 15), np.random.default_rng(0))
    (shape,) = scene["shapes"]
    assert (shape["direction"], shape["bounces"]) == (direction, bounces)
    assert scene["avatar"] == "stays"


def test_what_the_avatar_does_in_words() -> None:
    still = alone(0.9, 0.9, 0, 0)
    assert arena_text.avatar_behaviour(play(still, [2] * 9 + [0] * 6), [0]) == "right"
    assert arena_text.avatar_behaviour(play(still, [3, 2] * 5 + [0] * 5), [0]) == "chases red"
    assert arena_text.avatar_behaviour(play(still, [2, 3, 1, 4, 0] * 3), [0]) == "wanders"


def test_vocabulary_is_closed_and_small() -> None:
    assert len(VOCABULARY) < 150
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    used = {word for clip in clips(200, steps=16, size=8) for c in clip.captions for word in c.text.split()}
    assert used <= set(VOCABULARY)
    assert len(used) > 0.9 * len(VOCABULARY)
    assert all(word.isalpha() and word.islower() for word in VOCABULARY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a purple disc falls while the avatar stays", "not in the arena's vocabulary: purple"),
        ("a large red disc falls", "the avatar once"),
        ("the avatar stays", "at least one shape"),
        ("a large red falls while the avatar stays", "expected one of disc"),
        ("a large red disc while the avatar stays", "expected one of moves left"),
    ],
)
def test_what_is_not_in_the_grammar_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_caption(text)


def test_likeness_names_every_shape_of_true_frames_and_is_blind_to_faintness():
    rng = np.random.default_rng(0)
    states = np.stack([arena.Arena(combinations="all").draw(rng) for _ in range(60)])
    frames = arena.render(states, 32)
    for picture in (frames, (arena.BACKGROUND + 0.6 * (frames.astype(float) - arena.BACKGROUND)).astype(np.uint8)):
        alike = arena.likeness(picture)
        for i in range(2):
            there = states[:, arena.shape_columns(i)][:, -1] == 1
            looks = states[there][:, arena.shape_columns(i)][:, 6:8].astype(int)
            found = [alike[arena.COLOURS[c]][n] for n, (c, _) in zip(np.flatnonzero(there), looks, strict=True)]
            assert np.argmax(found, 1).tolist() == looks[:, 1].tolist()
            assert np.max(found, 1).min() > 0.9
    assert np.isnan(arena.likeness(frames * 0 + arena.BACKGROUND.astype(np.uint8))["red"]).all()
