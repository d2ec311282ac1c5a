"""Clips come back as they went in; what is torn or tampered with is named."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_clips import SPEC, make_clip, write

from threeworlds.data import ClipStore, ClipWriter, DataError
from threeworlds.types import ActionSpec, Caption, Clip, ClipSpec


def assert_same(a: Clip, b: Clip) -> None:
    for name in ("video", "action", "state"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        if getattr(a, name) is not None:
            assert getattr(a, name).dtype == getattr(b, name).dtype
    for name in ("captions", "fps", "source", "group", "tags"):
        assert getattr(a, name) == getattr(b, name)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12), shard=st.integers(1, 50), seed=st.integers(0, 99))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, lengths: list[int], shard: int, seed: int) -> None:
    clips = [
        make_clip(seed + i, t, group=f"g{i % 3}", tags=("chase", "far"), captions=(Caption(start=0, stop=1, text="é"),))
        for i, t in enumerate(lengths)
    ]
    clips[0].state[0, 1] = np.nan
    store = write(tmp_path_factory.mktemp("s") / "store", clips, shard_frames=shard)
    assert store.spec == SPEC
    assert len(store) == len(clips)
    assert store.total_frames == sum(lengths)
    for i, clip in enumerate(clips):
        assert_same(store.clip(i), clip)
        assert (store.length(i), store.offset(i)) == (lengths[i], sum(lengths[:i]))
    store.verify()


def test_continuous_actions_round_trip_and_may_be_missing(tmp_path: Path) -> None:
    spec = replace(SPEC, action=ActionSpec(kind="continuous", size=2, names=("dx", "dy")))
    clips = [make_clip(0, 5, spec), make_clip(1, 7, spec, action=None), make_clip(2, 4, spec)]
    store = write(tmp_path / "s", clips, spec)
    for clip, stored in zip(clips, store, strict=True):
        assert_same(stored, clip)
    assert store.has_action.tolist() == [True, False, True]
    assert store.spec == spec


def test_video_is_a_view_of_the_file(store: ClipStore) -> None:
    video = store.video(3, 2, 9)
    assert video.shape == (7, 16, 20, 3)
    assert video[:, 0, 0, 1].tolist() == list(range(2, 9))
    assert not video.flags.owndata
    assert not video.flags.writeable
    with pytest.raises(DataError, match="episode 3 has frames 0 to 13; 2 to 14 asked for"):
        store.video(3, 2, 14)
    with pytest.raises(DataError, match="0 to 39"):
        store.video(40)


def test_gather_is_the_views_copied(store: ClipStore) -> None:
    """Over all shards, so over every offset within a page."""
    episodes = list(range(40)) * 2
    starts = [i % 5 for i in range(80)]
    together = store.gather(episodes, starts, frames=3, stride=2)
    for window, episode, start in zip(together, episodes, starts, strict=True):
        np.testing.assert_array_equal(window, store.video(episode, start, start + 5)[::2])
    with pytest.raises(DataError, match="frames 0 to 10; 6 to 11 asked for"):
        store.gather([0], [6], frames=5)


def test_hash_depends_on_content_not_on_layout(tmp_path: Path) -> None:
    clips = [make_clip(i, 12) for i in range(12)]
    a = write(tmp_path / "a", clips, shard_frames=1000)
    b = write(tmp_path / "b", clips, shard_frames=13)
    c = write(tmp_path / "c", [*clips[:-1], replace(clips[-1], action=np.flip(clips[-1].action).copy())])
    assert (a.hash, a.split_hash) == (b.hash, b.split_hash)
    assert a.hash != c.hash


BAD = {
    "video is float32": {"video": np.zeros((12, 16, 20, 3), np.float32)},
    r"uint8 \(t, 16, 20, 3\)": {"video": np.zeros((12, 20, 16, 3), np.uint8)},
    "no frame": {"video": np.zeros((0, 16, 20, 3), np.uint8)},
    "12 frames need int64": {"action": np.zeros(12, np.int64)},
    "action is float32": {"action": np.zeros(11, np.float32)},
    r"action outside \[0, 4\]": {"action": np.full(11, 5)},
    "state is float64": {"state": np.zeros((12, 2))},
    "state is absent": {"state": None},
    "infinity": {"state": np.full((12, 2), np.inf, np.float32)},
    "caption 'x' covers frames 3 to 13": {"captions": (Caption(start=3, stop=13, text="x"),)},
    "25.0 frames/s": {"fps": 25.0},
}


@pytest.mark.parametrize("message", BAD)
def test_a_clip_unlike_the_spec_is_refused_and_named(tmp_path: Path, message: str) -> None:
    clips = [make_clip(0, 12), make_clip(7, 12, **BAD[message])]
    with pytest.raises(DataError, match=r"clip 1 \(made#7\).*" + message):
        write(tmp_path / "s", clips)
    assert list(tmp_path.iterdir()) == []  # neither a store nor remains of one


@pytest.mark.parametrize(
    "spec",
    [
        ClipSpec(height=0, width=4, fps=10.0),
        ClipSpec(height=4, width=4, fps=float("nan")),
        ClipSpec(height=4, width=4, fps=10.0, action=ActionSpec(kind="discrete")),
        ClipSpec(height=4, width=4, fps=10.0, action=ActionSpec(kind="continuous", size=2, names=("x",))),
    ],
)
def test_impossible_specs_are_refused(tmp_path: Path, spec: ClipSpec) -> None:
    with pytest.raises(DataError, match="spec: "):
        ClipWriter(tmp_path / "s", spec)


def test_the_store_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    writer = ClipWriter(tmp_path / "s", SPEC, shard_frames=10)
    writer.add(make_clip(0, 12))
    writer.add(make_clip(1, 12))
    assert not (tmp_path / "s").exists()
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    with pytest.raises(DataError, match="exists already"):
        ClipWriter(tmp_path / "s", SPEC)
    with pytest.raises(DataError, match="no clip was added"):
        ClipWriter(tmp_path / "t", SPEC).close()
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_the_caller_may_reuse_the_buffer_it_added(tmp_path: Path) -> None:
    clip = make_clip(0, 12)
    expected = clip.video.copy()
    with ClipWriter(tmp_path / "s", SPEC) as writer:
        writer.add(clip)
        clip.video[:] = 0
    np.testing.assert_array_equal(ClipStore.open(tmp_path / "s").video(0), expected)


def flip_byte(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["video-00000.npy", "episodes.parquet", "store.json"])
@pytest.mark.parametrize("damage", ["torn", "missing", "longer"])
def test_a_file_of_another_size_is_named_at_open(store: ClipStore, name: str, damage: str) -> None:
    file = store.path / name
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[: len(content) // 2] if damage == "torn" else content + b"0")
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        ClipStore.open(store.path)


def test_a_changed_byte_is_found(store: ClipStore) -> None:
    for name in ("episodes.parquet", "store.json"):  # at once
        before = (store.path / name).read_bytes()
        flip_byte(store.path / name, len(before) // 2)
        with pytest.raises(DataError, match=name):
            ClipStore.open(store.path)
        (store.path / name).write_bytes(before)
    flip_byte(store.path / "video-00001.npy", -1)  # when everything is read
    store = ClipStore.open(store.path)
    with pytest.raises(DataError, match=r"video-00001\.npy"):
        store.verify()


def test_a_fact_changed_in_the_index_is_found(store: ClipStore) -> None:
    text = (store.path / "store.json").read_text()
    (store.path / "store.json").write_text(text.replace('"fps": 10.0', '"fps": 20.0'))
    with pytest.raises(DataError, match=r"store\.json: its content is not what was written"):
        ClipStore.open(store.path)


def test_foreign_folders_and_schemas_are_refused(store: ClipStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a store of clips \(no store.json\)"):
        ClipStore.open(tmp_path)
    index = json.loads((store.path / "store.json").read_text())
    (store.path / "store.json").write_text(json.dumps(index | {"schema": "threeworlds.clips/99"}))
    with pytest.raises(DataError, match=r"this version reads 'threeworlds.clips/1'"):
        ClipStore.open(store.path)


def test_the_table_is_plain_parquet(store: ClipStore) -> None:
    table = pq.read_table(store.path / "episodes.parquet")
    assert table["length"].to_pylist() == list(range(10, 50))
    assert table["action"][2].as_py() == store.clip(2).action.tolist()


def test_summary_says_what_is_there(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "s", SPEC, notes={"seed": 3}) as writer:
        for i in range(10):
            writer.add(make_clip(i, 20))
    summary = ClipStore.open(tmp_path / "s").summary()
    expected = {"episodes": 10, "frames": 200, "seconds": 20.0, "fps": 10.0, "split_rule": "group", "seed": 3}
    assert summary.items() >= expected.items()
    assert summary["split"] == {"train": 8, "val": 1, "test": 1, "unused": 0}
    assert json.loads(json.dumps(summary)) == summary
