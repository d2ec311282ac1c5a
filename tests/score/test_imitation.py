"""Imitation: codes that are the actions under other names reach the oracle; codes that say nothing do not."""

import numpy as np
import pytest
import torch
from planted import Watcher, make_exam, seat
from scipy.spatial import cKDTree

from threeworlds.score import imitation
from threeworlds.score.exam import rows_of
from threeworlds.worlds import WORLDS, collect


class Blind(Watcher):
    """Codes at random."""

    def infer_codes(self, video):
        return torch.randint(5, (len(video), video.shape[1] - 1), generator=torch.Generator().manual_seed(0))


class Neighbours(torch.nn.Module):
    """Needs no training: labels of the demonstrations in which the shape lay most alike from the avatar."""

    def __init__(self, video, labels, kinds, seed):
        super().__init__()
        self.tree = cKDTree(offsets(video[:, :-1].flatten(0, 1)))
        self.labels, self.kinds = labels.ravel(), kinds

    def forward(self, x):
        now = ((x[:, 3:] + 1) * 127.5).round().byte()
        nearest = self.labels[self.tree.query(offsets(now), k=9)[1]]
        return torch.from_numpy((nearest[..., None] == np.arange(self.kinds)).mean(1)).float().log()


def offsets(frames):
    """Shape less avatar, [n, 2], in frames uint8 [n, c, h, w]."""
    places = WORLDS["arena"].locate(frames.movedim(1, -1).numpy())
    avatar, *shapes = places.values()
    return np.nan_to_num(np.nanmax(np.nan_to_num(np.stack(shapes), nan=-1), axis=0) - avatar)


@pytest.fixture
def few(monkeypatch):
    for name, value in {"DEMONSTRATIONS": 60, "SEEDS": 1, "EPISODES": 30, "LABELS": (10, 1000)}.items():
        monkeypatch.setattr(imitation, name, value)
    monkeypatch.setattr(imitation, "clone", Neighbours)


def test_codes_reach_the_oracle_with_enough_labels_and_noise_does_not(few):
    exam = make_exam("arena", items=3)
    entrants = [seat("genie", Watcher()), seat("jepa", object())]
    answers = imitation.ask(exam, entrants)
    found = {(r.route, r.metric): r for m in answers.measured for r in rows_of(m, exam, entrants)}
    many = found["genie", "return_ratio_1000"]
    assert many.value > 0.85
    assert many.floor < 0.5 < many.ceiling
    assert many.value >= found["genie", "return_ratio_10"].value - 0.1
    assert found["jepa", "return_ratio_10"].status == "not_applicable"
    blind = imitation.ask(exam, [seat("genie", Blind())]).measured[-1]
    assert rows_of(blind, exam, [seat("genie", Blind())])[0].value < 0.6


def test_cloning_learns_what_the_pictures_tell(monkeypatch):
    """The label is whether the picture is bright."""
    monkeypatch.setattr(imitation, "STEPS", 60)
    bright = np.random.default_rng(0).integers(2, size=(40, 6))
    video = torch.from_numpy(np.where(bright, 200, 30).astype(np.uint8))[:, :, None, None, None].repeat(1, 1, 3, 8, 8)
    first, again = (imitation.clone(video, bright[:, :-1], 2, 0) for _ in range(2))
    frames = video[:, 2:4].movedim(2, -1).numpy()
    found = imitation.scores(first, frames)
    assert (found.argmax(-1).numpy() == bright[:, 3]).all()
    assert torch.equal(found, imitation.scores(again, frames))  # by its seed


def test_a_policy_acts_by_the_total_probability_over_codes():
    table = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 2]])  # code 1 was never labelled

    class Fixed(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([[0.5, 0.1, 0.4], [0.3, 0.3, 0.4], [0.0, 1.0, 0.0]]).log()

    frames = np.zeros((3, 2, 8, 8, 3), np.uint8)
    # p(action): [.375, .125, .4] -> 2; [.225, .075, .4] -> 2; nothing known -> the first
    assert imitation.through_codes(Fixed(), table)(frames, np.zeros(3)).tolist() == [2, 2, 0]


def test_the_task_is_done_by_its_expert_and_paid_at_the_shape():
    task = WORLDS["arena"].task
    clips = list(collect("arena", episodes=20, seed=0, policies=(task.policy,), **task.options))
    wanders = list(collect("arena", episodes=20, seed=0, policies=("wander",), **task.options))
    paid = [np.mean([task.reward(clip.state).mean() for clip in some]) for some in (clips, wanders)]
    assert paid[0] > 2 * paid[1]
    state = clips[0].state[0].copy()
    state[:2] = state[4:6]  # the avatar on the shape
    assert task.reward(state) == 1


def test_a_world_without_a_task_is_not_asked():
    exam = make_exam("motion", items=2)
    (row,) = rows_of(imitation.ask(exam, [seat("genie", Watcher())]).measured[0], exam, [seat("genie", Watcher())])
    assert row.reason == "no task with a return in these clips"


def test_a_ratio_is_one_of_mean_returns():
    assert imitation.ratio(np.array([1.0, 0.0]), np.array([0.5, 0.75])) == pytest.approx(0.8)
