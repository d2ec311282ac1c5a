"""Planted cheats: each is caught by the question meant for it, and the rows say so."""

import pytest
import torch
from planted import Constant, CopyLast, Deaf, DeafOracle, Oracle, SameFilm, seat

from threeworlds.score import control, hallucination, physics, prediction, text, understanding
from threeworlds.score.exam import Exam, corrected, differences_of, rows_of
from threeworlds.types import Imagined, State
from threeworlds.worlds.arena import BACKGROUND


def judged(question, exam: Exam, cheat, metric: str):
    """(its row, verdict against each floor after the correction)."""
    measured = {m.metric: m for m in question.ask(exam, [cheat]).measured}
    row = rows_of(measured[metric], exam, [cheat])[0]
    table = corrected([d for m in measured.values() for d in differences_of(m, exam)])
    return row, {d.second: d.verdict for d in table if d.metric == metric}


def test_who_copies_the_last_frame_beats_no_floor(arena):
    row, verdicts = judged(prediction, arena, seat("copier", CopyLast()), "alone_mse_h8")
    assert row.value == pytest.approx(row.floor)
    assert verdicts["copy the last frame"] == "not separable"
    for metric in ("ssim_h8", "frechet_h8"):
        _, verdicts = judged(prediction, arena, seat("copier", CopyLast()), metric)
        assert verdicts["copy the last frame"] == "not separable"
    _, passive = judged(physics, arena, seat("copier", CopyLast()), "passive_error_h16")
    assert passive["copy the last frame"] == "not separable"


def test_who_reads_the_truth_is_above_what_its_own_pictures_allow(arena):
    """A prediction better than the model's own reconstruction is no prediction: nobody shows more than it can show."""

    class Reader(Oracle):
        def reconstruct(self, video):
            return (video + 0.1).clamp(-1, 1)

    row, _ = judged(prediction, arena, seat("reader", Reader(arena)), "psnr_h16")
    assert row.low > row.ceiling
    assert row.ceiling_name == "its own reconstruction"


def test_who_reads_the_truth_does_not_know_what_happens_when_nothing_is_done(arena):
    """It knows the film that was, not the world: told to stay, it plays the episode as it went."""

    class Replay(DeafOracle):
        def predict(self, context, frames, *, action=None, seed=0):
            known = self.video[self.items(context), 4 : 4 + frames]
            held = known[:, -1:].expand(-1, frames - known.shape[1], -1, -1, -1)
            return Imagined(video=torch.cat([known, held], dim=1))

    row, _ = judged(physics, arena, seat("reader", Replay(arena)), "passive_error_h32")
    assert row.value > 0.05


@pytest.mark.parametrize("cheat", [Deaf, DeafOracle])
@pytest.mark.parametrize("metric", ["right_code_wins", "delta4_psnr", "action_following"])
def test_who_ignores_actions_is_at_the_floor_of_control(arena, cheat, metric):
    model = cheat(arena) if cheat is DeafOracle else cheat()
    row, verdicts = judged(control, arena, seat("deaf", model), metric)
    assert row.low <= row.floor <= row.high or row.value == row.floor
    assert set(verdicts.values()) == {"not separable"}


@pytest.mark.parametrize("metric", ["position_r", "velocity_r2"])
def test_a_constant_state_tells_nothing(arena, metric):
    row, verdicts = judged(understanding, arena, seat("constant", Constant(), Constant()), metric)
    assert row.value == pytest.approx(0, abs=0.05)
    assert "first better" not in verdicts.values()


def test_a_state_that_is_the_clock_tells_nothing(arena):
    class Clock:
        def represent(self, video):
            return State(z=torch.arange(video.shape[1]).float()[None, :, None].expand(len(video), -1, 8).clone())

    row, _ = judged(understanding, arena, seat("clock", Clock(), Constant()), "position_r")
    assert row.value < 0.2


def test_one_good_film_for_every_caption_is_no_answer(arena):
    _, verdicts = judged(text, arena, seat("same", SameFilm(arena)), "direction")
    assert verdicts["shuffled captions"] == "not separable"


def test_an_empty_film_hallucinates_though_its_error_is_small(arena):
    """Background everywhere: a fair squared error, and not one body kept."""

    class Empty(CopyLast):
        def predict(self, context, frames, *, action=None, seed=0):
            colour = torch.tensor(BACKGROUND / 127.5 - 1).float()[:, None, None]
            return Imagined(video=colour.expand(len(context), frames, 3, *context.shape[-2:]))

    row, verdicts = judged(hallucination, arena, seat("empty", Empty()), "clean_fraction")
    assert row.value == 0
    assert "first better" not in verdicts.values()
