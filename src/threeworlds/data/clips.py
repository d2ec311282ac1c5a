"""One clip: does it match its collection, and what is its fingerprint.

Legend: t frames, h height, w width, a action size, s state variables.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np

from threeworlds.types import ActionSpec, Clip, ClipSpec


class DataError(ValueError):
    """Clips, or files that hold them, are not what they must be. The message names the file or the field."""


def check_spec(spec: ClipSpec) -> None:
    """Refuse a specification no clip could satisfy."""
    if spec.height < 1 or spec.width < 1:
        raise DataError(f"spec: {spec.height} x {spec.width} pixels given; both must be at least 1")
    if not (np.isfinite(spec.fps) and spec.fps > 0):
        raise DataError(f"spec: fps {spec.fps} given; it must be a positive number")
    kind, size = spec.action.kind, spec.action.size
    if kind not in ("none", "discrete", "continuous"):
        raise DataError(f"spec: action kind {kind!r} given; allowed: none, discrete, continuous")
    if (kind == "none") != (size == 0):
        raise DataError(f"spec: action size {size} does not go with kind {kind!r}")
    if spec.action.names and len(spec.action.names) != size:
        raise DataError(f"spec: {len(spec.action.names)} action names for size {size}; give none, or one each")


def check_clip(clip: Clip, spec: ClipSpec, name: str) -> None:
    """Refuse a clip that does not look like ``spec`` says; ``name`` says in the error which clip it was."""
    _check_video(clip.video, spec, name)
    _check_action(clip.action, spec.action, len(clip.video), name)
    _check_state(clip.state, spec, len(clip.video), name)
    _check_captions(clip, name)
    if not np.isclose(clip.fps, spec.fps, rtol=1e-3):
        raise DataError(f"{name}: {clip.fps} frames/s; the collection has {spec.fps}")


def _check_video(video: np.ndarray, spec: ClipSpec, name: str) -> None:
    expected = (spec.height, spec.width, 3)
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[1:] != expected:
        raise DataError(f"{name}: video is {video.dtype} {video.shape}; it must be uint8 (t, {str(expected)[1:]}")
    if len(video) < 1:
        raise DataError(f"{name}: video has no frame")


def _check_action(action: np.ndarray | None, spec: ActionSpec, frames: int, name: str) -> None:
    if action is None:  # a collection may hold clips whose actions are not known
        return
    if spec.kind == "none":
        raise DataError(f"{name}: an action given; the collection's clips have none")
    dtype, shape = action_layout(spec, frames - 1)
    if action.dtype != dtype or action.shape != shape:
        raise DataError(
            f"{name}: action is {action.dtype} {action.shape}; {frames} frames need {np.dtype(dtype)} {shape}"
        )
    low, high = (0, spec.size - 1) if spec.kind == "discrete" else (-1, 1)
    if not ((action >= low) & (action <= high)).all():
        raise DataError(f"{name}: action outside [{low}, {high}], or not a number")


def _check_state(state: np.ndarray | None, spec: ClipSpec, frames: int, name: str) -> None:
    size = len(spec.state_names)
    if state is None and size == 0:
        return
    if state is None or state.dtype != np.float32 or state.shape != (frames, size):
        given = "absent" if state is None else f"{state.dtype} {state.shape}"
        raise DataError(f"{name}: state is {given}; it must be float32 {(frames, size)}, one column per state name")
    if np.isinf(state).any():
        raise DataError(f"{name}: state holds an infinity; use NaN where a variable does not apply")


def _check_captions(clip: Clip, name: str) -> None:
    for caption in clip.captions:
        if not 0 <= caption.start < caption.stop <= len(clip.video):
            raise DataError(
                f"{name}: caption {caption.text!r} covers frames {caption.start} to {caption.stop}; "
                f"allowed: 0 <= start < stop <= {len(clip.video)}"
            )


def action_layout(spec: ActionSpec, steps: int) -> tuple[type, tuple[int, ...]]:
    """dtype and shape of ``steps`` actions: int64 [steps] or float32 [steps, a]."""
    return (np.int64, (steps,)) if spec.kind == "discrete" else (np.float32, (steps, spec.size))


def video_digest(video: np.ndarray) -> str:
    """sha256 of the pixels alone: two clips with the same pictures have the same digest, whatever else they carry."""
    return hashlib.sha256(repr(video.shape).encode() + np.ascontiguousarray(video).tobytes()).hexdigest()


def clip_digest(clip: Clip, video: str) -> str:
    """sha256 of everything in a clip; ``video`` is its :func:`video_digest`."""
    words = [[asdict(c) for c in clip.captions], clip.fps, clip.source, clip.group, clip.tags]
    digest = hashlib.sha256((video + json.dumps(words)).encode())
    for array in (clip.action, clip.state):
        digest.update(b"|" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
