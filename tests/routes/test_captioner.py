"""The captioner: it says what it was shown, reads no future word, and its words are kept with it."""

from dataclasses import replace

import pytest
import torch

from threeworlds.data import ClipStore
from threeworlds.routes import get_route
from threeworlds.routes.sora.captioner import HINT, Captioner, CaptionerConfig
from threeworlds.score.captions import agreement, caption_store, captions_of, score_captioner
from threeworlds.train import Budget, load_model, train_route
from threeworlds.types import Batch, ClipSpec
from threeworlds.worlds import parse_caption

SPEC = ClipSpec(height=16, width=16, fps=10, captioned=True)
CONFIG = replace(get_route("captioner").recipes["debug"](), frames=2, stride=1)
COLOURS = {"a red wall": (1, -1, -1), "a green wall far away": (-1, 1, -1), "blue": (-1, -1, 1)}


def painted():
    colour = torch.tensor(list(COLOURS.values()), dtype=torch.float)
    return Batch(video=colour[:, None, :, None, None].expand(-1, 2, -1, 16, 16), caption=tuple(COLOURS))


def test_it_learns_to_say_what_it_is_shown():
    torch.manual_seed(0)
    model, batch = Captioner(CONFIG, SPEC), painted()
    model.learn_words(batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(80):
        loss, _ = model(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert model.caption(batch.video) == tuple(COLOURS)
    assert model.caption(batch.video.flip(0)) == tuple(COLOURS)[::-1]


def test_a_hint_is_the_likelihood_of_the_words_a_caption_has():
    """A clip without a caption gives none; the words' order does not matter."""
    torch.manual_seed(0)
    model, batch = Captioner(CONFIG, SPEC), painted()
    model.learn_words(batch)
    source = model._read(batch.video)
    hint = model._hint(source, *model._target(batch.caption))
    likely = torch.sigmoid(model.hint(torch.cat([source.mean(1), source.amax(1)], dim=-1)))
    has = torch.zeros_like(likely)
    has[:, 0] = 1  # the end
    for row, text in enumerate(batch.caption):
        has[row, [model.vocabulary.index(w) for w in text.split()]] = 1
    told = (has * likely.log() + (1 - has) * (1 - likely).log()).sum(-1)
    torch.testing.assert_close(hint, -HINT * told.mean())
    loss, metrics = model(batch)
    torch.testing.assert_close(loss, metrics["written"] + hint)
    silent = model._hint(source, *model._target((*batch.caption[:2], "")))
    torch.testing.assert_close(silent, -HINT * told[:2].mean())


def test_beside_each_frame_goes_its_change():
    model, video, seen = Captioner(CONFIG, SPEC), torch.randn(2, 3, 3, 16, 16), []
    model.see.register_forward_pre_hook(lambda module, given: seen.append(given[0].unflatten(0, (2, 3))))
    model._read(video)
    frames, change = seen[0].chunk(2, dim=2)
    assert torch.equal(frames, video)
    assert not change[:, 0].any()
    torch.testing.assert_close(change[:, 1:], video[:, 1:] - video[:, :-1])


def test_a_word_does_not_see_those_after_it():
    torch.manual_seed(0)
    model = Captioner(CONFIG, SPEC)
    source, said = model._read(painted().video), torch.randint(1, 9, (3, 6))
    other = said.clone()
    other[:, 4:] = 9
    first, second = (model._write(words, source) for words in (said, other))
    torch.testing.assert_close(first[:, :4], second[:, :4])
    assert not torch.allclose(first[:, 4:], second[:, 4:])


def test_words_are_kept_by_how_common_they_are():
    model = Captioner(replace(CONFIG, vocabulary=4), SPEC)
    model.learn_words(Batch(caption=("b a", "a c", "a b d", "")))
    assert model.vocabulary == ["", "a", "b", "c"]
    target, mask = model._target(("c d a", "", "b"))  # d is unknown and left out; no caption, nothing to learn
    assert target.tolist() == [[3, 1, 0], [0, 0, 0], [2, 0, 0]]
    assert mask.tolist() == [[True, True, True], [False, False, False], [True, True, False]]


@pytest.fixture(scope="module")
def trained(arena_store: ClipStore, tmp_path_factory):
    route = get_route("captioner")
    budget = Budget.parse("6steps")
    return train_route(
        route,
        recipe="debug",
        config=route.recipes["debug"](),
        store=arena_store,
        budget=budget,
        out=tmp_path_factory.mktemp("captioner"),
        progress=False,
    )


def test_it_trains_like_a_route_and_keeps_its_words(trained, arena_store):
    loaded, card = load_model(trained.path)
    assert card.route == "captioner"
    assert {"red", "avatar", "while"} <= set(loaded.vocabulary)
    clip = arena_store.clip(0)
    assert captions_of(loaded, clip) == captions_of(trained.model, clip)


def test_clips_without_captions_get_some(trained, arena_store, tmp_path, monkeypatch):
    monkeypatch.setattr(Captioner, "caption", lambda self, video: ("a red disc",) * len(video))
    captioned = caption_store(trained.model, arena_store, tmp_path / "captioned")
    assert captioned.spec.captioned
    assert len(captioned) == len(arena_store)
    first = captioned.captions[0]
    assert [c.start for c in first] == list(range(0, arena_store.length(0) - trained.model.span + 1, 8))
    assert {(c.stop - c.start, c.text) for c in first} == {(trained.model.span, "a red disc")}


def test_agreement_by_hand():
    true = parse_caption("a large red disc falls and a small blue square rises while the avatar waits")
    said = parse_caption("a large red disc rises and a large blue box goes up while the avatar stays")
    assert dict(agreement(true, true)) == dict.fromkeys(("colour", "size", "shape", "direction", "avatar", "all"), 1.0)
    half = {"colour": 1.0, "size": 0.5, "shape": 1.0, "direction": 0.5, "avatar": 1.0, "all": 0.0}
    assert dict(agreement(said, true)) == half
    assert set(dict(agreement(None, true)).values()) == {0.0}


def test_a_captioner_that_repeats_the_truth_is_right_and_that_of_other_clips_is_not(trained, arena_store, monkeypatch):
    from threeworlds.data import Windows

    config = trained.model.config
    windows = Windows(
        arena_store, split="test", frames=config.frames, stride=config.stride, batch_size=1, columns=("caption",)
    )
    monkeypatch.setattr(Captioner, "caption", lambda self, video: windows.fixed(5, 0).caption)
    scores = score_captioner(trained.model, arena_store, items=5, seed=0)
    assert scores["all"] == 1
    assert scores["all (other clips)"] < 0.5


def test_without_captions_there_is_nothing_to_learn():
    with pytest.raises(ValueError, match="these clips have none"):
        Captioner(CaptionerConfig(), ClipSpec(height=16, width=16, fps=10))
