"""One film file, or one folder of pictures, to frames of the wanted size and rate.

Files come from anywhere and decoders have bugs, so decoding runs in a process of its own, with limits on time and
memory: a file can cost its own frames, nothing else. :func:`decode` is the caller's side, :func:`main` the child's.
"""

from __future__ import annotations

import json
import math
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

FILMS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
# Only these demuxers: others (playlists, concat scripts, text art) can open further files, or call text a film.
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif"
MAX_PIXELS = 1 << 25  # of a source frame: 8K
MAX_GAP = 1.0  # s without a new frame: the next one starts a new scene
ROUNDING = 1.5e-3  # s: time stamps of some containers are whole milliseconds
MEMORY = 4 << 30  # bytes of address space of the decoding process


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to decode, and how."""

    path: str  # a film, or a folder of pictures
    pictures: tuple[str, ...] = ()  # of a folder: the files, in order
    out: str  # existing folder for what is decoded
    height: int  # pixels
    width: int
    fps: float  # frames/s
    crop: Literal["centre", "none"]
    max_seconds: float


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What came of it. ``error``: why reading stopped before the end; empty when it did not."""

    frames: int = 0  # frames written
    source_frames: int = 0  # frames read
    source_fps: float = 0.0
    seconds: float = 0.0  # length of what was read
    declared: float = 0.0  # s, of the whole film as it says itself; 0 where it does not
    shortened: bool = False  # there is more than max_seconds
    error: str = ""


class FilmError(Exception):
    """The film cannot be read, or not to its end."""


# ------------------------------------------------------------------------------------ caller's side


def decode(job: Job, *, time_limit: float) -> Decoded:
    """Decode in a child process, within ``time_limit`` seconds and 4 GB. Never raises for what a file does.

    Writes ``video.raw``, the bytes of uint8 [t, h, w, 3], and ``clock.npz`` with, per frame: ``source`` (number of the
    source frame shown), ``time`` (its time in s), ``fresh`` (True where the film starts anew after a gap).
    """
    command = [sys.executable, "-P", __file__]  # not as a part of the package, whose imports take longer than a clip
    request = json.dumps(asdict(job)).encode()
    try:
        child = subprocess.run(
            command, input=request, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=time_limit, check=False
        )
    except subprocess.TimeoutExpired:
        return Decoded(error=f"decoding took longer than {time_limit:g} s")
    try:
        return Decoded(**json.loads(child.stdout))
    except (ValueError, TypeError):
        return Decoded(error=f"the decoder died ({_end_of(child.returncode)})")


