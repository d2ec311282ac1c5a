"""Worlds with known state, one a file, each a Gymnasium environment. No models, no files on disk.

Importing this package makes ``gymnasium.make("threeworlds/arena-v0")`` and its siblings work.
"""

import gymnasium

from threeworlds.worlds import arena, arena_text, coinrun, doom, motion, pusht, rooms, tworoom
from threeworlds.worlds.arena_expand import expand
from threeworlds.worlds.arena_text import VOCABULARY, parse_caption
from threeworlds.worlds.base import World, WorldEnv
from threeworlds.worlds.collect import collect
from threeworlds.worlds.foreign import Collection

__all__ = ["COLLECTIONS", "VOCABULARY", "WORLDS", "Collection", "World", "WorldEnv", "collect", "parse_caption"]

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
            expand=expand,
            locate=arena.locate,
            masses=arena.masses,
            task=arena.TASK,
            weights=arena.weights,
            law=arena.LAW,
            likeness=arena.likeness,
            shapes=arena.SHAPES,
        ),
        World(
            name="motion",
            simulator=motion.Motion,
            render=motion.render,
            policy=motion.policy,
            policies=motion.POLICIES,
            action=motion.ACTION,
            state_names=motion.STATE_NAMES,
            steps=motion.EPISODE,
            size=32,
            locate=motion.locate,
            masses=motion.masses,
            weights=motion.weights,
            law=motion.LAW,
        ),
        World(
            name="rooms",
            simulator=rooms.Rooms,
            render=rooms.render,
            policy=rooms.policy,
            policies=rooms.POLICIES,
            action=rooms.ACTION,
            state_names=rooms.STATE_NAMES,
            steps=100,
            size=64,
            locate=rooms.locate,
            weights=rooms.weights,
            distance=rooms.distance,
            advance=rooms.advance,
            expert=rooms.expert_action,
            is_free=rooms.is_free_place,
            places=rooms.PLACES,
        ),
        World(
            name="tworoom",
            simulator=tworoom.TwoRoom,
            render=tworoom.render,
            policy=tworoom.policy,
            policies=tworoom.POLICIES,
            action=tworoom.ACTION,
            state_names=tworoom.STATE_NAMES,
            steps=100,
            size=64,
            advance=tworoom.advance,
            expert=tworoom.expert_action,
            is_free=tworoom.is_free_place,
            places=tworoom.PLACES,
            reached=tworoom.reached,
            rule=tworoom.RULE,
        ),
        World(
            name="pusht",
            simulator=pusht.PushT,
            render=pusht.render,
            policy=pusht.policy,
            policies=pusht.POLICIES,
            action=pusht.ACTION,
            state_names=pusht.STATE_NAMES,
            steps=100,
            size=64,
            advance=pusht.advance,
            reached=pusht.reached,
            rule=pusht.RULE,
        ),
    )
}

COLLECTIONS: dict[str, Collection] = {one.name: one for one in (coinrun.COLLECTION, doom.COLLECTION)}

for _world in WORLDS.values():
    gymnasium.register(_world.env_id, entry_point="threeworlds.worlds:WorldEnv", kwargs={"world": _world})
