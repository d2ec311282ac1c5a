"""``threeworlds worlds``: which worlds there are, and a look at one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from threeworlds.cli.console import print_table, say

if TYPE_CHECKING:
    from threeworlds.types import ActionSpec
    from threeworlds.worlds import World


@dataclass(frozen=True, kw_only=True)
class Worlds:
    """List the built-in worlds; with --world and --film, film one episode of one."""

    world: str | None = None
    """World to film; without it, the list."""
    film: Path = Path("film.gif")
    """File to film into: .gif, .mp4, or .png for a strip of frames."""
    size: int | None = None
    """Height and width of a frame, pixels; without it, the world's own."""
    seed: int = 0
    """Seed of the episode."""

    def run(self) -> None:
        from threeworlds.worlds import COLLECTIONS, WORLDS

        if self.world is None:
            columns = ("world", "Gymnasium id", "frames", "actions", "state", "policies")
            print_table(columns, (describe_world(world) for world in WORLDS.values()))
            rows = (
                (g.name, g.steps, describe_action(g.action), ", ".join(g.state_names)) for g in COLLECTIONS.values()
            )
            print_table(("game (clips alone)", "frames", "actions", "state"), rows)
        else:
            self._film(self.world)

    def _film(self, world: str) -> None:
        from threeworlds.cli.films import check_target, write_film
        from threeworlds.worlds import COLLECTIONS, collect

        check_target(self.film)
        if world in COLLECTIONS:
            (clip,) = COLLECTIONS[world].collect(episodes=1, seed=self.seed, size=self.size)
        else:
            (clip,) = collect(world, episodes=1, seed=self.seed, workers=1, size=self.size)
        write_film(clip.video, self.film, fps=clip.fps)
        say(f"{len(clip.video)} frames of {world} (seed {self.seed}) -> {self.film}")
        for caption in clip.captions:
            say(f"  frames {caption.start}-{caption.stop - 1}: {caption.text}")


def describe_world(world: World) -> tuple[object, ...]:
    actions, policies = describe_action(world.action), ", ".join(world.policies)
    return world.name, world.env_id, world.steps, actions, len(world.state_names), policies


def describe_action(action: ActionSpec) -> str:
    if action.kind == "none" or action.size == 0:
        return "none"
    return f"{action.size} {action.kind}" + (f": {', '.join(action.names)}" if action.names else "")
