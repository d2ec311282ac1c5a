"""Captions for clips that have none, and how well a captioner says what there is, by the world's exact parser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from threeworlds.types import Caption, Clip

if TYPE_CHECKING:
    from threeworlds.data import ClipStore
    from threeworlds.routes.sora.captioner import Captioner

APART = 8  # frames from one caption to the next
ATTRIBUTES = ("size", "shape", "direction")


def caption_store(captioner: Captioner, store: ClipStore, out: Path) -> ClipStore:
    """A copy of the store, in the folder ``out``, in which every episode has captions by the captioner."""
    from threeworlds.data import ClipStore, ClipWriter

    with ClipWriter(out, replace(store.spec, captioned=True)) as writer:
        for clip in store:
            writer.add(replace(clip, captions=captions_of(captioner, clip)))
    return ClipStore.open(out)


def captions_of(captioner: Captioner, clip: Clip) -> tuple[Caption, ...]:
    """One caption for every span of the clip, APART frames after each other; none for a clip that is too short."""
    starts = range(0, len(clip.video) - captioner.span + 1, APART)
    if not starts:
        return ()
    windows = np.stack([clip.video[start : start + captioner.span] for start in starts])
    texts = captioner.caption(_as_video(windows))
    return tuple(
        Caption(start=start, stop=start + captioner.span, text=text)
        for start, text in zip(starts, texts, strict=True)
        if text
    )


def score_captioner(captioner: Captioner, store: ClipStore, *, items: int, seed: int) -> dict[str, float]:
    """Mean agreement with the store's own captions on held-out episodes, and with those of other clips as the floor.

    Raises:
        ValueError: the clips have no captions, or their world no parser.
    """
    from threeworlds.data import Windows
    from threeworlds.worlds import WORLDS

    world = WORLDS.get(store.spec.world)
    if world is None or world.parse_caption is None or not store.spec.captioned:
        raise ValueError("a captioner is scored on captioned clips of a world with a parser, such as the arena")
    config = captioner.config
    windows = Windows(
        store,
        split="test",
        frames=config.frames,
        stride=config.stride,
        batch_size=1,
        columns=("video", "caption"),
    )
    batch = windows.fixed(items, seed)
    assert batch.video is not None and batch.caption is not None
    video = batch.video.repeat_interleave(config.stride, dim=1)[:, : captioner.span]
    said = [world_scene(world.parse_caption, text) for text in captioner.caption(video)]
    true = [world_scene(world.parse_caption, text) for text in batch.caption]
    pairs = [(s, t) for s, t in zip(said, true, strict=True) if t is not None]
    other = [(s, pairs[i - 1][1]) for i, (s, _) in enumerate(pairs)]
    return mean_agreement(pairs) | {f"{name} (other clips)": value for name, value in mean_agreement(other).items()}


def world_scene(parse: Any, text: str) -> Mapping[str, Any] | None:
    """The scene of a caption; None where it is outside the grammar."""
    try:
        scene: Mapping[str, Any] = parse(text)
    except ValueError:
        return None
    return scene


def mean_agreement(pairs: Sequence[tuple[Mapping[str, Any] | None, Mapping[str, Any]]]) -> dict[str, float]:
    rows = [dict(agreement(said, true)) for said, true in pairs]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}


def agreement(said: Mapping[str, Any] | None, true: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What of a true scene is said right, each in [0, 1]; nothing of it by words outside the grammar.

    Shapes are told apart by colour. Speed is not judged, since captions leave it out at random.
    """
    heard = {shape["colour"]: shape for shape in said["shapes"]} if said else {}
    known = {shape["colour"]: shape for shape in true["shapes"]}
    right = {"colour": float(set(heard) == set(known))}
    for name in ATTRIBUTES:
        right[name] = float(np.mean([c in heard and heard[c][name] == known[c][name] for c in known]))
    right["avatar"] = float(said is not None and said["avatar"] == true["avatar"])
    yield from right.items()
    yield "all", float(min(right.values()) == 1)


def _as_video(pixels: np.ndarray) -> Any:
    """uint8 [b, t, h, w, 3] -> float32 [b, t, 3, h, w] in [-1, 1]."""
    import torch

    return torch.from_numpy(pixels).permute(0, 1, 4, 2, 3).float().mul(2 / 255).sub(1)
