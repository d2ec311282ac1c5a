"""Windows show what is stored, where they say, in an order that is a function of (seed, step)."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_clips import SPEC, make_clip, write

from threeworlds.data import ClipStore, DataError, Turns, Windows
from threeworlds.data.windows import window_caption
from threeworlds.types import ActionSpec, Caption

ALL = ("video", "action", "state", "caption")


def test_every_column_is_the_stored_one(store: ClipStore) -> None:
    numbers = np.arange(store.total_frames)
    windows = Windows(store, frames=12, batch_size=8, columns=ALL, cached={"number": numbers, "deep": numbers[:, None]})
    for step in range(12):  # over an epoch's end
        batch = windows.batch(step)
        episodes, starts = windows.index(step)
        assert (batch.video.dtype, batch.action.dtype, batch.state.dtype) == (torch.float32, torch.int64, torch.float32)
        assert batch.cached["deep"].shape == (8, 12, 1)
        for row, (episode, start) in enumerate(zip(episodes, starts, strict=True)):
            clip, span = store.clip(episode), slice(start, start + 12)
            pixels = (batch.video[row].permute(0, 2, 3, 1) + 1) * 127.5
            np.testing.assert_allclose(pixels, clip.video[span], atol=1e-4)
            np.testing.assert_array_equal(batch.action[row], clip.action[start : start + 11])
            np.testing.assert_array_equal(batch.state[row], clip.state[span])
            np.testing.assert_array_equal(
                batch.cached["number"][row], store.offset(episode) + np.arange(start, start + 12)
            )
            assert batch.caption[row] == clip.captions[0].text


def test_video_fills_the_range(tmp_path: Path) -> None:
    video = np.zeros((12, 16, 20, 3), np.uint8)
    video[6:] = 255
    store = write(tmp_path / "s", [make_clip(i, 12, video=video, group=str(i)) for i in range(1)])
    batch = Windows(store, frames=12, batch_size=1).batch(0)
    assert batch.video[:, :6].unique().tolist() == [-1.0]
    assert batch.video[:, 6:].unique().tolist() == [1.0]
    assert batch.video.is_contiguous()
    assert batch.action is batch.state is batch.caption is None


def test_windows_stay_inside_episodes_of_their_split(store: ClipStore) -> None:
    for split in ("train", "val", "test"):
        windows = Windows(store, split=split, frames=7, stride=3, batch_size=16)
        allowed = set(store.split(split).tolist())
        for step in range(20):
            episodes, starts = windows.index(step)
            assert set(episodes.tolist()) <= allowed
            assert (starts >= 0).all()
            assert (starts + windows.span <= store.lengths[episodes]).all()


def test_an_epoch_covers_every_episode_by_its_length(store: ClipStore) -> None:
    windows = Windows(store, frames=10, batch_size=1)
    for epoch in range(3):
        steps = range(epoch * windows.epoch_windows, (epoch + 1) * windows.epoch_windows)
        seen = np.array([np.concatenate(windows.index(step)) for step in steps])
        for episode in store.split("train"):
            starts = np.sort(seen[seen[:, 0] == episode, 1])
            parts = store.length(episode) // 10
            assert len(starts) == parts
            room = store.length(episode) - 10 + 1
            part = np.arange(parts)
            assert (part * room // parts <= starts).all()  # one in each equal part
            assert (starts < (part + 1) * room / parts).all()
    assert windows.unique_episodes == len(store.split("train"))


def test_every_start_is_drawn_about_equally_often(tmp_path: Path) -> None:
    store = write(tmp_path / "s", [make_clip(0, 19)])
    windows = Windows(store, frames=10, batch_size=1000)
    counts = np.bincount(windows.index(0)[1], minlength=10)
    assert len(counts) == 10
    assert counts.min() > 60
    assert counts.max() < 140


def test_order_is_a_function_of_seed_and_step(store: ClipStore) -> None:
    one, other = (Windows(store, frames=8, batch_size=8, seed=5) for _ in range(2))
    forwards = [one.index(step) for step in range(40)]
    backwards = [other.index(step) for step in reversed(range(40))][::-1]  # resumed anywhere, the same batches
    np.testing.assert_array_equal(forwards, backwards)
    with ThreadPoolExecutor(4) as pool:  # and from any number of threads
        np.testing.assert_array_equal(
            list(pool.map(Windows(store, frames=8, batch_size=8, seed=5).index, range(40))), forwards
        )
    assert not np.array_equal(forwards[0], Windows(store, frames=8, batch_size=8, seed=6).index(0))
    epoch = one.epoch_windows
    singles = Windows(store, frames=8, batch_size=1, seed=5)  # the order does not depend on the batch size
    first = np.array([np.concatenate(singles.index(step)) for step in range(8)]).T
    np.testing.assert_array_equal(first, forwards[0])
    assert not np.array_equal(singles.index(0), singles.index(epoch))  # epochs differ


def test_another_process_draws_the_same(store: ClipStore) -> None:
    program = (
        "from threeworlds.data import ClipStore, Windows; import sys;"
        "w = Windows(ClipStore.open(sys.argv[1]), frames=8, batch_size=8, seed=5);"
        "sys.stdout.write(str([a.tolist() for a in w.index(11)]))"
    )
    child = subprocess.run([sys.executable, "-c", program, store.path], capture_output=True, text=True, check=True)
    mine = Windows(store, frames=8, batch_size=8, seed=5).index(11)
    assert child.stdout == str([array.tolist() for array in mine])


def test_a_batch_is_not_overwritten_by_the_next(store: ClipStore) -> None:
    windows = Windows(store, frames=8, batch_size=4)
    first = windows.batch(0)
    before = first.video.clone()
    windows.batch(1)
    assert torch.equal(first.video, before)


def test_stride_takes_every_kth_frame_and_the_mean_of_the_actions(tmp_path: Path) -> None:
    spec = replace(SPEC, action=ActionSpec(kind="continuous", size=2))
    store = write(tmp_path / "s", [make_clip(i, 30, spec) for i in range(4)], spec)
    windows = Windows(store, frames=5, stride=3, batch_size=6, columns=("video", "action", "state"))
    batch = windows.batch(0)
    for row, (episode, start) in enumerate(zip(*windows.index(0), strict=True)):
        clip = store.clip(episode)
        np.testing.assert_array_equal(batch.state[row, :, 1], np.arange(start, start + 13, 3))
        for k in range(4):
            expected = clip.action[start + 3 * k : start + 3 * k + 3].mean(axis=0)
            np.testing.assert_allclose(batch.action[row, k], expected, rtol=1e-5, atol=1e-7)


def test_short_episodes_and_unknown_actions_are_skipped_and_counted(tmp_path: Path) -> None:
    clips = [make_clip(i, 20, group=f"g{i}", action=None if i % 2 else make_clip(i, 20).action) for i in range(20)]
    store = write(tmp_path / "s", [*clips, *(make_clip(50 + i, 5) for i in range(20))])
    train = store.split("train")
    known = [i for i in train if i < 20 and store.has_action[i]]
    windows = Windows(store, frames=10, batch_size=64, columns=("video", "action"))
    assert set(windows.index(0)[0].tolist()) == set(known)
    assert windows.skipped_episodes == len(train) - len(known)
    assert Windows(store, frames=10, batch_size=4).unique_episodes == sum(train < 20)
    with pytest.raises(DataError, match=r"has the 21 frames of a window .*the longest has 20"):
        Windows(store, frames=21, batch_size=4)


def test_fixed_windows_are_distinct_episodes_and_stay_the_same(store: ClipStore) -> None:
    windows = Windows(store, frames=10, batch_size=3, seed=0, columns=("video", "state"))
    episodes, starts = windows.fixed_index(20, seed=7)
    assert len(set(episodes.tolist())) == 20
    assert (starts + 10 <= store.lengths[episodes]).all()
    np.testing.assert_array_equal(windows.fixed_index(5, seed=7), (episodes[:5], starts[:5]))
    np.testing.assert_array_equal(Windows(store, frames=10, batch_size=9, seed=4).fixed_index(20, 7)[0], episodes)
    assert not np.array_equal(windows.fixed_index(20, seed=8)[0], episodes)
    batch = windows.fixed(1000, seed=7)
    assert len(batch.video) == windows.unique_episodes
    np.testing.assert_array_equal(batch.state[:20, 0], np.stack([episodes, starts], 1))


def test_unknown_columns_and_senseless_numbers_are_refused(store: ClipStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'tokens' asked for; these clips have: action, caption, state, video"):
        Windows(store, frames=8, batch_size=4, columns=("video", "tokens"))
    with pytest.raises(DataError, match="stride 2 with discrete actions"):
        Windows(store, frames=4, stride=2, batch_size=4, columns=("video", "action"))
    with pytest.raises(DataError, match="cached 'tokens': 3 rows"):
        Windows(store, frames=8, batch_size=4, cached={"tokens": np.zeros(3)})
    with pytest.raises(DataError, match="frames 0 given"):
        Windows(store, frames=0, batch_size=4)
    with pytest.raises(DataError, match="step -1"):
        Windows(store, frames=8, batch_size=4).batch(-1)


def test_missing_state_values_pass_through(tmp_path: Path) -> None:
    clip = make_clip(0, 12)
    clip.state[3:, 1] = np.nan
    store = write(tmp_path / "s", [clip])
    state = Windows(store, frames=12, batch_size=1, columns=("state",)).batch(0).state
    assert state[0].isnan().sum() == 9


@pytest.mark.parametrize(
    ("start", "stop", "text"),
    [
        (0, 16, "first"),
        (4, 20, "first"),
        (5, 21, "second"),
        (8, 24, "second"),
        (30, 46, ""),
        (24, 40, "last"),
        (25, 41, ""),
    ],
)
def test_a_window_has_the_caption_that_covers_most_of_it(start: int, stop: int, text: str) -> None:
    ranges = {"first": (0, 16), "second": (8, 24), "last": (24, 32)}
    captions = [Caption(start=a, stop=b, text=name) for name, (a, b) in ranges.items()]
    assert window_caption(captions, start, stop) == text


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=5), st.integers(0, 40), st.integers(1, 20))
def test_the_caption_chosen_is_never_worse_than_another(ranges: list[tuple[int, int]], start: int, span: int) -> None:
    captions = [Caption(start=a, stop=a + n, text=str(i)) for i, (a, n) in enumerate(ranges)]
    covered = [len(set(range(a, a + n)) & set(range(start, start + span))) for a, n in ranges]
    text = window_caption(captions, start, start + span)
    best = max(covered, default=0)
    assert (covered[int(text)] == best) if text else 2 * best < span


def test_windows_at_captions_start_where_a_caption_does(tmp_path: Path) -> None:
    texts = tuple(Caption(start=8 * i, stop=8 * i + 16, text=str(8 * i)) for i in range(4))
    clips = [replace(make_clip(i, 40, group=str(i)), captions=texts) for i in range(12)]
    store = write(tmp_path / "s", clips)
    windows = Windows(store, frames=12, batch_size=8, columns=("video", "caption"), at_captions=1.0)
    seen = set()
    for step in range(20):
        starts = windows.index(step)[1]
        assert windows.batch(step).caption == tuple(map(str, starts.tolist()))
        seen |= set(starts.tolist())
    assert seen == {0, 8, 16, 24}
    late = Windows(store, frames=36, batch_size=8, columns=("video", "caption"), at_captions=1.0)
    assert set(late.index(0)[1].tolist()) == {0}


# ------------------------------------------------------------------------------------------------ turns


def test_shapes_take_turns_in_shuffled_order_and_each_goes_on_where_it_was(store: ClipStore) -> None:
    parts = [Windows(store, frames=frames, batch_size=size, seed=size) for frames, size in ((4, 6), (8, 3), (12, 2))]
    turns, orders = Turns(parts, seed=1), set()
    for lap in range(20):
        whose = []
        for step in range(3 * lap, 3 * lap + 3):
            which, before = turns.turn(step)
            assert before == lap
            assert turns.clips(step) == len(turns.index(step)[0]) == parts[which].batch_size
            np.testing.assert_array_equal(turns.index(step), parts[which].index(lap))
            whose.append(which)
        assert sorted(whose) == [0, 1, 2]
        orders.add(tuple(whose))
    assert len(orders) == 6
    assert [Turns(parts, seed=1).turn(step) for step in range(60)] == [turns.turn(step) for step in range(60)]
    assert turns.batch(7).video.shape[:2] == (parts[turns.turn(7)[0]].batch_size, parts[turns.turn(7)[0]].frames)


def test_episodes_seen_are_those_of_the_batches(store: ClipStore) -> None:
    turns = Turns([Windows(store, frames=4, batch_size=2), Windows(store, frames=12, batch_size=1, seed=5)])
    for steps in (0, 1, 3, 10, 400):
        seen = {episode for step in range(steps) for episode in turns.index(step)[0].tolist()}
        assert turns.episodes_seen(steps) == len(seen)
    with pytest.raises(DataError, match="no windows"):
        Turns([])
