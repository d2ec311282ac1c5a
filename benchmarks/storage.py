"""Clips a second from disk: our store against HDF5, ArrayRecord (through Grain) and Lance, on the same clips.

A clip is a window of 16 frames at a random place; every format delivers the same batches, uint8 [64, 16, h, w, 3], and
a first batch is compared byte by byte. No format compresses; each is laid out the way that was fastest for it. Warm:
the files are in the page cache. Cold: they were dropped from it (posix_fadvise) and are opened anew. The formats take
turns in every round, so that a change in the machine's load meets all of them; the ratios are medians over rounds.

    python benchmarks/storage.py --out results/benchmark-storage.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np

from threeworlds.data import ClipStore, ClipWriter
from threeworlds.types import Clip, ClipSpec

FRAMES, BATCH, LENGTH = 16, 64, 40  # frames a clip, clips a batch, frames an episode

Places = list[tuple[int, int]]  # (episode, first frame)


class Reader(Protocol):
    """One format: reads a batch into ``out`` uint8 [b, t, h, w, 3]."""

    def read(self, places: Places, out: np.ndarray) -> None: ...


class Ours:
    """Memory-mapped arrays."""

    def __init__(self, path: Path) -> None:
        self.store = ClipStore.open(path / "store")

    @staticmethod
    def write(path: Path, videos: np.ndarray) -> None:
        spec = ClipSpec(height=videos.shape[2], width=videos.shape[3], fps=10.0)
        with ClipWriter(path / "store", spec) as writer:
            for video in videos:
                writer.add(Clip(video=video))

    def read(self, places: Places, out: np.ndarray) -> None:
        out[:] = self.store.gather(*zip(*places, strict=True), FRAMES)


class Hdf5:
    """h5py, one contiguous dataset of frames."""

    def __init__(self, path: Path) -> None:
        import h5py

        self.video = h5py.File(path / "clips.h5", "r")["video"]

    @staticmethod
    def write(path: Path, videos: np.ndarray) -> None:
        import h5py

        with h5py.File(path / "clips.h5", "w") as file:
            file["video"] = videos.reshape(-1, *videos.shape[2:])

    def read(self, places: Places, out: np.ndarray) -> None:
        for row, (episode, start) in zip(out, places, strict=True):
            first = episode * LENGTH + start
            self.video.read_direct(row, np.s_[first : first + FRAMES])


class ArrayRecord:
    """ArrayRecord file read by Grain's data source, one frame a record."""

    def __init__(self, path: Path) -> None:
        import grain

        self.source = grain.sources.ArrayRecordDataSource(str(path / "clips.array_record"))

    @staticmethod
    def write(path: Path, videos: np.ndarray) -> None:
        _write_records(path, videos.reshape(-1, *videos.shape[2:]))

    def read(self, places: Places, out: np.ndarray) -> None:
        records = self.source.__getitems__(_frame_numbers(places))
        for row, record in zip(out.reshape(-1, out[0, 0].size), records, strict=True):
            row[:] = np.frombuffer(record, np.uint8)


class ArrayRecordEpisodes(ArrayRecord):
    """The same, one episode a record."""

    @staticmethod
    def write(path: Path, videos: np.ndarray) -> None:
        _write_records(path, videos)

    def read(self, places: Places, out: np.ndarray) -> None:
        records = self.source.__getitems__([episode for episode, _ in places])
        for row, record, (_, start) in zip(out, records, places, strict=True):
            row[:] = np.frombuffer(record, np.uint8).reshape(LENGTH, *row.shape[1:])[start : start + FRAMES]


def _write_records(path: Path, records: Iterable[np.ndarray]) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path / "clips.array_record"), "group_size:1,uncompressed")
    for record in records:
        writer.write(record.tobytes())
    writer.close()


class Lance:
    """pylance, one frame a row."""

    def __init__(self, path: Path) -> None:
        import lance

        self.table = lance.dataset(str(path / "clips.lance"))

    @staticmethod
    def write(path: Path, videos: np.ndarray) -> None:
        import lance
        import pyarrow as pa

        size = videos[0, 0].size
        flat = pa.array(videos.reshape(-1))
        table = pa.table({"video": pa.FixedSizeListArray.from_arrays(flat, size)})
        lance.write_dataset(table, str(path / "clips.lance"))

    def read(self, places: Places, out: np.ndarray) -> None:
        column = self.table.take(_frame_numbers(places), columns=["video"])["video"].combine_chunks()
        out.reshape(-1)[:] = column.flatten().to_numpy()


