"""Twins of the arena: equal until the event, then as the event says, and under the law again."""

import numpy as np
import pytest

from threeworlds.worlds import arena, impossible
from threeworlds.worlds.impossible import EARLIEST, KINDS, LATEST, make_twins

PAIRS = 12


@pytest.fixture(scope="module", params=KINDS)
def twins(request):
    return make_twins(request.param, pairs=PAIRS, seed=3)


def test_twins_are_equal_until_the_event_and_differ_at_it(twins):
    for possible, other, event in zip(twins.possible, twins.impossible, twins.event, strict=True):
        assert np.array_equal(possible[:event], other[:event])
        assert not np.array_equal(possible[event], other[event])
        assert EARLIEST <= event <= len(possible) - LATEST


def test_pair_i_depends_on_the_seed_and_on_i_alone(twins):
    again, other = (make_twins(twins.kind, pairs=3, seed=seed) for seed in (3, 4))
    assert np.array_equal(again.impossible, twins.impossible[:3])
    assert np.array_equal(again.action, twins.action[:3])
    assert not np.array_equal(other.impossible, twins.impossible[:3])


def colours_seen(frames):
    """Which of the four colours are in each frame, bool [t, 4]."""
    return np.stack([mass > 0 for name, mass in arena.masses(frames).items() if name != "avatar"], axis=1)


def test_a_vanished_shape_is_gone_and_another_stays():
    twins = make_twins("vanish", pairs=PAIRS, seed=0)
    for film, event in zip(twins.impossible, twins.event, strict=True):
        assert (colours_seen(film[:event]).sum(1) == 2).mean() > 0.8  # but where the avatar hides one
        assert (colours_seen(film[event:]).sum(1) <= 1).all()


def test_an_appeared_shape_was_not_there():
    twins = make_twins("appear", pairs=PAIRS, seed=0)
    for film, event in zip(twins.impossible, twins.event, strict=True):
        assert (colours_seen(film[:event]).sum(1) <= 1).all()
        assert (colours_seen(film[event:]).sum(1) == 2).mean() > 0.8


def test_a_teleported_shape_moves_farther_in_a_frame_than_any_shape_can():
    assert jump("teleport") > impossible.JUMP - 0.05
    assert jump("reverse") < arena.FASTEST + 0.05


def jump(kind):
    """The least, over pairs, of the greatest step a colour makes at the event."""
    twins, steps = make_twins(kind, pairs=PAIRS, seed=0), []
    for film, event in zip(twins.impossible, twins.event, strict=True):
        places = arena.locate(film[event - 1 : event + 1])
        moved = [np.linalg.norm(np.diff(place, axis=0)) for name, place in places.items() if name != "avatar"]
        steps.append(np.nanmax(moved))
    return min(steps)


def test_a_reversed_shape_goes_back_where_it_came_from():
    states, actions = impossible._play("reverse", np.random.default_rng(0), 12)
    while not impossible._flies_free(states[4:9]):
        states, actions = impossible._play("reverse", np.random.default_rng(int(1e6 * states[0, 0])), 12)
    other = impossible._edited("reverse", states, actions, 6, np.random.default_rng(0))
    x = arena.shape_columns(0).start
    np.testing.assert_allclose(other[6, x : x + 2], states[4, x : x + 2], atol=1e-3)


def test_a_recoloured_shape_is_where_it_was():
    twins = make_twins("colour", pairs=PAIRS, seed=0)
    for possible, other in zip(twins.possible, twins.impossible, strict=True):
        assert [np.isnan(p).sum() for p in arena.locate(possible).values()] != [
            np.isnan(p).sum() for p in arena.locate(other).values()
        ]
        covered = [(film != arena.BACKGROUND).any(-1) for film in (possible, other)]
        assert np.mean(covered[0] == covered[1]) > 0.995  # the faintest rims round to the background, or not


def test_bodies_of_air_overlap_and_bodies_of_the_law_do_not():
    rng = np.random.default_rng(1)
    while True:
        states, actions = impossible._play("pass_through", rng, 12)
        other = impossible._passed(states, actions)
        if other is not None:
            break
    assert overlap(states) < 0.02
    assert overlap(other) > 0.03


def overlap(states):
    """How deep the avatar and a shape, or two shapes, are in each other: the greatest, as if all were discs."""
    bodies = [(states[:, :2], arena.AVATAR_RADIUS)]
    for i in range(2):
        columns = states[:, arena.shape_columns(i)]
        if columns[0, -1] == 1:
            kind, size = int(columns[0, 7]), int(columns[0, 8])
            inner = arena.apothem(arena.SIDES[kind], arena.RADIUS[size]) if arena.SIDES[kind] else arena.RADIUS[size]
            bodies.append((columns[:, :2], inner))
    return max(
        (a[1] + b[1] - np.linalg.norm(a[0] - b[0], axis=1)).max() for k, a in enumerate(bodies) for b in bodies[:k]
    )


def test_bad_requests_say_what_is_allowed():
    with pytest.raises(ValueError, match="teleport"):
        make_twins("melt", pairs=1, seed=0)
    with pytest.raises(ValueError, match="at least 8"):
        make_twins("vanish", pairs=1, seed=0, frames=7)
