"""Clips on disk: memory-mapped frames and one table of episodes.

A store is a folder:

    store.json        schema, spec, counts, hashes, and the size and sha256 of every other file
    episodes.parquet  one row an episode: where its frames are, actions, state, captions, source, group, tags, split
    video-00000.npy   uint8 [frames, h, w, 3]; an episode lies in one shard, one frame after the other

It is written beside its place and moved there when complete, so a store is whole or absent. Opening checks sizes and
the table; :meth:`ClipStore.verify` reads everything.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from threeworlds.data import split as splitting
from threeworlds.data.clips import DataError, action_layout, check_clip, check_spec, clip_digest, video_digest
from threeworlds.data.duplicates import frame_hashes, near_duplicates
from threeworlds.types import EMPTY, ActionSpec, Caption, Clip, ClipSpec

SCHEMA = "threeworlds.clips/1"
INDEX, TABLE = "store.json", "episodes.parquet"
SHARD_BYTES = 1 << 28  # a shard is held in memory while it is written


# ------------------------------------------------------------------------------------------- writing


class ClipWriter:
    """Writes a new store; use as a context manager. Nothing appears at ``path`` until it closes without an error.

    Args:
        path: folder to make; it must not exist.
        spec: what every clip must look like; checked clip by clip.
        shard_frames: frames a shard file; by default as many as fill 256 MB.
        notes: facts to keep in the store and its summary; may be added to until the writer closes.
    """

    def __init__(
        self, path: str | Path, spec: ClipSpec, *, shard_frames: int | None = None, notes: Mapping[str, Any] = EMPTY
    ) -> None:
        check_spec(spec)
        self.path = Path(path)
        if self.path.exists():
            raise DataError(f"{self.path}: exists already; give a new path, or remove it first")
        if shard_frames is not None and shard_frames < 1:
            raise DataError(f"shard_frames {shard_frames} given; it must be at least 1")
        self.spec = spec
        self.notes = dict(notes)
        self._shard_frames = shard_frames or max(1, SHARD_BYTES // (spec.height * spec.width * 3))
        self._pending: list[np.ndarray] = []
        self._shards = 0
        self._rows: list[dict[str, Any]] = []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, clip: Clip) -> None:
        """Append one episode; a clip unlike the spec is refused with a :class:`DataError` and nothing is written."""
        check_clip(clip, self.spec, f"clip {len(self)}" + (f" ({clip.source})" if clip.source else ""))
        pending = sum(map(len, self._pending))
        if pending and pending + len(clip.video) > self._shard_frames:
            self._write_shard()
            pending = 0
        self._rows.append(_row(clip, self._shards, pending))
        self._pending.append(clip.video.copy())

    def close(self) -> None:
        """Write the table and the index, and move the store to its place."""
        try:
            if not self._rows:
                raise DataError(f"{self.path}: no clip was added; a store holds at least one")
            if self._pending:
                self._write_shard()
            rule = _assign_splits(self._rows)
            pq.write_table(pa.Table.from_pylist(self._rows, _arrow_schema(self.spec)), self._folder / TABLE)
            self._write_index(rule)
            self._folder.chmod(0o755)  # mkdtemp makes folders for one's own eyes
            os.rename(self._folder, self.path)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _write_shard(self) -> None:
        np.save(self._folder / _shard_name(self._shards), np.concatenate(self._pending))
        self._pending = []
        self._shards += 1

    def _write_index(self, rule: str) -> None:
        names = [TABLE, *map(_shard_name, range(self._shards))]
        index = {
            "schema": SCHEMA,
            "spec": asdict(self.spec),
            "episodes": len(self._rows),
            "frames": sum(row["length"] for row in self._rows),
            "hash": _store_digest(self.spec, [row["digest"] for row in self._rows]),
            "split_rule": rule,
            "split_hash": splitting.split_digest(
                [row["digest"] for row in self._rows], [row["split"] for row in self._rows]
            ),
            "notes": self.notes,
            "files": {name: _fingerprint(self._folder / name) for name in names},
        }
        index["checksum"] = _checksum(index)
        (self._folder / INDEX).write_text(json.dumps(index, indent=1) + "\n")


def _row(clip: Clip, shard: int, position: int) -> dict[str, Any]:
    pixels = video_digest(clip.video)
    return {
        "shard": shard,
        "position": position,
        "length": len(clip.video),
        "fps": clip.fps,
        "source": clip.source,
        "group": clip.group,
        "tags": list(clip.tags),
        "captions": [asdict(caption) for caption in clip.captions],
        "action": None if clip.action is None else clip.action.tolist(),
        "state": None if clip.state is None else clip.state.tolist(),
        "digest": clip_digest(clip, pixels),
        "pixels": pixels,
        "frame_hash": frame_hashes(clip.video).tolist(),
    }


def _arrow_schema(spec: ClipSpec) -> pa.Schema:
    action = pa.list_(pa.int64()) if spec.action.kind == "discrete" else _vectors(spec.action.size)
    caption = pa.struct([("start", pa.int64()), ("stop", pa.int64()), ("text", pa.string())])
    return pa.schema(
        [
            ("shard", pa.int32()),
            ("position", pa.int64()),
            ("length", pa.int64()),
            ("fps", pa.float64()),
            ("source", pa.string()),
            ("group", pa.string()),
            ("tags", pa.list_(pa.string())),
            ("captions", pa.list_(caption)),
            ("action", action),
            ("state", _vectors(len(spec.state_names))),
            ("digest", pa.string()),
            ("pixels", pa.string()),
            ("frame_hash", pa.list_(pa.uint64())),
            ("split", pa.string()),
        ]
    )


def _vectors(size: int) -> pa.DataType:
    """A list of float32 vectors (where there are none, the column holds only nulls, and the size does not matter)."""
    return pa.list_(pa.list_(pa.float32(), max(1, size)))


def _assign_splits(rows: list[dict[str, Any]]) -> str:
    members = [
        splitting.Member(
            digest=row["pixels"], group=row["group"], frames=row["length"], heldout="heldout" in row["tags"]
        )
        for row in rows
    ]
    splits, rule = splitting.assign(members)
    for row, split in zip(rows, splits, strict=True):
        row["split"] = split
    return rule


def _store_digest(spec: ClipSpec, digests: list[str]) -> str:
    return hashlib.sha256(json.dumps([asdict(spec), digests]).encode()).hexdigest()


def _shard_name(number: int) -> str:
    return f"video-{number:05d}.npy"


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _checksum(index: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in index.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


# ------------------------------------------------------------------------------------------- reading


class ClipStore:
    """Read access to a store. Frames are memory-mapped: opening is cheap, any clip is one slice away."""

    def __init__(self, path: Path, index: Mapping[str, Any], table: pa.Table, shards: list[_Shard]) -> None:
        """Use :meth:`open`."""
        self.path = path
        self.spec = _spec_from(index["spec"])
        self.hash: str = index["hash"]
        self.split_hash: str = index["split_hash"]
        self._index = index
        self._table = table
        self._shards = shards
        self._length = table["length"].to_numpy()
        self._position = table["position"].to_numpy()
        self._shard = table["shard"].to_numpy()
        self._offset = np.concatenate([[0], np.cumsum(self._length)])
        self._split = np.array(table["split"].to_pylist())

    @classmethod
    def open(cls, path: str | Path) -> ClipStore:
        """Open a store, checking sizes and the table. A :class:`DataError` names the file that is not as written."""
        path = Path(path)
        index = _read_index(path)
        _check_files(path, index)
        table = pq.read_table(path / TABLE)
        spec = _spec_from(index["spec"])
        shards = [_map_shard(path / name, spec) for name in sorted(index["files"]) if name != TABLE]
        store = cls(path, index, table, shards)
        store._check_places()
        return store

    def verify(self) -> None:
        """Read every byte and compare it with what was written."""
        for name, written in self._index["files"].items():
            if _fingerprint(self.path / name) != written:
                raise DataError(f"{self.path / name}: its bytes are not those that were written")

    def __len__(self) -> int:
        return len(self._length)

    @property
    def total_frames(self) -> int:
        """Frames of all episodes."""
        return int(self._offset[-1])

    @property
    def lengths(self) -> np.ndarray:
        """int64 [episodes]: frames of each."""
        return self._length

    @property
    def offsets(self) -> np.ndarray:
        """int64 [episodes]: global number of the first frame of each."""
        return self._offset[:-1]

    def length(self, episode: int) -> int:
        """Frames of one episode."""
        return int(self._length[self._check(episode)])

    def offset(self, episode: int) -> int:
        """Global number of its first frame: episodes follow one another in stored order."""
        return int(self._offset[self._check(episode)])

    def video(self, episode: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Frames start <= t < stop of an episode: a read-only view uint8 [t, h, w, 3]; nothing is copied."""
        length = self.length(episode)
        stop = length if stop is None else stop
        if not 0 <= start < stop <= length:
            raise DataError(f"episode {episode} has frames 0 to {length}; {start} to {stop} asked for")
        first = self._position[episode]
        return self._shards[self._shard[episode]].frames[first + start : first + stop]

    def gather(self, episodes: Sequence[int], starts: Sequence[int], frames: int, stride: int = 1) -> np.ndarray:
        """Windows copied together, uint8 [b, frames, h, w, 3]: every stride-th frame from each start on.

        All windows are announced to the kernel first. On files that are not in memory yet this is four times as fast
        as one after the other; on files that are, it costs a tenth.
        """
        span = (frames - 1) * stride + 1
        views = [self.video(i, start, start + span)[::stride] for i, start in zip(episodes, starts, strict=True)]
        for episode, start in zip(episodes, starts, strict=True):
            first = self._position[episode] + start
            self._shards[self._shard[episode]].announce(first, first + span)
        return np.stack(views)

    @cached_property
    def action(self) -> np.ndarray | None:
        """All actions by global frame: int64 [frames] or float32 [frames, a].

        0 after an episode's last frame, and in episodes without actions (see ``has_action``).
        """
        if self.spec.action.kind == "none":
            return None
        dtype, shape = action_layout(self.spec.action, self.total_frames)
        action: np.ndarray = np.zeros(shape, dtype)
        follows = np.repeat(self.has_action, self._length)
        follows[self._offset[1:] - 1] = False
        action[follows] = _flat(self._table["action"]).reshape(-1, *shape[1:])
        return action

    @cached_property
    def has_action(self) -> np.ndarray:
        """bool [episodes]: whether the actions of an episode are known."""
        return self._table["action"].is_valid().to_numpy()

    @cached_property
    def state(self) -> np.ndarray | None:
        """All states by global frame: float32 [frames, s], NaN where a variable does not apply."""
        if not self.spec.state_names:
            return None
        return _flat(self._table["state"]).reshape(self.total_frames, len(self.spec.state_names))

    @cached_property
    def captions(self) -> tuple[tuple[Caption, ...], ...]:
        """Captions of each episode."""
        return tuple(tuple(Caption(**row) for row in rows) for rows in self._table["captions"].to_pylist())

    @cached_property
    def frame_hash(self) -> np.ndarray:
        """uint64 [frames]: the perceptual hash of each frame, see :func:`frame_hashes`."""
        return _flat(self._table["frame_hash"])

    def clip(self, episode: int) -> Clip:
        """One whole episode; its arrays are read-only views."""
        first, last = self.offset(episode), self._offset[episode + 1] - 1
        row = self._table.select(["fps", "source", "group", "tags"]).slice(episode, 1).to_pylist()[0]
        return Clip(
            video=self.video(episode),
            action=self.action[first:last] if self.action is not None and self.has_action[episode] else None,
            state=None if self.state is None else self.state[first : last + 1],
            captions=self.captions[episode],
            fps=row["fps"],
            source=row["source"],
            group=row["group"],
            tags=tuple(row["tags"]),
        )

    def __iter__(self) -> Iterator[Clip]:
        return (self.clip(episode) for episode in range(len(self)))

    def split(self, name: str) -> np.ndarray:
        """Episode numbers, int64, of "train", "val" or "test"."""
        if name not in splitting.SPLITS:
            raise DataError(f"split {name!r} given; allowed: {', '.join(splitting.SPLITS)}")
        return np.flatnonzero(self._split == name)

    def summary(self) -> dict[str, Any]:
        """Facts for a report: counts, split, near duplicates across it, and the notes made when it was written."""
        counts = Counter(self._split.tolist())
        return {
            "path": self.path.name,
            "world": self.spec.world,
            "episodes": len(self),
            "frames": self.total_frames,
            "seconds": round(self.total_frames / self.spec.fps, 3),
            "fps": self.spec.fps,
            "height": self.spec.height,
            "width": self.spec.width,
            "action": self.spec.action.kind,
            "captioned": self.spec.captioned,
            "state_names": list(self.spec.state_names),
            "hash": self.hash,
            "split": {name: counts[name] for name in splitting.SPLITS} | {"unused": counts[splitting.UNUSED]},
            "split_rule": self._index["split_rule"],
            "split_hash": self.split_hash,
            "near_duplicates": self._near_duplicates,
        } | self._index["notes"]

    @cached_property
    def _near_duplicates(self) -> dict[str, Any]:
        """Across train and test: how many, and the most alike."""
        pairs = near_duplicates(self)
        return {
            "pairs": len(pairs),
            "test_episodes": len({p.test for p in pairs}),
            "nearest": [asdict(p) for p in pairs[:10]],
        }

    def _check(self, episode: int) -> int:
        if not 0 <= episode < len(self):
            raise DataError(f"episode {episode} asked for; the store has 0 to {len(self) - 1}")
        return episode

    def _check_places(self) -> None:
        held = [len(shard.frames) for shard in self._shards]
        ends = self._position + self._length
        fits = (self._shard < len(held)) & (ends <= np.array(held)[np.minimum(self._shard, len(held) - 1)])
        if len(self) != self._index["episodes"] or not fits.all():
            raise DataError(f"{self.path / TABLE}: its episodes are not in the shards")


