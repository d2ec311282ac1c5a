"""The experiment on other words: none of them is the grammar's, and what is asked is said once, in the longest way."""

import pytest
import torch

from threeworlds.types import Imagined
from threeworlds.worlds import collect
from threeworlds.worlds.arena_text import VOCABULARY


@pytest.fixture(scope="module")
def free(load_script):
    return load_script("experiments/free_text.py")


def test_other_words_are_not_in_the_grammar(free):
    new = {word for words in (free.COLOURS, free.SHAPES, free.DIRECTIONS) for word in " ".join(words.values()).split()}
    assert not (new - {"is"}) & set(VOCABULARY)


def test_a_caption_is_reworded_once_and_by_its_longest_words(free):
    caption = "a small red ball moves to the left while the avatar moves left"
    everything = free.reworded(caption, free.WORDINGS["all"])
    assert everything == "a small crimson sphere drifts leftward while the avatar drifts leftward"
    assert free.reworded(caption, free.WORDINGS["as trained"]) == caption


def test_every_caption_changes_where_it_is_asked_to(free):
    for caption in free.draw_captions(20, 32, seed=1):
        assert all(free.reworded(caption, words) != caption for words in (free.COLOURS, free.WORDINGS["shapes"]))


def test_what_is_judged_is_what_the_caption_said_at_first(free, monkeypatch):
    """The true film, whatever words it is asked for with, shows what its caption says."""
    (clip,) = collect("arena", episodes=1, seed=5, size=32, workers=1)
    asked = []

    def film(model, captions, *, frames):
        asked.append(captions)
        return Imagined(video=torch.from_numpy(clip.video[None, :frames]).movedim(-1, 2) / 127.5 - 1, seconds=0.0)

    monkeypatch.setattr(free, "text_to_video", film)
    rows = list(free.measure("run", None, (clip.captions[0].text,)))
    assert [row["example"] for row in rows] == [captions[0] for captions in asked]
    assert len(set(asked)) == len(free.WORDINGS)
    assert [row["full_match"]["value"] for row in rows] == [1.0] * len(rows)
