"""Frames a second of each world on one core, drawing included, and how well pictures can be measured. Prints JSON.

OMP_NUM_THREADS=1 python benchmarks/worlds.py --out results/benchmark-worlds.json
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from threeworlds.worlds import WORLDS, collect, motion

CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("arena", {"size": 32}),
    ("arena", {"size": 64}),
    *(("motion", {"size": size, "task": task}) for size in (32, 64) for task in motion.TASKS),
    ("rooms", {"size": 64, "layout": "fixed"}),
    ("rooms", {"size": 64, "layout": "random"}),
)


def speed(name: str, options: dict[str, Any], episodes: int) -> float:
    """Frames a second of this process's own time, the best of three: other work on the machine does not count."""
    seconds = []
    for _ in range(3):
        began = time.process_time()
        frames = sum(len(clip.video) for clip in collect(name, episodes=episodes, seed=0, **options))
        seconds.append(time.process_time() - began)
    return frames / min(seconds)


def floor(task: str, range: str, size: int, episodes: int) -> dict[str, float]:
    """Both velocity errors, in units / s, of true pictures: nothing can be measured below."""
    clips = list(collect("motion", episodes=episodes, seed=0, task=task, range=range, size=size))
    found = [(motion.locate(clip.video), clip.state) for clip in clips]
    paper = [motion.velocity_error(centres, state) for centres, state in found]
    code = [motion.velocity_error_code(centres, state) for centres, state in found]
    return {"paper": round(float(np.nanmean(paper)), 4), "code": round(float(np.nanmean(code)), 4)}


def main() -> None:
    """Measure everything and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, standard output")
    asked = parser.parse_args()
    found = {
        "command": " ".join(["python", "benchmarks/worlds.py", *sys.argv[1:]]),
        "machine": {"python": platform.python_version(), "numpy": np.__version__, "processor": platform.machine()},
        "episodes": asked.episodes,
        "frames_per_second": {
            f"{name} {' '.join(map(str, options.values()))}": round(speed(name, options, asked.episodes))
            for name, options in CASES
        },
        "motion_floor": {
            f"{task} {range} {size}": floor(task, range, size, asked.episodes)
            for task in motion.TASKS
            for range in ("in", "out")
            for size in (32, 64)
        },
        "words": len(WORLDS["arena"].vocabulary),
    }
    text = json.dumps(found, indent=2) + "\n"
    if asked.out:
        asked.out.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