def _spec_from(fields: Mapping[str, Any]) -> ClipSpec:
    action = ActionSpec(**{**fields["action"], "names": tuple(fields["action"]["names"])})
    return ClipSpec(**{**fields, "action": action, "state_names": tuple(fields["state_names"])})


def _flat(column: pa.ChunkedArray) -> np.ndarray:
    """The numbers of a column of (nested) lists, one after the other."""
    array = column.combine_chunks()
    while isinstance(array, pa.ListArray | pa.FixedSizeListArray):
        array = array.flatten()
    return array.to_numpy(zero_copy_only=False)


def _read_index(path: Path) -> dict[str, Any]:
    file = path / INDEX
    if not file.is_file():
        raise DataError(f"{path}: not a store of clips (no {INDEX})")
    try:
        index = json.loads(file.read_text())
        whole = index["checksum"] == _checksum(index)
        schema = index["schema"]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error
    if schema != SCHEMA:
        raise DataError(f"{file}: schema {schema!r}; this version reads {SCHEMA!r}")
    if not whole:
        raise DataError(f"{file}: its content is not what was written")
    return index


def _check_files(path: Path, index: Mapping[str, Any]) -> None:
    for name, written in index["files"].items():
        file = path / name
        size = file.stat().st_size if file.is_file() else -1
        if size != written["bytes"]:
            given = "missing" if size < 0 else f"{size} bytes"
            raise DataError(f"{file}: {given}; {written['bytes']} bytes were written")
    if _fingerprint(path / TABLE) != index["files"][TABLE]:
        raise DataError(f"{path / TABLE}: its bytes are not those that were written")


