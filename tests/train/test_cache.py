"""What frozen parts make of the clips once: for which episodes, at what cost, and the same after a crash."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_loop import one_stage
from test_resume import cut, results
from toy_route import train_toy

from threeworlds.data import ClipStore
from threeworlds.train.cache import INDEX, MOST, Cache, episode_order, open_or_make
from threeworlds.train.optim import build_optimizer
from threeworlds.types import Batch, Stage

FRAME = 2.0 * 768  # FLOPs of `deep` a frame


def deep(video: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"deep": video.flatten(2) @ torch.ones(768, 1)}


def make(store: ClipStore, folder: Path, budget: float, **options: object) -> Cache:
    stage = Stage(name="x", module=torch.nn.Linear(1, 1), share=1.0, frames=4, batch_size=2, cache=deep)
    made = open_or_make(
        folder / "cache", stage, store, device=torch.device("cpu"), spent=lambda flops: flops / budget, **options
    )
    assert made is not None
    return made


def test_all_but_the_test_episodes_where_the_budget_is_large(store: ClipStore, tmp_path: Path) -> None:
    made = make(store, tmp_path, 1e12)
    assert set(made.episodes) == {*store.split("train"), *store.split("val")}
    assert made.flops == FRAME * store.lengths[made.episodes].sum()
    for episode in made.episodes:
        frames = store.video(int(episode)).astype(np.float32).reshape(store.length(int(episode)), -1)
        start = store.offset(int(episode))
        ours = made.arrays["deep"][start : start + len(frames), 0]
        np.testing.assert_allclose(ours, (frames * 2 / 255 - 1).sum(1), rtol=1e-3, atol=0.02)


def test_a_third_of_a_small_budget_and_validation_first(store: ClipStore, tmp_path: Path) -> None:
    budget = FRAME * 12 * 30
    made = make(store, tmp_path, budget)
    assert MOST * budget <= made.flops < MOST * budget + FRAME * 13
    assert 4 < len(made.episodes) < 15
    assert set(made.episodes[:4]) == set(store.split("val"))
    assert made.episodes.tolist() == episode_order(store, 4, 0)[: len(made.episodes)]


def test_never_too_few_to_choose_by_and_to_fill_a_batch(store: ClipStore, tmp_path: Path) -> None:
    assert len(make(store, tmp_path, 1.0).episodes) == len(store.split("val")) + 2


def test_another_seed_takes_others(store: ClipStore) -> None:
    assert episode_order(store, 2, 0) != episode_order(store, 2, 1)
    assert sorted(episode_order(store, 2, 0)) == sorted(episode_order(store, 2, 1))


def test_the_count_decides_where_it_is_given(store: ClipStore, tmp_path: Path) -> None:
    assert len(make(store, tmp_path, 1.0, count=9).episodes) == 9


def test_what_is_there_is_opened_and_still_has_its_cost(store: ClipStore, tmp_path: Path) -> None:
    first, second = make(store, tmp_path, 1e12), make(store, tmp_path, 1.0)
    assert first.flops == second.flops
    assert first.episodes.tolist() == second.episodes.tolist()


def test_a_small_budget_leaves_most_of_itself_to_training(store: ClipStore, out: Path) -> None:
    """The budget would pay for a third of the episodes and no step, if all were made."""
    budget = FRAME * store.total_frames / 3
    seen = []

    def error(batch: Batch) -> float:
        torch.testing.assert_close(batch.cached["deep"], deep(batch.video)["deep"])
        seen.append(len(batch.video))
        return 0.0

    route = one_stage(columns=("video", "deep"), batch_size=2, cache=deep, rollout_error=error)
    run = train_toy(store, out, route=route, budget=f"{budget:.0f}flops")
    assert run.total.steps > 20
    assert run.total.unique_clips < len(store) / 2
    assert seen


@pytest.mark.parametrize("stage", ["01-dynamics", "02-head"])
def test_a_lost_cache_is_made_again_for_as_many_episodes(store: ClipStore, out: Path, tmp_path: Path, stage) -> None:
    """A budget in FLOPs that pays for some of the episodes: the same bytes after the cache is lost and made again."""
    small = {"budget": "3e7flops", "every": "4steps"}
    whole = train_toy(store, out, **small)
    assert whole.ledger["dynamics"].unique_clips < len(store.split("train"))
    copy = Path(shutil.copytree(whole.path, tmp_path / "copy"))
    cut(copy, stage)
    again = train_toy(store, copy, resume=True, **small)
    assert results(copy) == results(whole.path)
    assert again.total.flops == whole.total.flops


def test_stopped_after_caching_and_before_the_first_checkpoint(
    store: ClipStore, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is there, no checkpoint of its stage is: what it cost counts all the same."""
    small, stages = {"budget": "3e7flops"}, iter(("autoencoder", "dynamics"))

    def stop(*given: Any) -> Any:
        if next(stages) == "dynamics":
            raise KeyboardInterrupt
        return build_optimizer(*given)

    monkeypatch.setattr("threeworlds.train.loop.build_optimizer", stop)
    with pytest.raises(KeyboardInterrupt):
        train_toy(store, out, **small)
    monkeypatch.undo()
    assert (out / "01-dynamics" / "cache" / INDEX).exists()
    stopped = train_toy(store, out, resume=True, **small)
    whole = train_toy(store, tmp_path / "whole", **small)
    assert results(out) == results(whole.path)
    assert stopped.total.flops == whole.total.flops
