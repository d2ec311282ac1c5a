"""The genie of the zoo, played: its frames are pictures of the arena, and of what happens there."""

from pathlib import Path

import numpy as np
import pytest
import torch

from threeworlds.train import load_model
from threeworlds.worlds import WORLDS, collect

KEPT = Path(__file__).parents[2] / "zoo" / "arena-genie-base"
GIVEN, STEPS = 4, 6


@pytest.fixture(scope="module")
def played() -> tuple[np.ndarray, np.ndarray]:
    """Frames under the codes of true clips, after the given ones, and the true frames: each [n, t, h, w, 3]."""
    model, card = load_model(KEPT)
    world, made, true = model.as_world(), [], []
    for clip in collect("arena", episodes=6, seed=77, workers=1, steps=GIVEN + STEPS, size=card.spec.height):
        video = torch.from_numpy(clip.video).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
        codes = model.infer_codes(video)[0, GIVEN - 1 :].tolist()
        world.reset(seed=0, options={"video": clip.video[:GIVEN]})
        made.append(np.stack([world.step(code)[0] for code in codes]))
        true.append(clip.video[GIVEN - 1 :])
    return np.stack(made), np.stack(true)


def psnr(frames: np.ndarray, truth: np.ndarray) -> float:
    """Decibels, the mean over frames."""
    error = ((frames.astype(float) - truth) / 255) ** 2
    return float((-10 * np.log10(error.mean((2, 3, 4)))).mean())


def test_the_frames_are_near_the_true_ones(played: tuple[np.ndarray, np.ndarray]) -> None:
    made, true = played
    copied, other = np.repeat(true[:, :1], STEPS, axis=1), np.roll(true[:, 1:], 1, axis=0)
    assert psnr(made, true[:, 1:]) > 18
    assert psnr(made, true[:, 1:]) > psnr(copied, true[:, 1:]) + 2
    assert psnr(made, true[:, 1:]) > psnr(made, other) + 4  # it is this clip, and no mean of all


def test_the_avatar_is_seen_where_it_should_be(played: tuple[np.ndarray, np.ndarray]) -> None:
    locate = WORLDS["arena"].locate
    here, there = (locate(frames.reshape(-1, *frames.shape[2:]))["avatar"] for frames in (played[0], played[1][:, 1:]))
    assert (np.linalg.norm(here - there, axis=1) < 0.1).mean() > 0.9  # of the box; one that is gone is nowhere
