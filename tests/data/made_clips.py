"""Small collections of clips, and films as people have them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np

from threeworlds.data import ClipStore, ClipWriter
from threeworlds.types import ActionSpec, Caption, Clip, ClipSpec

SPEC = ClipSpec(
    height=16, width=20, fps=10.0, action=ActionSpec(kind="discrete", size=5), state_names=("x", "y"), captioned=True
)


def make_clip(number: int, frames: int, spec: ClipSpec = SPEC, **changes: object) -> Clip:
    """A clip whose every value tells where it came from: pixel [t, 0, 0] and state [t] begin with (number, t)."""
    rng = np.random.default_rng(number)
    video = rng.integers(0, 256, (frames, spec.height, spec.width, 3), dtype=np.uint8)
    video[:, 0, 0] = [(number % 256, t, 0) for t in range(frames)]
    discrete = spec.action.kind == "discrete"
    steps = np.arange(frames - 1)
    fields = {
        "video": video,
        "action": (steps + number) % 5 if discrete else rng.uniform(-1, 1, (frames - 1, 2)).astype(np.float32),
        "state": np.array([(number, t) for t in range(frames)], np.float32),
        "captions": (Caption(start=0, stop=frames, text=f"clip {number}"),),
        "source": f"made#{number}",
    }
    return Clip(**fields | changes)


def write(path: Path, clips: Sequence[Clip], spec: ClipSpec = SPEC, **options: object) -> ClipStore:
    with ClipWriter(path, spec, **options) as writer:
        for clip in clips:
            writer.add(clip)
    return ClipStore.open(path)


Painter = Callable[[int], np.ndarray]  # frame number -> uint8 [h, w, 3]


def scene(seed: int, *, speed: int = 2) -> Painter:
    """A red square that crosses a coarse random background of 96 x 128 pixels."""
    background = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)

    def paint(t: int) -> np.ndarray:
        frame = background.copy()
        x = (t * speed + 13 * seed) % 108
        frame[30:50, x : x + 20] = (255, 0, 0)
        return frame

    return paint


def film(
    path: Path,
    painter: Painter,
    frames: int = 60,
    *,
    fps: int = 30,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    times: Sequence[int] = (),
) -> Path:
    """Encode painted frames; ``times``, in frames, are when they are shown, where that is not one after the other."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = painter(0).shape[:2]
        stream.pix_fmt = pixels
        for t in times or range(frames):
            frame = av.VideoFrame.from_ndarray(painter(t), format="rgb24")
            frame.pts = t
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
