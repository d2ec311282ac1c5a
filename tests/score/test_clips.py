"""Clips that are made once: a folder of them is not taken for another."""

import pytest

from threeworlds.data import ClipStore
from threeworlds.score.clips import generate, made_once


def make(folder, **asked):
    return made_once(folder, asked, lambda: generate("arena", folder, workers=1, **asked))


def test_clips_are_made_once_and_only_for_what_was_asked(tmp_path):
    folder = tmp_path / "clips"
    first = make(folder, episodes=10, seed=1, size=32)
    written = (folder / "store.json").stat().st_mtime_ns
    again = make(folder, episodes=10, seed=1, size=32)
    assert again.hash == first.hash
    assert (folder / "store.json").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match="holds other clips: episodes was 10, now 12; seed was 1, now 2"):
        make(folder, episodes=12, seed=2, size=32)
    assert ClipStore.open(folder).hash == first.hash


def test_what_could_not_be_made_is_asked_for_anew(tmp_path):
    folder = tmp_path / "clips"
    with pytest.raises(ValueError, match="atlantis"):
        made_once(folder, {"world": "atlantis"}, lambda: generate("atlantis", folder, episodes=10, seed=0))
    assert make(folder, episodes=10, seed=0, size=32).total_frames > 0


def test_clips_without_a_note_are_taken_as_they_are(tmp_path):
    folder = tmp_path / "clips"
    store = generate("arena", folder, episodes=10, seed=1, size=32, workers=1)
    assert make(folder, episodes=12, seed=1, size=32).hash == store.hash
