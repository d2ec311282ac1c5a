"""Films of trained models in the folders that other benchmarks read: theirs judge ours, and ours theirs.

- ``physics-iq``: Physics-IQ (arXiv 2501.09038, github.com/google-deepmind/physics-IQ-benchmark): a folder a model,
  ``0001_perspective-center_trimmed-NAME.mp4``; the true futures as its ``testing-videos`` beside them. Our films are
  shorter than the five seconds that its own command wants.
- ``vbench``: VBench's custom videos (arXiv 2311.17982, github.com/Vchitect/VBench): ``PROMPT-INDEX.mp4``, and the
  prompt of each film in ``prompts.json``, for its option ``--prompt_file``.
- ``worldproof``: roll-outs as worldproof 0.1.0 stores them, lossless: context, true actions, prediction and truth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from threeworlds.score.exam import GIVEN, Entrant, Exam
from threeworlds.score.films import to_uint8
from threeworlds.score.prediction import CHUNK, controls_of, predict
from threeworlds.types import Generates, Predicts, Prompt

if TYPE_CHECKING:
    from torch import Tensor

Write = Callable[[np.ndarray, Path, float], None]  # frames uint8 [t, h, w, 3], a path that ends in .mp4, frames/s
VERSION = "0.1-provisional"  # of worldproof's folders


def export_films(layout: str, exam: Exam, entrant: Entrant, out: Path, write: Write) -> int:
    """Write one film an item into ``out``/ROUTE and tell how many.

    Raises ValueError where there is no such layout, the model cannot make what it holds, or films of an earlier export
    are there: a benchmark would take them for some of these.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r}; allowed: {', '.join(LAYOUTS)}")
    if (out / entrant.route).exists():
        raise ValueError(f"{out / entrant.route} holds an earlier export; choose another folder")
    return LAYOUTS[layout](exam, entrant, out, write)


def physics_iq(exam: Exam, entrant: Entrant, out: Path, write: Write) -> int:
    """Generated futures by Physics-IQ's names, and the true ones where its command looks for them."""
    rate = round(exam.spec.fps)
    real = out / "physics-IQ-benchmark" / "split-videos" / "testing-videos" / f"{rate}FPS"
    for item, (made, true) in enumerate(zip(_futures(entrant, exam), to_uint8(exam.future), strict=True), 1):
        scene = f"trimmed-{exam.spec.world or 'video'}-{item:04d}.mp4"  # no "_": it parts the fields of a name
        write(made, out / entrant.route / f"{item:04d}_perspective-center_{scene}", exam.spec.fps)
        write(true, real / f"{item:04d}_testing-videos_{rate}FPS_perspective-center_take-1_{scene}", exam.spec.fps)
    return len(exam.future)


def vbench(exam: Exam, entrant: Entrant, out: Path, write: Write) -> int:
    """Films from the captions of the held-out openings, by VBench's names."""
    if not isinstance(entrant.model, Generates) or exam.opening is None or exam.opening.caption is None:
        raise ValueError(
            f"vbench asks for films from words: {entrant.route} makes none, or these clips have no captions"
        )
    assert exam.opening.video is not None
    captions, frames = exam.opening.caption, exam.opening.video.shape[1]
    prompts: dict[str, str] = {}
    count: dict[str, int] = {}
    for start in range(0, len(captions), CHUNK):
        words = captions[start : start + CHUNK]
        films = entrant.model.generate(Prompt(caption=words, frames=frames), seed=exam.seed + start).video
        for caption, film in zip(words, to_uint8(films), strict=True):
            path = out / entrant.route / f"{caption}-{count.setdefault(caption, 0)}.mp4"
            count[caption] += 1
            prompts[path.name] = caption
            write(film, path, exam.spec.fps)
    (out / entrant.route / "prompts.json").write_text(json.dumps(prompts, indent=1) + "\n")
    return len(prompts)


def worldproof(exam: Exam, entrant: Entrant, out: Path, write: Write) -> int:
    """Roll-outs as folders of PNG frames, actions.npy and manifest.json."""
    action = exam.test.action
    given, true = to_uint8(exam.given), to_uint8(exam.future)
    for item, made in enumerate(_futures(entrant, exam)):
        folder = out / entrant.route / f"rollout_{item:05d}"
        for name, frames in (("context", given[item]), ("predictions/sample_00", made), ("ground_truth", true[item])):
            _write_frames(folder / name, frames)
        told = np.zeros(len(made)) if action is None else action[item, GIVEN - 1 :].numpy()
        np.save(folder / "actions.npy", told)
        manifest = _manifest(exam, entrant.route, item, made)
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return len(true)


LAYOUTS: Mapping[str, Callable[[Exam, Entrant, Path, Write], int]] = {
    "physics-iq": physics_iq,
    "vbench": vbench,
    "worldproof": worldproof,
}


def _futures(entrant: Entrant, exam: Exam) -> np.ndarray:
    """uint8 [n, t, h, w, 3], each model with its own controls."""
    if not isinstance(entrant.model, Predicts):
        raise ValueError(f"{entrant.route} makes no pictures, so there is no film of it to export")
    made: Tensor = predict(entrant, exam, controls_of(entrant, exam))
    return to_uint8(made)


def _manifest(exam: Exam, route: str, item: int, made: np.ndarray) -> dict[str, Any]:
    return {
        "format_version": VERSION,
        "modality": "pixels",
        "storage": "png_sequence",
        "fps": exam.spec.fps,
        "resolution": list(made.shape[1:3]),
        "channels": 3,
        "model_id": route,
        "seed": exam.seed,
        "camera_id": None,
        "lossy_source": False,
        "inference_latency_s": None,
        "context_id": f"item-{item}",
        "is_failure": None,
        "horizon": len(made),
        "n_samples": 1,
        "has_ground_truth": True,
    }


def _write_frames(folder: Path, frames: np.ndarray) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for t, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"frame_{t:05d}.png")
