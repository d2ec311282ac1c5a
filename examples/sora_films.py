"""Everything a trained sora model can be asked for, as pictures and figures.

    python examples/sora_films.py CHECKPOINT --pictures docs/pictures --result results/sora-tasks.json

A picture for each task, strips of frames under their captions and beside the true clip where there is one, and
measurements on fresh clips of the arena that no training saw: how often words come out right at sizes and lengths
other than the training's, how seamless loops and joints are, and how an edit recolours a body and keeps its path.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from PIL import Image, ImageDraw
from torch import Tensor

from threeworlds.routes.sora import tasks
from threeworlds.routes.sora.model import Sora
from threeworlds.score.films import to_uint8
from threeworlds.score.text import colours_right, directions_right, look
from threeworlds.train import load_model, use_machine
from threeworlds.worlds import WORLDS, collect

ARENA = WORLDS["arena"]
GIVEN, MADE = 6, 8  # frames
SIDES = (32, 48, 64)  # pixels
STRENGTHS = (0.3, 0.5, 0.7, 0.9)
SHOWN, SCALE = 14, 2  # frames of a strip, pixels a pixel
STREAMED = 42  # frames
CAPTIONS = 3  # films from words alone that are shown
LABEL, LINE = 60, 14  # pixels: width of a strip's name, height of its caption
Strip = tuple[str, str, Tensor]  # name, caption ("" for none) and film [t, c, h, w]
SWAP = {"red": "green", "green": "red", "blue": "yellow", "yellow": "blue"}


def main(
    checkpoint: tyro.conf.Positional[Path],
    pictures: Path = Path("docs/pictures"),
    result: Path = Path("results/sora-tasks.json"),
    items: int = 50,
    seed: int = 123,
) -> None:
    """Make the strips and the figures.

    Args:
        checkpoint: folder of a sora model trained on the arena.
        pictures: folder for the strips.
        result: JSON file for the figures.
        items: clips to measure on; 0: only the pictures.
        seed: of the clips and of the noise.
    """
    use_machine()
    model, _ = load_model(checkpoint)
    assert isinstance(model, Sora), "not a sora model"
    clips, captions = fresh_clips(max(items, CAPTIONS), seed, model.spec.height)
    pictures.mkdir(parents=True, exist_ok=True)
    for name, strips in (films(model, clips, captions, seed) | {"stream": streams(model, seed)}).items():
        if strips:
            save_picture(strips, pictures / f"sora-{name}.png")
    if not items:
        return
    figures = {"checkpoint": checkpoint.name, "items": items, "seed": seed} | measure(model, clips, captions, seed)
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(figures, indent=1) + "\n")


def fresh_clips(items: int, seed: int, size: int) -> tuple[Tensor, tuple[str, ...]]:
    """Openings of episodes with one shape, [n, t, 3, h, w], and what is said of them."""
    episodes = list(collect("arena", episodes=items, seed=seed, size=size, shapes=(1,)))
    video = torch.from_numpy(np.stack([clip.video[: GIVEN + MADE] for clip in episodes]))
    return video.permute(0, 1, 4, 2, 3).float() / 127.5 - 1, tuple(clip.captions[0].text for clip in episodes)


def films(model: Sora, clips: Tensor, captions: tuple[str, ...], seed: int) -> dict[str, list[Strip]]:
    """The strips of each task: all but the first of the first clip or two."""
    words, sampling = captions[:1], tasks.Sampling(seed=seed)
    clip, other, new = clips[:1, :GIVEN], clips[1:2, :GIVEN], recoloured(captions[:1])
    truth = ("true clip", "", clips[0])
    told = tasks.text_to_video(model, captions[:CAPTIONS], frames=SHOWN, sampling=sampling).video
    pairs = zip(captions, told, clips, strict=False)
    made = {
        "size": (words, tasks.text_to_video(model, words, frames=SHOWN, size=(48, 64), sampling=sampling)),
        "still": (words, tasks.still(model, words, size=(64, 64), sampling=sampling)),
        "image": (words, tasks.extend(model, clip[:, :1], words, frames=SHOWN - 1, sampling=sampling)),
        "after": (words, tasks.extend(model, clip, words, frames=MADE, sampling=sampling)),
        "before": (words, tasks.extend(model, clip, words, frames=MADE, backward=True, sampling=sampling)),
        "loop": (("",), tasks.loop(model, clip, ("",), frames=MADE, sampling=sampling)),
        "connect": (("",), tasks.connect(model, clip[:, -3:], other[:, :3], ("",), frames=MADE, sampling=sampling)),
        "edit": (new, tasks.edit(model, clips[:1], new, strength=0.6, sampling=sampling)),
    }
    shown = {name: [("film", said[0], film.video[0])] for name, (said, film) in made.items()}
    for name in ("image", "after"):
        shown[name].append(truth)
    shown["edit"].append(("original", words[0], clips[0]))
    return {"words": [s for said, film, true in pairs for s in (("film", said, film), ("true clip", "", true))]} | shown


def streams(model: Sora, seed: int) -> list[Strip]:
    """Every third frame of a stream without words at 32 pixels, every sixth at 64; none of a model that has none."""
    if not model.config.generator.causal:
        return []
    strips = []
    for side, every in ((32, 3), (64, 6)):
        clip = fresh_clips(1, seed, side)[0][:, :GIVEN]
        film = tasks.streamed(model, clip, ("",), frames=STREAMED - GIVEN, sampling=tasks.Sampling(seed=seed)).video
        strips.append((f"{side} pixels", "", film[0, ::every]))
    return strips


def save_picture(strips: list[Strip], path: Path) -> None:
    """Strips under each other, each with its name beside it and its caption over it."""
    rows = [(name, said, np.concatenate(list(to_uint8(film[:SHOWN])), axis=1)) for name, said, film in strips]
    height = sum(LINE * bool(said) + frames.shape[0] * SCALE + 4 for _, said, frames in rows)
    wide = max(frames.shape[1] * SCALE for _, _, frames in rows)
    room = max(round(ImageDraw.Draw(Image.new("RGB", (1, 1))).textlength(said)) for _, said, _ in rows)
    picture = Image.new("RGB", (LABEL + max(wide, room + 4), height), "white")
    pen, top = ImageDraw.Draw(picture), 0
    for name, said, frames in rows:
        if said:
            pen.text((LABEL, top + 1), said, fill="black")
            top += LINE
        strip = Image.fromarray(frames.repeat(SCALE, axis=0).repeat(SCALE, axis=1))
        pen.text((4, top + strip.height // 2 - 6), name, fill="black")
        picture.paste(strip, (LABEL, top))
        top += strip.height + 4
    picture.save(path, optimize=True)


def measure(model: Sora, clips: Tensor, captions: tuple[str, ...], seed: int) -> dict[str, Any]:
    sampling = tasks.Sampling(seed=seed)
    given, silent = clips[:, :GIVEN], ("",) * len(clips)
    open_end = tasks.extend(model, given, silent, frames=MADE, sampling=sampling).video
    closed = tasks.loop(model, given, silent, frames=MADE, sampling=sampling).video
    first, second = given, given.roll(1, 0)
    joined = tasks.connect(model, first, second, silent, frames=MADE, sampling=sampling).video
    return {
        "words_by_side": {side: words_right(model, captions, side, MADE, sampling) for side in SIDES},
        "words_by_frames": {n: words_right(model, captions, model.spec.height, n, sampling) for n in (8, 16, 32)},
        "closure_median": {"loop": median(tasks.closure_error(closed)), "open": median(tasks.closure_error(open_end))},
        "largest_jump_median": {
            "connect": median(largest_jump(joined)),
            "cut": median(largest_jump(torch.cat([first, second], dim=1))),
        },
        "edit_by_strength": {s: edited(model, clips, captions, s, sampling) for s in STRENGTHS},
    }


def words_right(
    model: Sora, captions: tuple[str, ...], side: int, frames: int, sampling: tasks.Sampling
) -> dict[str, float]:
    """Parts of the films with the right colours, and with the right directions."""
    assert ARENA.parse_caption is not None
    film = tasks.text_to_video(model, captions, frames=frames, size=(side, side), sampling=sampling).video
    seen, said = look(ARENA, film), [ARENA.parse_caption(text)["shapes"] for text in captions]
    right = {"colour": colours_right(seen, said), "direction": directions_right(seen, said)}
    return {name: float(values.mean()) for name, values in right.items()}


def edited(
    model: Sora, clips: Tensor, captions: tuple[str, ...], strength: float, sampling: tasks.Sampling
) -> dict[str, float]:
    """Parts of the edits with the new colour and not the old, and how far the body is from its path (box units)."""
    assert ARENA.parse_caption is not None
    wanted = recoloured(captions)
    film = tasks.edit(model, clips, wanted, strength=strength, sampling=sampling).video
    before, after = look(ARENA, clips), look(ARENA, film)
    scenes = [[ARENA.parse_caption(text)["shapes"] for text in texts] for texts in (captions, wanted)]
    far = []
    for item, (old, new) in enumerate(zip(*scenes, strict=True)):
        apart = before.where[old[0]["colour"]][item] - after.where[new[0]["colour"]][item]
        far += [np.nanmean(np.linalg.norm(apart, axis=-1))] if np.isfinite(apart).all(-1).any() else []
    return {
        "recoloured": float(colours_right(after, scenes[1]).mean()),
        "off_the_path": float(np.mean(far)) if far else float("nan"),
        "seen": len(far) / len(wanted),
    }


def recoloured(captions: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(" ".join(SWAP.get(word, word) for word in text.split()) for text in captions)


def largest_jump(video: Tensor) -> Tensor:
    """The largest step from frame to frame as a multiple of the median one, [b]."""
    steps = (video[:, 1:] - video[:, :-1]).square().mean((2, 3, 4))
    return steps.max(1).values / steps.median(1).values.clamp_min(1e-8)


def median(values: Tensor) -> float:
    return float(values.median())


if __name__ == "__main__":
    tyro.cli(main)