READERS: dict[str, Any] = {
    "ours": Ours,
    "h5py": Hdf5,
    "array-record + grain, frames": ArrayRecord,
    "array-record + grain, episodes": ArrayRecordEpisodes,
    "lance": Lance,
}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, write the result as JSON to stdout or ``--out``, and return it."""
    parser = argparse.ArgumentParser(description="Clips a second from disk, ours against others.")
    parser.add_argument("--out", type=Path, help="file for the result; stdout by default")
    parser.add_argument("--episodes", type=int, default=600, help=f"episodes of {LENGTH} frames")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=8, help=f"batches of {BATCH} clips a measurement")
    parser.add_argument("--scratch", type=Path, help="folder on the disk to measure")
    options = parser.parse_args(arguments)
    sizes = {str(size): measure(size, options) for size in (32, 64)}
    result = {"benchmark": "storage", "machine": _machine(), "unit": "clips/s", "sizes": sizes}
    result["protocol"] = (
        f"{options.episodes} episodes, {options.rounds} rounds of {options.batches} x {BATCH} clips of {FRAMES}"
    )
    text = json.dumps(result, indent=1) + "\n"
    if options.out:
        options.out.write_text(text)
    else:
        sys.stdout.write(text)
    return result


def measure(size: int, options: argparse.Namespace) -> dict[str, Any]:
    """Clips/s of every format, cold and warm, and how many times slower than ours each is."""
    videos = np.random.default_rng(0).integers(0, 256, (options.episodes, LENGTH, size, size, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        paths = {name: Path(folder, name) for name in READERS}
        for name, path in paths.items():
            path.mkdir()
            READERS[name].write(path, videos)
        _check(paths, videos)
        rates = _rounds(paths, size, options)
    return {state: _compared(rates[state]) for state in ("cold", "warm")}


def _rounds(paths: dict[str, Path], size: int, options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    rates: dict[str, dict[str, list[float]]] = {state: {name: [] for name in paths} for state in ("cold", "warm")}
    for number in range(options.rounds):
        places = list(_places(options.episodes, options.batches, seed=number))
        for name in _turned(list(paths), number):
            _drop(paths[name])
            reader = READERS[name](paths[name])
            rates["cold"][name].append(_rate(reader, places, size))
            _rate(reader, places, size)  # what is read twice is warm, and so are the reader's own caches
            rates["warm"][name].append(_rate(reader, places, size))
            del reader
    return rates


def _rate(reader: Reader, places: list[Places], size: int) -> float:
    out = np.zeros((BATCH, FRAMES, size, size, 3), np.uint8)
    start = time.perf_counter()
    for batch in places:
        reader.read(batch, out)
    return len(places) * BATCH / (time.perf_counter() - start)


def _compared(rates: dict[str, list[float]]) -> dict[str, Any]:
    def ratio(name: str) -> float:
        return median(ours / other for ours, other in zip(rates["ours"], rates[name], strict=True))

    return {
        name: {"clips_per_s": round(median(rates[name])), "ours_is_faster_by": round(ratio(name), 2)} for name in rates
    }


def _places(episodes: int, batches: int, seed: int) -> Iterator[Places]:
    rng = np.random.default_rng(seed)
    for _ in range(batches):
        pairs = zip(rng.integers(0, episodes, BATCH), rng.integers(0, LENGTH - FRAMES + 1, BATCH), strict=True)
        yield [(int(episode), int(start)) for episode, start in pairs]


def _frame_numbers(places: Places) -> list[int]:
    return [episode * LENGTH + start + t for episode, start in places for t in range(FRAMES)]


def _check(paths: dict[str, Path], videos: np.ndarray) -> None:
    (places,) = _places(len(videos), 1, seed=99)
    expected = np.stack([videos[episode, start : start + FRAMES] for episode, start in places])
    for name, path in paths.items():
        out = np.zeros_like(expected)
        READERS[name](path).read(places, out)
        assert np.array_equal(out, expected), f"{name} delivers other clips"


def _drop(path: Path) -> None:
    """Write the files out and take them from the page cache."""
    for file in path.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
                os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _turned(names: list[str], number: int) -> list[str]:
    start = number % len(names)
    return names[start:] + names[:start]


def _machine() -> dict[str, Any]:
    return {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}


if __name__ == "__main__":
    main()