def _end_of(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


# ------------------------------------------------------------------------------------- child's side


def main() -> None:
    """Decode the job on stdin and write a :class:`Decoded` as JSON to stdout."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        decoded = _decode_here(Job(**json.load(sys.stdin)))
    except FilmError as error:
        decoded = Decoded(error=str(error))
    except MemoryError:
        decoded = Decoded(error=f"decoding needs more than {MEMORY >> 30} GB")
    except Exception as error:  # whatever a decoder throws is a fact about the file, to be told by name
        decoded = Decoded(error=f"cannot be decoded ({type(error).__name__}: {error})")
    sys.stdout.write(json.dumps(asdict(decoded)))


@dataclass(kw_only=True)
class Frame:
    """A source frame before it is converted, which only frames that are kept are."""

    number: int
    time: float  # s
    picture: Callable[[], Any]  # -> PIL image, RGB


class Source:
    """Frames of a film in order; what is known of it; and why reading stopped, once it did."""

    def __init__(self, job: Job) -> None:
        self.fps = job.fps  # pictures carry no time: one a tick; a film says its own
        self.declared = 0.0  # s; 0: not declared
        self.error = ""
        self.read = 0
        self.end = 0.0  # s
        self._frames = self._pictures(job.pictures) if job.pictures else self._film(Path(job.path))

    def __iter__(self) -> Iterator[Frame]:
        try:
            for frame in self._frames:
                self.read, self.end = self.read + 1, frame.time + 1 / self.fps
                yield frame
        except FilmError as error:
            self.error = f"reading stops after {self.end:.1f} s: {error}" if self.read else str(error)

    def _film(self, path: Path) -> Iterator[Frame]:
        import av

        try:
            with path.open("rb") as file, av.open(file, "r", options={"format_whitelist": DEMUXERS}) as container:
                stream = _video_stream(container)
                self.fps = _rate(stream)
                self.declared = _declared_seconds(container, stream)
                first = None
                for number, frame in enumerate(container.decode(stream)):
                    _check_pixels(frame.width, frame.height)
                    time = number / self.fps if frame.time is None else frame.time
                    first = time if first is None else first
                    yield Frame(number=number, time=time - first, picture=partial(_upright, frame))
        except (av.FFmpegError, EOFError, OSError, ValueError) as error:
            raise FilmError(f"not a readable film ({getattr(error, 'strerror', None) or error})") from error

    def _pictures(self, names: Sequence[str]) -> Iterator[Frame]:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = MAX_PIXELS
        for number, name in enumerate(names):
            try:
                with Image.open(name) as image:
                    _check_pixels(*image.size)
                    picture = image.convert("RGB")
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise FilmError(f"{Path(name).name} is not a readable picture ({error})") from error
            yield Frame(number=number, time=number / self.fps, picture=partial(_as_is, picture))


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Sort key: runs of digits as numbers."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", path.name.lower()) if part]


def _decode_here(job: Job) -> Decoded:
    source = Source(job)
    most = max(1, math.floor(job.max_seconds * job.fps))
    ticks = _on_clock(source, job)
    clock = []
    with (Path(job.out) / "video.raw").open("wb") as file:
        for pixels, *facts in islice(ticks, most):
            file.write(pixels.tobytes())
            clock.append(facts)
    shortened = next(ticks, None) is not None
    numbers, times, fresh = zip(*clock, strict=True) if clock else ((), (), ())
    np.savez(Path(job.out) / "clock.npz", source=numbers, time=times, fresh=fresh)
    return Decoded(
        frames=len(clock),
        source_frames=source.read,
        source_fps=source.fps,
        seconds=source.end,
        declared=source.declared,
        shortened=shortened,
        error=source.error or ("" if shortened else _missing(source, job.fps)),
    )


def _on_clock(source: Source, job: Job) -> Iterator[tuple[np.ndarray, int, float, bool]]:
    """Sample and hold: at each tick k / fps, the frame then on show, as (pixels, number, time, fresh)."""
    shown: Frame | None = None
    tick, fresh = 0.0, True
    for frame in source:
        if shown is not None and frame.time <= shown.time:  # stamps that do not advance: never shown
            continue
        if shown is not None:
            gap = frame.time - shown.time > MAX_GAP
            until = shown.time + 1 / source.fps if gap else frame.time
            yield from _held(shown, tick, until, fresh, job)
            ticks = _ticks(tick, until, job.fps)
            fresh = gap or (fresh and not ticks)
            tick = frame.time if gap else tick + ticks / job.fps
        shown = frame
    if shown is not None:
        yield from _held(shown, tick, shown.time + 1 / source.fps, fresh, job)


def _held(
    frame: Frame, tick: float, until: float, fresh: bool, job: Job
) -> Iterator[tuple[np.ndarray, int, float, bool]]:
    count = _ticks(tick, until, job.fps)
    if count:
        pixels = _fit(frame.picture(), job)
        for k in range(count):
            yield pixels, frame.number, frame.time, fresh and k == 0


def _ticks(tick: float, until: float, fps: float) -> int:
    """Ticks in [tick, until), forgiving rounding of time stamps."""
    return max(0, math.ceil((until - tick - ROUNDING) * fps))


def _fit(picture: Any, job: Job) -> np.ndarray:
    """RGB picture -> uint8 [h, w, 3], cropped to the wanted shape (or stretched), each pixel the mean of its area."""
    from PIL import Image

    width, height = picture.size
    box = (0.0, 0.0, float(width), float(height))
    if job.crop == "centre":
        scale = min(width / job.width, height / job.height)
        left, top = (width - scale * job.width) / 2, (height - scale * job.height) / 2
        box = (left, top, width - left, height - top)
    return np.asarray(picture.resize((job.width, job.height), Image.Resampling.BOX, box=box))


def _upright(frame: Any) -> Any:
    """Decoded frame -> RGB picture, turned as its display matrix says (phones film lying on their side)."""
    picture = frame.to_image()
    return picture.rotate(frame.rotation, expand=True) if frame.rotation % 90 == 0 and frame.rotation else picture


def _as_is(picture: Any) -> Any:
    return picture


def _video_stream(container: Any) -> Any:
    if not container.streams.video:
        raise FilmError("holds no video")
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1  # one thread a child: the caller runs several children
    _check_pixels(stream.width, stream.height)
    return stream


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise FilmError(f"frames of {width} x {height} pixels; at most {MAX_PIXELS} pixels are read")


def _rate(stream: Any) -> float:
    """Frames/s; only used where frames carry no time, and for the time the last frame is on show."""
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return float(min(max(rate, Fraction(1)), Fraction(1000)))


def _declared_seconds(container: Any, stream: Any) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else 0.0


def _missing(source: Source, fps: float) -> str:
    """What to say when a film ends well before it said it would."""
    if source.read == 0:
        return "holds no frame"
    if source.end < 0.9 * source.declared - 1 / fps:
        return f"ends after {source.end:.1f} s of the {source.declared:.1f} s it declares"
    return ""


if __name__ == "__main__":
    main()