@dataclass(frozen=True)
class _Shard:
    """A memory-mapped array file."""

    frames: np.ndarray  # uint8 [frames, h, w, 3], a view of the pages
    pages: mmap.mmap
    offset: int  # bytes before the first frame

    def announce(self, start: int, stop: int) -> None:
        """Tell the kernel that frames start <= t < stop will be read, so that it reads them all at once."""
        size = self.frames[0].nbytes
        first = (self.offset + start * size) // mmap.PAGESIZE * mmap.PAGESIZE
        self.pages.madvise(mmap.MADV_WILLNEED, first, self.offset + stop * size - first)


def _map_shard(file: Path, spec: ClipSpec) -> _Shard:
    try:
        with file.open("rb") as handle:
            if np.lib.format.read_magic(handle) != (1, 0):
                raise DataError(f"{file}: not version 1.0 of the NumPy format")
            shape, _, dtype = np.lib.format.read_array_header_1_0(handle)
            offset = handle.tell()
            pages = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        frames = np.frombuffer(pages, np.uint8, math.prod(shape), offset).reshape(shape)
    except (ValueError, OSError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error
    expected = (spec.height, spec.width, 3)
    if dtype != np.uint8 or shape[1:] != expected:
        raise DataError(f"{file}: holds {dtype} {shape}; expected uint8 (t, {str(expected)[1:]}")
    return _Shard(frames, pages, offset)
