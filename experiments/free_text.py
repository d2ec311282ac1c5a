"""Words that training never had: do films show what other words for the same things say?

    python experiments/free_text.py RUN... --out results/free-text.json

Captions of held-out episodes of the arena, then the same with other words for colours, shapes or directions, and for
all of it, none of them in the arena's grammar. Every model makes a film for each; what the first caption says is read
off its pixels, exactly. A model that reads with a pretrained encoder has met the other words, one that learnt to read
from captions has not.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from threeworlds.routes.sora.model import Sora
from threeworlds.routes.sora.tasks import text_to_video
from threeworlds.score.exam import EXAM_SEEDS
from threeworlds.score.machine import describe_machine
from threeworlds.score.stats import mean_interval
from threeworlds.score.text import JUDGES, look
from threeworlds.train import load_model
from threeworlds.worlds import WORLDS, collect
from threeworlds.worlds.arena_text import AVATAR_WORDS, MOTION_WORDS, SEGMENT, SHAPE_WORDS

COLOURS = {"red": "crimson", "green": "emerald", "blue": "azure", "yellow": "golden"}
SHAPES = {"disc": "sphere", "square": "cube", "triangle": "pyramid"}
DIRECTIONS = {
    "left": "drifts leftward",
    "right": "drifts rightward",
    "up": "floats upward",
    "down": "sinks downward",
    "rest": "is motionless",
    "stays": "is motionless",
}


def other_words(names: Mapping[str, str], said: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Each way in which the grammar says a thing -> the other word for it."""
    return {words: names[thing] for thing, ways in said.items() if thing in names for words in ways}


WORDINGS: Mapping[str, Mapping[str, str]] = {
    "as trained": {},
    "colours": COLOURS,
    "shapes": other_words(SHAPES, SHAPE_WORDS),
    "directions": {**other_words(DIRECTIONS, MOTION_WORDS), **other_words(DIRECTIONS, AVATAR_WORDS)},
}
WORDINGS = {**WORDINGS, "all": {old: new for words in WORDINGS.values() for old, new in words.items()}}


def reworded(caption: str, words: Mapping[str, str]) -> str:
    """``caption`` with other words; of two that would fit, the longer: "moves to the left", not "moves left"."""
    if not words:
        return caption
    longest_first = sorted(words, key=len, reverse=True)
    return re.sub(rf"\b({'|'.join(longest_first)})\b", lambda found: words[found[1]], caption)


def draw_captions(count: int, size: int, seed: int) -> tuple[str, ...]:
    """The first caption of each held-out episode, of combinations that training has."""
    clips = collect("arena", episodes=count, seed=EXAM_SEEDS + seed, size=size, workers=1)
    return tuple(clip.captions[0].text for clip in clips)


def measure(name: str, model: Sora, captions: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row for each wording: every judge's mean with its 95 % interval."""
    world = WORLDS["arena"]
    assert world.parse_caption is not None
    said = [world.parse_caption(caption)["shapes"] for caption in captions]
    for wording, words in WORDINGS.items():
        asked = tuple(reworded(caption, words) for caption in captions)
        seen = look(world, text_to_video(model, asked, frames=SEGMENT).video)
        found = {judge: mean_interval(right(seen, said), seed=0) for judge, right in JUDGES.items()}
        yield {
            "variant": f"{name}: {'words as trained' if not words else f'other words for {wording}'}",
            "example": asked[0],
            **{judge: asdict(interval) for judge, interval in found.items()},
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/free-text.json"))
    options = parser.parse_args()
    rows, runs = [], {}
    for run in options.runs:
        model, card = load_model(run)
        if not isinstance(model, Sora) or card.spec.world != "arena":
            raise SystemExit(f"{run}: expected a sora model of arena, got {card.route} of {card.spec.world!r}")
        runs[run.name] = {"command": card.command, "seed": card.seed, "flops": card.ledger["total"].flops}
        captions = draw_captions(options.items, card.spec.height, options.seed)
        rows += measure(run.name, model, captions)
    content = {
        "command": f"python experiments/free_text.py RUN... --items {options.items} --seed {options.seed}",
        "runs": runs,
        "machine": describe_machine(),
        "items": options.items,
        "rows": rows,
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
