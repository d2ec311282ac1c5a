"""A folder of films to a store of clips.

A film becomes scenes (cut where the picture changes all at once), minus stretches in which nothing moves, in pieces
of at most 64 frames: the episodes. Whatever cannot be used is named with its cause, and costs no other file.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from threeworlds.data import scenes, sidecars
from threeworlds.data.clips import DataError
from threeworlds.data.films import FILMS, PICTURES, Decoded, Job, decode, natural
from threeworlds.data.store import ClipWriter
from threeworlds.types import ActionSpec, Clip, ClipSpec

LONGEST = 64  # frames of a piece
WANTED_EPISODES = 40  # few or short films are cut finer, until there are about so many to split
MIN_SECONDS = 1.0  # a truncated film is kept, and a scene is kept, from this length on
STILL_SECONDS = 1.0  # longer stretches without change are dropped
MAX_BYTES = 8 << 30  # of a film file
MAX_SECONDS = 1800.0  # of a film are read, unless asked otherwise

Progress = Callable[[Sequence[Path]], Iterable[Path]]


@dataclass(frozen=True, kw_only=True)
class FilmReport:
    """What became of one film."""

    frames: int = 0  # kept
    episodes: int = 0
    scenes: int = 0
    still_frames: int = 0  # dropped: nothing moves
    short_frames: int = 0  # dropped: scenes shorter than a second
    source_fps: float = 0.0
    notes: tuple[str, ...] = ()  # sidecars that could not be used, and the like


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """What became of a folder. Files are named relative to it."""

    kept: Mapping[str, FilmReport] = field(default_factory=dict)
    quarantined: Mapping[str, str] = field(default_factory=dict)  # file -> cause
    truncated: Mapping[str, str] = field(default_factory=dict)  # kept, but it ends early: file -> how
    shortened: tuple[str, ...] = ()  # kept up to max_seconds
    ignored: int = 0  # files that are neither films nor sidecars of one
    fps: float = 10.0

    def total(self, name: str) -> int:
        """Sum of a count of :class:`FilmReport` over the kept films."""
        return sum(getattr(film, name) for film in self.kept.values())

    @property
    def seconds(self) -> float:
        """Length of what was kept."""
        return self.total("frames") / self.fps

    def as_mapping(self) -> dict[str, Any]:
        """Counts first, then every file; ready for JSON."""
        counts = {name: self.total(name) for name in ("frames", "episodes", "scenes", "still_frames", "short_frames")}
        files = {"files_kept": len(self.kept), "files_quarantined": len(self.quarantined)}
        return files | counts | {"seconds": round(self.seconds, 3)} | asdict(self)


@dataclass(frozen=True, kw_only=True)
class _Film:
    """A decoded film between the two passes; its pixels wait on disk."""

    name: str
    path: Path
    scratch: Path  # where what was decoded lies
    decoded: Decoded
    runs: list[tuple[int, int]] = field(default_factory=list)  # scenes without what is dropped
    words: list[sidecars.Words] = field(default_factory=list)
    actions: sidecars.Actions | None = None
    report: FilmReport = FilmReport()


def ingest(
    folder: str | Path,
    out: str | Path,
    *,
    size: tuple[int, int] = (64, 64),
    fps: float = 10.0,
    crop: Literal["centre", "none"] = "centre",
    max_seconds: float = MAX_SECONDS,
    scene_threshold: float = 0.12,
    time_limit: float = 600.0,
    progress: Progress | None = None,
) -> IngestReport:
    """Make a store at ``out`` from the films in ``folder`` (and its subfolders), and report on every file.

    Films: mp4, m4v, mov, webm, mkv, avi, gif, and folders of two or more pictures (one picture a frame of the store).
    Words and actions beside a film: see :mod:`threeworlds.data.sidecars`. The rate is changed by sample and hold on
    the films' time stamps, so a rate that divides theirs gives the most even motion.

    Args:
        folder: where the films are. Links that lead out of it are not followed.
        out: the store to make; it must not exist.
        size: (height, width) of the clips in pixels.
        fps: frames/s of the clips.
        crop: "centre" cuts the film to the shape of the clips; "none" stretches it.
        max_seconds: read at most this much of a film.
        scene_threshold: mean change of a pixel, in [0, 1], above which a sudden change is a cut.
        time_limit: s for decoding one film.
        progress: wraps the list of films while they are decoded, as tqdm does; by default a rich progress bar on
            stderr. ``iter`` shows nothing.

    Raises:
        DataError: the folder holds no film that can be used (the causes are listed), or ``out`` exists.
    """
    folder, out = Path(folder), Path(out)
    _check_request(folder, out, size, fps, crop, max_seconds, scene_threshold)
    found, refused, ignored = find_films(folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.films.", dir=out.parent))
    try:
        job = Job(path="", out="", height=size[0], width=size[1], fps=fps, crop=crop, max_seconds=max_seconds)
        films = list(_decode_all(found, folder, scratch, job, time_limit, progress or _bar))
        return _assemble(
            films, folder, out, job, scene_threshold, IngestReport(quarantined=refused, ignored=ignored, fps=fps)
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def find_films(folder: Path) -> tuple[list[Path], dict[str, str], int]:
    """(films in natural order, refused file -> cause, number of other files). Hidden files and folders are skipped."""
    films: list[Path] = []
    refused: dict[str, str] = {}
    ignored = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        pictures = 0
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(place, name)
            if path.suffix.lower() not in FILMS + PICTURES:
                ignored += not _is_sidecar(path)
            elif cause := _refusal(path, folder):
                refused[_name(path, folder)] = cause
            elif path.suffix.lower() in FILMS:
                films.append(path)
            else:
                pictures += 1
        if pictures >= 2:
            films.append(Path(place))
        elif pictures:
            refused[_name(Path(place), folder)] = "one picture is not a film; two or more are needed"
    return sorted(films, key=lambda film: [natural(Path(part)) for part in film.parts]), refused, ignored


def _refusal(path: Path, folder: Path) -> str:
    """Why a file is not even opened; "" when it may be."""
    if not path.resolve().is_relative_to(folder.resolve()):
        return "a link that leads out of the folder"
    if not path.is_file():
        return "a broken link" if path.is_symlink() else "not a regular file"
    size = path.stat().st_size
    if size == 0:
        return "empty file"
    return f"{size} bytes; at most {MAX_BYTES} are read" if size > MAX_BYTES else ""


def pictures_of(place: Path, folder: Path) -> list[Path]:
    """The pictures of one film, in natural order: frame2 before frame10."""
    found = (p for p in place.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith("."))
    return sorted((p for p in found if not _refusal(p, folder)), key=natural)


def _is_sidecar(path: Path) -> bool:
    return path.name == "captions.csv" or path.name.endswith((".txt", ".json", ".actions.csv", ".actions.npy"))


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path != folder else folder.resolve().name


# --------------------------------------------------------------------------------------- first pass


def _decode_all(
    found: Sequence[Path], folder: Path, scratch: Path, job: Job, time_limit: float, progress: Progress
) -> Iterator[_Film]:
    """Decode on all cores, a child process a film; films come out in the order they went in."""

    def one(number: int) -> _Film:
        path, place = found[number], scratch / str(number)
        place.mkdir()
        pictures = tuple(str(p) for p in pictures_of(path, folder)) if path.is_dir() else ()
        decoded = decode(replace(job, path=str(path), pictures=pictures, out=str(place)), time_limit=time_limit)
        return _Film(name=_name(path, folder), path=path, scratch=place, decoded=decoded)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        films = pool.map(one, range(len(found)))
        for _, film in zip(progress(found), films, strict=True):
            yield film


def _bar(films: Sequence[Path]) -> Iterable[Path]:
    from rich.console import Console
    from rich.progress import track

    return track(films, description="decoding films", console=Console(stderr=True), transient=True)


# -------------------------------------------------------------------------------------- second pass


def _assemble(
    films: Sequence[_Film], folder: Path, out: Path, job: Job, scene_threshold: float, report: IngestReport
) -> IngestReport:
    usable, report = _sort_out(films, report)
    usable = [
        _with_sidecars(_with_scenes(film, (job.height, job.width), job.fps, scene_threshold), folder) for film in usable
    ]
    empty = {film.name: "no scene of a second in which anything moves" for film in usable if not film.runs}
    report = replace(report, quarantined={**report.quarantined, **empty})
    usable = [film for film in usable if film.runs]
    if not usable:
        raise DataError(f"{folder}: holds no film that can be used{_listed(report.quarantined)}")
    usable, spec = _agree_on_actions(usable, job)
    longest = piece_length([stop - start for film in usable for start, stop in film.runs])
    with ClipWriter(out, spec) as writer:
        kept = {film.name: _write(film, writer, longest) for film in usable}
        report = replace(report, kept=kept)
        writer.notes["ingest"] = report.as_mapping()
    return report


def _sort_out(films: Sequence[_Film], report: IngestReport) -> tuple[list[_Film], IngestReport]:
    """Films with enough readable frames; the others are quarantined."""
    usable, quarantined, truncated = [], dict(report.quarantined), {}
    for film in films:
        decoded = film.decoded
        if decoded.frames < MIN_SECONDS * report.fps:
            quarantined[film.name] = (
                decoded.error or f"{decoded.seconds:.2f} s long; at least {MIN_SECONDS:g} s are needed"
            )
            continue
        if decoded.error:
            truncated[film.name] = decoded.error
        usable.append(film)
    shortened = tuple(film.name for film in usable if film.decoded.shortened)
    return usable, replace(report, quarantined=quarantined, truncated=truncated, shortened=shortened)


def _with_scenes(film: _Film, size: tuple[int, int], fps: float, threshold: float) -> _Film:
    video, clock = _video(film, size), _clock(film)
    starts = np.union1d(scenes.cuts(scenes.changes(video), threshold), np.flatnonzero(clock["fresh"]))
    still = scenes.still(video, longest=round(STILL_SECONDS * fps))
    runs = scenes.runs(~still, starts)
    long_enough = [(start, stop) for start, stop in runs if stop - start >= max(2, MIN_SECONDS * fps)]
    kept = sum(stop - start for start, stop in long_enough)
    report = FilmReport(
        frames=kept,
        scenes=len(np.union1d(starts, [0])),
        still_frames=int(still.sum()),
        short_frames=len(video) - int(still.sum()) - kept,
        source_fps=round(film.decoded.source_fps, 3),
    )
    return replace(film, runs=long_enough, report=report)


def _with_sidecars(film: _Film, folder: Path) -> _Film:
    """The film with its words and actions; a sidecar that cannot be used becomes a note."""
    words: list[sidecars.Words] = []
    actions, notes = None, []
    try:
        words = sidecars.read_captions(film.path, folder)
    except DataError as error:
        notes.append(str(error))
    try:
        actions = sidecars.read_actions(film.path, folder, film.decoded.source_frames)
    except DataError as error:
        notes.append(str(error))
    return replace(film, words=words, actions=actions, report=replace(film.report, notes=tuple(notes)))


def _agree_on_actions(films: Sequence[_Film], job: Job) -> tuple[list[_Film], ClipSpec]:
    """One kind of action for the store: that of most films. Films of another kind lose theirs, with a note."""
    kinds = [_kind(film.actions) for film in films if film.actions is not None]
    kind = max(kinds, key=kinds.count, default=None)
    agreed = [film if film.actions is None or _kind(film.actions) == kind else _without_actions(film) for film in films]
    actions = [film.actions for film in agreed if film.actions is not None]
    spec = ClipSpec(
        height=job.height,
        width=job.width,
        fps=job.fps,
        action=_action_spec(actions),
        captioned=any(film.words for film in agreed),
    )
    return agreed, spec


def _kind(actions: sidecars.Actions) -> tuple[int, ...]:
    return actions.values.shape[1:]


def _without_actions(film: _Film) -> _Film:
    note = "its actions are of another kind or size than those of most films"
    return replace(film, actions=None, report=replace(film.report, notes=(*film.report.notes, note)))


def _action_spec(actions: Sequence[sidecars.Actions]) -> ActionSpec:
    if not actions:
        return ActionSpec()
    if actions[0].discrete:
        return ActionSpec(kind="discrete", size=1 + max(int(a.values.max(initial=0)) for a in actions))
    return ActionSpec(kind="continuous", size=actions[0].values.shape[1], names=actions[0].names)


def piece_length(lengths: Sequence[int]) -> int:
    """Frames of the longest piece: 64, less where there is too little film to split otherwise."""
    return min(LONGEST, max(scenes.SHORTEST, sum(lengths) // WANTED_EPISODES))


def _write(film: _Film, writer: ClipWriter, longest: int) -> FilmReport:
    video, clock = _video(film, (writer.spec.height, writer.spec.width)), _clock(film)
    ranges = [piece for run in film.runs for piece in scenes.pieces(*run, longest)]
    for start, stop in ranges:
        clip = Clip(
            video=video[start:stop],
            action=None if film.actions is None else sidecars.actions_of(film.actions, clock["source"][start:stop]),
            captions=sidecars.captions_of(film.words, clock["time"][start:stop]),
            fps=writer.spec.fps,
            source=f"{film.name}#{start}",
            group=film.name,
        )
        writer.add(clip)
    return replace(film.report, episodes=len(ranges))


def _video(film: _Film, size: tuple[int, int]) -> np.ndarray:
    shape = (film.decoded.frames, *size, 3)
    return np.memmap(film.scratch / "video.raw", np.uint8, "r", shape=shape).view(np.ndarray)


def _clock(film: _Film) -> Mapping[str, np.ndarray]:
    with np.load(film.scratch / "clock.npz") as arrays:
        return dict(arrays)


def _listed(causes: Mapping[str, str]) -> str:
    return "".join(f"\n  {name}: {cause}" for name, cause in causes.items())


def _check_request(
    folder: Path, out: Path, size: tuple[int, int], fps: float, crop: str, max_seconds: float, scene_threshold: float
) -> None:
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder")
    if out.exists():
        raise DataError(f"{out}: exists already; give a new path, or remove it first")
    if min(size) < 1 or not 0 < fps <= 240 or not max_seconds > 0 or not 0 < scene_threshold <= 1:
        raise DataError(
            f"size {size}, fps {fps}, max_seconds {max_seconds}, scene_threshold {scene_threshold} given; allowed: "
            "size of at least 1 x 1, fps in (0, 240], max_seconds above 0, scene_threshold in (0, 1]"
        )
    if crop not in ("centre", "none"):
        raise DataError(f"crop {crop!r} given; allowed: centre, none")
