"""The planner in zoo/ still finds its way: a few steps by every search, and by its actor alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from threeworlds.planning import SEARCHES
from threeworlds.score.journey import travel
from threeworlds.train import load_model
from threeworlds.worlds import WORLDS
from threeworlds.worlds.rooms import FIXED, SPEED

KEPT = Path(__file__).parents[2] / "zoo" / "rooms-jepa-rooms"


@pytest.fixture(scope="module")
def kept():
    model, card = load_model(KEPT)
    return model, card.spec


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_arrives_in_the_same_room(kept, search: str) -> None:
    journey = travel(*kept, start=(0.2, 0.8), goal=(0.35, 0.55), steps=20, search=search)
    assert journey.reached is not None
    assert np.abs(journey.actions).max() <= 1


def test_the_actor_arrives_too(kept) -> None:
    assert travel(*kept, start=(0.2, 0.8), goal=(0.35, 0.55), steps=20, mode="actor").reached is not None


def test_towards_the_other_room_it_heads_for_the_door(kept) -> None:
    """The shortest way, which leads down to the door and up again, shrinks by half of what full actions could do."""
    journey = travel(*kept, start=(0.3, 0.7), goal=(0.7, 0.8), steps=15)
    goal = np.array([0.7, 0.8, *FIXED])
    distance = WORLDS["rooms"].distance
    assert distance is not None
    first, *_, last = distance(journey.states, np.broadcast_to(goal, journey.states.shape).astype(np.float32))
    assert first - last > 0.5 * 15 * SPEED
