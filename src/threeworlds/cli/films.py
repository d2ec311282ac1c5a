"""Frames -> a file a human can look at: .gif, .mp4, or .png (frames side by side). And the way back, for a prompt."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

    from threeworlds.types import ClipSpec

FORMATS = (".gif", ".mp4", ".png")
SHORT_SIDE = 256  # pixels: small frames are enlarged to about this, or players blur them


def check_format(path: Path) -> None:
    """A ValueError unless films can be written to a file of that suffix."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file, such as {path / 'film.mp4'}")
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"a film is written as one of {', '.join(FORMATS)}; got {path.name!r}")


def check_target(path: Path) -> None:
    """A ValueError unless a film can be written there: told before it is made, not after."""
    check_format(path)
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f"{path}: no file can be made in {folder}")


def write_film(video: np.ndarray, path: Path, *, fps: float) -> None:
    """Write video uint8 [t, h, w, 3]; the suffix of the path says the format.

    Raises:
        ValueError: unknown suffix.
    """
    import numpy as np

    check_format(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    factor = max(1, SHORT_SIDE // min(video.shape[1:3]))
    video = np.ascontiguousarray(video.repeat(factor, axis=1).repeat(factor, axis=2))
    {".gif": _write_gif, ".mp4": _write_mp4, ".png": _write_strip}[path.suffix.lower()](video, path, fps)


def moments(video: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` frames of video [t, ...], evenly spaced, the first and the last among them."""
    import numpy as np

    return video[np.linspace(0, len(video) - 1, min(count, len(video))).round().astype(int)]


def _write_gif(video: np.ndarray, path: Path, fps: float) -> None:
    from PIL import Image

    first, *rest = (Image.fromarray(frame) for frame in video)
    first.save(path, save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)


def _write_strip(video: np.ndarray, path: Path, fps: float) -> None:
    from PIL import Image

    t, h, w, c = video.shape
    Image.fromarray(video.transpose(1, 0, 2, 3).reshape(h, t * w, c)).save(path)


def _write_mp4(video: np.ndarray, path: Path, fps: float) -> None:
    from fractions import Fraction

    import av

    h, w = (side - side % 2 for side in video.shape[1:3])  # yuv420p, which every player knows, wants even sides
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = h, w, "yuv420p"
        for frame in video[:, :h, :w]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def read_film(path: Path, spec: ClipSpec) -> Tensor:
    """A film or picture as a model of ``spec`` wants it: float32 [1, t, c, h, w] in [-1, 1], at its size and rate.

    The middle of the picture is kept, in the spec's proportions.

    Raises:
        ValueError: no frame of it can be read.
    """
    import numpy as np
    import torch

    times, frames = _decode(path)
    if not frames:
        raise ValueError(f"{path}: no frame of it can be read")
    wanted = np.arange(0.0, times[-1] + 1e-6, 1 / spec.fps)
    chosen = np.searchsorted(times, wanted + 1e-6, side="right") - 1
    video = np.stack([_fit(frames[max(i, 0)], spec) for i in chosen])
    return torch.from_numpy(video).permute(0, 3, 1, 2).float().div(127.5).sub(1)[None]


def _decode(path: Path) -> tuple[list[float], list[Image]]:
    """Seconds since the first frame, and the frames."""
    import av

    try:
        with av.open(str(path)) as container:
            frames = [(frame.time or 0.0, frame.to_image()) for frame in container.decode(video=0)]
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} is not a film or picture that can be read: {error}") from error
    return [time - frames[0][0] for time, _ in frames], [frame for _, frame in frames]


def _fit(frame: Image, spec: ClipSpec) -> np.ndarray:
    import numpy as np
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(frame.convert("RGB"), (spec.width, spec.height), Image.Resampling.BOX))
