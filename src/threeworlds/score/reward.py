"""Reward: what does the model's own actor earn at the world's task, from pictures alone?

It acts in the true world from starts that nobody trained on. A return is the mean reward of a step. Floors are a random
policy and one that stays; the ceiling is the expert, who sees the state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from threeworlds.score.exam import Answers, Entrant, Exam, Measured
from threeworlds.score.imitation import EPISODES, Act, Trial, as_float
from threeworlds.types import Earns

VERSION = "1"


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """The return of everyone who acts for a reward."""
    able = [e for e in entrants if isinstance(e.model, Earns) and e.model.can_earn]
    absent = {
        e.route: "learns no actor for a reward: jepa with recipe `reward` does" for e in entrants if e not in able
    }
    if exam.world is None or exam.world.task is None:
        why = dict.fromkeys((e.route for e in entrants), "no task with a return in these clips")
        return Answers(measured=(_measured("no task", {}, {}, {}, why),))
    trial = Trial(exam.world, exam.world.task, exam)
    floors = {"random policy": trial.act(trial.random()), "stay policy": trial.act(_stay)}
    earned = {e.route: trial.act(by_actor(e)) for e in able}
    told = exam.world.task.told
    return Answers(measured=(_measured(told, earned, floors, {"the expert": trial.act(trial.expert())}, absent),))


def by_actor(entrant: Entrant) -> Act:
    """What the model's actor does on seeing the last two frames, uint8 [n, 2, h, w, 3]."""
    return lambda frames, _: entrant.model.earn(as_float(torch.from_numpy(frames).movedim(-1, 2))).numpy()


def _stay(frames: np.ndarray, states: np.ndarray) -> np.ndarray:
    return np.zeros(len(states), np.int64)


def _measured(
    told: str,
    values: dict[str, np.ndarray],
    floors: dict[str, np.ndarray],
    ceilings: dict[str, np.ndarray],
    absent: dict[str, str],
) -> Measured:
    return Measured(
        question="reward",
        metric="return",
        unit="reward a step",
        direction="higher",
        protocol=f"the model's actor, from pictures, {EPISODES} episodes in the true world: {told}",
        values=values,
        floors=floors,
        ceilings=ceilings,
        absent=absent,
        windows=False,
    )
