"""Worlds with known state, one a file, each a Gymnasium environment. No models, no files on disk.

Importing this package makes ``gymnasium.make("threeworlds/arena-v0")`` and its siblings work.
"""

import gymnasium

from threeworlds.worlds import arena, arena_text
from threeworlds.worlds.arena_text import VOCABULARY, parse_caption
from threeworlds.worlds.base import World, WorldEnv
from threeworlds.worlds.collect import collect

__all__ = ["VOCABULARY", "WORLDS", "World", "WorldEnv", "collect", "parse_caption"]

WORLDS: dict[str, World] = {
    world.name: world
    for world in (
        World(
            name="arena",
            simulator=arena.Arena,
            render=arena.render,
            policy=arena.policy,
            policies=arena.POLICIES,
            action=arena.ACTION,
            state_names=arena.STATE_NAMES,
            steps=40,
            size=32,
            caption=arena_text.captions,
            parse_caption=parse_caption,
            vocabulary=VOCABULARY,
            locate=arena.locate,
            masses=arena.masses,
        ),
    )
}

for _world in WORLDS.values():
    gymnasium.register(_world.env_id, entry_point="threeworlds.worlds:WorldEnv", kwargs={"world": _world})
