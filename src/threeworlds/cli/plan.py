"""``threeworlds plan``: a trained model finds its way to a goal; a film shows the real and the imagined way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from threeworlds.cli.console import say

MOMENTS = 8  # of a journey, in a still picture


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Let a trained jepa go to a goal in `rooms`, `tworoom` or `pusht`. Film: real way, imagined way, goal."""

    checkpoint: Positional[Path]
    """Folder of a trained model."""
    start: tuple[float, float] | None = None
    """Where to begin, x y in the box from 0 to 1, y up; without it, drawn by --seed."""
    goal: tuple[float, float] | None = None
    """Where to go; without it, drawn by --seed."""
    seed: int = 0
    """Seed of the places, the walls and the search."""
    steps: int = 60
    """Steps allowed."""
    mode: Literal["search", "actor"] = "search"
    """Search at every step, begun from the rest of the last plan; or what the actor does without search."""
    search: Literal["recipe", "cem", "icem", "mppi", "gradient"] = "recipe"
    """Which search, if not that of the model's recipe."""
    option: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="KEY=VALUE")] = ()
    """Variant of the world, such as layout=random."""
    out: Path = Path("plan.mp4")
    """File to write: .mp4, .gif, or .png for eight moments side by side."""

    def run(self) -> None:
        from threeworlds.cli.films import check_target, moments, write_film
        from threeworlds.cli.overrides import world_options
        from threeworlds.score.journey import checked_world, film, travel
        from threeworlds.train import load_model

        check_target(self.out)
        model, card = load_model(self.checkpoint)
        world = checked_world(model, card.spec, self.mode)
        journey = travel(
            model,
            card.spec,
            start=self.start,
            goal=self.goal,
            seed=self.seed,
            steps=self.steps,
            mode=self.mode,
            search="" if self.search == "recipe" else self.search,
            options=world_options(world.name, self.option),
        )
        frames = film(journey)
        still = self.out.suffix.lower() == ".png"
        write_film(moments(frames, MOMENTS) if still else frames, self.out, fps=card.spec.fps)
        end = "goal not reached" if journey.reached is None else "goal reached"
        say(f"{end} after {len(journey.actions)} steps -> {self.out}")
