"""Splits are by whole groups, about 80/10/10, and no copy is on two sides."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_clips import make_clip, write

from threeworlds.data import ClipStore, DataError
from threeworlds.data.split import Member, assign, split_digest


def members(groups: list[int], frames: list[int] | None = None, digests: list[int] | None = None) -> list[Member]:
    n = len(groups)
    return [
        Member(digest=f"{hash((d, 1)) & 0xFFFFFF:x}", group=f"g{g}" if g >= 0 else "", frames=f)
        for g, f, d in zip(groups, frames or [40] * n, digests or range(n), strict=True)
    ]


@given(st.lists(st.tuples(st.integers(-1, 30), st.integers(1, 100), st.integers(0, 40)), min_size=1, max_size=120))
def test_no_group_and_no_copy_is_on_two_sides(rows: list[tuple[int, int, int]]) -> None:
    groups, frames, digests = map(list, zip(*rows, strict=True))
    all_members = members(groups, frames, digests)
    splits, rule = assign(all_members)
    keys = [[m.digest for m in all_members]] + ([[m.group for m in all_members]] if rule == "group" else [])
    for values in keys:
        for value in set(values) - {""}:
            assert len({s for s, v in zip(splits, values, strict=True) if v == value} - {""}) <= 1


@given(st.lists(st.integers(1, 100), min_size=10, max_size=200))
def test_shares_hold_for_any_lengths(frames: list[int]) -> None:
    splits, _ = assign(members([-1] * len(frames), frames))
    total = sum(frames)
    for name, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        part = sum(f for f, s in zip(frames, splits, strict=True) if s == name)
        assert part > 0
        assert abs(part - share * total) <= max(frames)  # as near as whole episodes allow


def test_the_split_does_not_depend_on_the_stored_order() -> None:
    all_members = members([-1] * 200)
    order = np.random.default_rng(0).permutation(200)
    straight, _ = assign(all_members)
    shuffled, _ = assign([all_members[i] for i in order])
    assert [straight[i] for i in order] == shuffled
    digests = [m.digest for m in all_members]
    assert split_digest(digests, straight) == split_digest([digests[i] for i in order], shuffled)
    assert split_digest(digests, straight) != split_digest(digests, straight[::-1])


def test_few_films_are_cut_in_time_with_a_gap() -> None:
    splits, rule = assign(members([0] * 20 + [1] * 4 + [2] * 3))
    assert rule == "time"
    assert splits[:20] == ["train"] * 15 + [""] + ["val"] * 2 + ["test"] * 2
    assert splits[20:24] == ["train", "", "val", "test"]
    assert splits[24:] == ["train"] * 3


def test_copies_are_left_out_where_films_are_cut_in_time() -> None:
    splits, _ = assign(members([0] * 10, digests=[0, 1, 2, 3, 4, 5, 6, 7, 8, 0]))
    assert splits == ["train"] * 7 + ["", "val", ""]  # the last is a copy of the first


def test_few_single_episodes_still_give_three_sides() -> None:
    splits, rule = assign(members([-1] * 4))
    assert rule == "group"
    assert sorted(splits) == ["test", "train", "train", "val"]


def test_held_out_clips_are_for_testing(tmp_path: Path) -> None:
    clips = [make_clip(i, 20, tags=("heldout",) if i < 5 else ()) for i in range(30)]
    store = write(tmp_path / "s", clips)
    assert set(range(5)) <= set(store.split("test").tolist())
    assert abs(len(store.split("train")) - 20) <= 1  # of the other 25


def test_splits_of_a_store_part_it(store: ClipStore) -> None:
    parts = [store.split(name) for name in ("train", "val", "test")]
    assert all(part.dtype == np.int64 for part in parts)
    assert sorted(np.concatenate(parts).tolist()) == list(range(40))
    with pytest.raises(DataError, match="allowed: train, val, test"):
        store.split("tests")
