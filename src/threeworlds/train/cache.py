"""What frozen earlier parts make of the clips: worked out once, before a stage that learns from it.

Episodes come in a fixed shuffled order, and where a budget is small only the first of them: the others would cost what
should have gone into training. Test episodes are left alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from threeworlds.data import ClipStore
from threeworlds.train.checkpoint import sync
from threeworlds.train.ledger import FlopMeter
from threeworlds.train.log import Reporter, logger
from threeworlds.train.machine import autocast, place_tensor
from threeworlds.types import Stage

MOST = 1 / 3  # of a stage's budget that may go into its cache
LOOK = 32  # validation clips, at least, by whose roll-outs weights are chosen: few would choose by chance
INDEX = "episodes.json"


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Arrays by name, [total_frames, ...] and memory-mapped, and the episodes whose frames are in them."""

    arrays: Mapping[str, np.ndarray]
    episodes: np.ndarray  # in the order in which they were made
    flops: float


def open_or_make(
    folder: Path,
    stage: Stage,
    store: ClipStore,
    *,
    device: torch.device,
    spent: Callable[[float], float],
    seed: int = 0,
    count: int | None = None,
    show: bool = False,
) -> Cache | None:
    """The cache in ``folder``, made first where it is not there; None for a stage that has none.

    Args:
        spent: FLOPs of caching so far -> part of the stage's budget that is gone; at MOST, caching ends.
        seed: of the order of the episodes.
        count: make this many episodes, whatever they cost: a resumed run has lost what it had.
    """
    if stage.cache is None:
        return None
    if not folder.exists():
        temporary = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        _write(temporary, stage, store, device, spent, seed, count, show)
        for part in (*temporary.iterdir(), temporary):
            sync(part)
        temporary.rename(folder)
    arrays = {file.stem: np.load(file, mmap_mode="r") for file in sorted(folder.glob("*.npy"))}
    index = json.loads((folder / INDEX).read_text())
    return Cache(arrays=arrays, episodes=np.array(index["episodes"], np.int64), flops=index["flops"])


def looked_at(stage: Stage) -> int:
    """Validation clips by whose roll-outs the weights of a stage are chosen."""
    return max(LOOK, stage.batch_size)


def episode_order(store: ClipStore, few: int, seed: int) -> list[int]:
    """All training and validation episodes, shuffled; ``few`` of validation first, since every choice needs them."""
    rng = np.random.default_rng([seed, 2])
    val, train = (rng.permutation(store.split(name)) for name in ("val", "train"))
    return [*val[:few].tolist(), *rng.permutation(np.concatenate([val[few:], train])).tolist()]


@torch.no_grad()
def _write(
    folder: Path,
    stage: Stage,
    store: ClipStore,
    device: torch.device,
    spent: Callable[[float], float],
    seed: int,
    count: int | None,
    show: bool,
) -> None:
    assert stage.cache is not None
    few = min(looked_at(stage), len(store.split("val")))
    order = episode_order(store, few, seed)
    arrays: dict[str, np.memmap] = {}
    done: list[int] = []
    meter, bar = FlopMeter(), Reporter(f"{stage.name}: cache", show)
    for episode in order if count is None else order[:count]:
        start, length = store.offset(episode), store.length(episode)
        video = place_tensor(_as_video(store.video(episode)), device)
        made = meter.run(f"cache {length} frames", partial(autocast, device, stage.cache, video))
        for name, value in made.items():
            value = value[0].cpu().numpy()
            if name not in arrays:
                arrays[name] = _new_array(folder, name, value, store.total_frames)
            arrays[name][start : start + length] = value
        done.append(episode)
        bar.update(len(done) / len(order), f"episode {len(done)} of {len(order)}")
        if count is None and len(done) >= few + stage.batch_size and spent(meter.total) >= MOST:
            break
    bar.close()
    if len(done) < len(order):
        logger.info("%s: learns from %d of %d episodes, as its budget is small", stage.name, len(done), len(order))
    for array in arrays.values():
        array.flush()
    (folder / INDEX).write_text(json.dumps({"episodes": done, "flops": meter.total}) + "\n")


def _as_video(frames: np.ndarray) -> Tensor:
    """uint8 [t, h, w, c] -> float32 [1, t, c, h, w] in [-1, 1], the arithmetic of ``Windows``."""
    pixels = torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2).contiguous()
    return pixels[None].float().mul_(2 / 255).sub_(1)


def _new_array(folder: Path, name: str, like: np.ndarray, frames: int) -> np.memmap:
    if not name.isidentifier():
        raise ValueError(f"cached array {name!r}: expected a name of letters, digits and _")
    return np.lib.format.open_memmap(
        folder / f"{name}.npy", mode="w+", dtype=like.dtype, shape=(frames, *like.shape[1:])
    )
