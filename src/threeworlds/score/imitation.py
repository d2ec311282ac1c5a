"""Imitation from video: a policy from unlabelled films of an expert, and a few labelled steps.

The model names what happens in the films by its latent actions; a small policy learns to choose them from pictures; a
few steps with true actions say what they mean; then it acts in the true world (Genie, arXiv 2402.15391, appendix E).
The oracle is the same policy, learnt from the same films with every true action known.

Legend: n episodes, t frames, m labelled steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.score.code_names import count
from threeworlds.score.exam import EXAM_SEEDS, Answers, Entrant, Exam, Measured
from threeworlds.types import Plays
from threeworlds.worlds import World, collect
from threeworlds.worlds.base import Task

VERSION = "1"
LABELS = (10, 50, 200, 1000)  # steps with true actions
DEMONSTRATIONS = 300  # episodes of the expert on film
SEEDS = 3  # policies of each kind; each with labelled steps of its own
EPISODES = 100  # acted, the same starts for all
STEPS, BATCH, LEARNING_RATE = 600, 128, 2e-3

Act = Callable[[np.ndarray, np.ndarray], np.ndarray]  # frames before and now, states -> actions [n]


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Return of the policy from video, as a part of the oracle's, by number of labelled steps."""
    able = [e for e in entrants if isinstance(e.model, Plays)]
    absent = {e.route: "learns no latent actions, by design" for e in entrants if e not in able}
    if exam.world is None or exam.world.task is None:
        why = {e.route: "no task with a return in these clips" for e in able}
        return Answers(measured=(_measured(LABELS[0], "", {}, {}, {}, {**why, **absent}),))
    stage = Stage(exam.world, exam.world.task, exam)
    oracle = stage.oracle()
    reached = {name: stage.act(act) for name, act in (("random", stage.random()), ("expert", stage.expert()))}
    pupils = {e.route: stage.pupil(e) for e in able}
    told = f"{stage.task.told}; the oracle does so in {oracle.mean():.2f} of the steps"
    return Answers(
        measured=tuple(
            _measured(
                labels,
                told,
                {route: (returns[labels], oracle) for route, returns in pupils.items()},
                {"random policy": (reached["random"], oracle)},
                {"the expert": (reached["expert"], oracle)},
                absent,
            )
            for labels in LABELS
        )
    )


class Trial:
    """The true world to act in, from the same starts for all."""

    def __init__(self, world: World, task: Task, exam: Exam) -> None:
        self.world, self.task, self.seed, self.size = world, task, exam.seed, exam.spec.height
        starts = self._collect(EPISODES, EXAM_SEEDS + exam.seed + 3, steps=2)
        self.starts = np.stack([clip.state[0] for clip in starts if clip.state is not None])

    def random(self) -> Act:
        """Any action."""
        rng = np.random.default_rng(self.seed)
        return lambda _, states: rng.integers(self.world.action.size, size=len(states))

    def expert(self) -> Act:
        """Who is seen in the films; it looks at the state."""
        rng = np.random.default_rng(self.seed)
        experts = [self.world.policy(self.task.policy, rng) for _ in self.starts]
        return lambda _, states: np.array([expert(state) for expert, state in zip(experts, states, strict=True)])

    def act(self, policy: Act) -> np.ndarray:
        """Mean reward of a step in each episode, [n]."""
        simulators = [self.world.simulator(**self.task.options) for _ in self.starts]
        for simulator, state in zip(simulators, self.starts, strict=True):
            simulator.load(state)
        states = self.starts
        before = now = self.world.render(states, self.size)
        rewards = []
        for _ in range(self.world.steps - 1):
            actions = policy(np.stack([before, now], axis=1), states)
            states = np.stack([s.step(int(a)) for s, a in zip(simulators, actions, strict=True)])
            before, now = now, self.world.render(states, self.size)
            rewards.append(self.task.reward(states))
        return np.mean(rewards, axis=0)

    def _collect(self, episodes: int, seed: int, steps: int | None = None) -> list[Any]:
        made = collect(
            self.world.name,
            episodes=episodes,
            seed=seed,
            size=self.size,
            steps=steps,
            policies=(self.task.policy,),
            **self.task.options,
        )
        return list(islice(made, episodes))


class Stage(Trial):
    """A trial, and the expert's films."""

    def __init__(self, world: World, task: Task, exam: Exam) -> None:
        super().__init__(world, task, exam)
        films = self._collect(DEMONSTRATIONS, EXAM_SEEDS + exam.seed + 2)
        self.video = torch.from_numpy(np.stack([clip.video for clip in films])).movedim(-1, 2)  # uint8 [n, t, c, h, w]
        self.action = np.stack([clip.action for clip in films if clip.action is not None])

    def oracle(self) -> np.ndarray:
        """Return of the policy that was told every action, mean over seeds, [n]."""
        returns = []
        for seed in range(SEEDS):
            policy = clone(self.video, self.action, self.world.action.size, seed)
            returns.append(self.act(greedy(policy)))
        return np.mean(returns, axis=0)

    def pupil(self, entrant: Entrant) -> dict[int, np.ndarray]:
        """Return of the policy that was told the actions of a few steps: by their number, mean over seeds, [n]."""
        codes = np.concatenate([entrant.model.infer_codes(as_float(part)).numpy() for part in self.video.split(50)])
        returns: dict[int, list[np.ndarray]] = {labels: [] for labels in LABELS}
        for seed in range(SEEDS):
            policy = clone(self.video, codes, entrant.model.n_codes, seed)
            order = np.random.default_rng([self.seed, seed]).permutation(codes.size)
            for labels in LABELS:
                known = order[:labels]
                table = count(codes.flat[known], self.action.flat[known], entrant.model.n_codes, self.world.action.size)
                returns[labels].append(self.act(through_codes(policy, table)))
        return {labels: np.mean(found, axis=0) for labels, found in returns.items()}


class Policy(nn.Sequential):
    """Two frames laid upon each other, [b, 6, h, w] in [-1, 1] -> scores of each label [b, labels]."""

    def __init__(self, size: int, labels: int) -> None:
        super().__init__(
            nn.Conv2d(6, 16, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(16, 32, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(32, 64, 4, 2, 1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(64 * (size // 8) ** 2, 128),
            nn.SiLU(),
            nn.Linear(128, labels),
        )


def clone(video: Tensor, labels: np.ndarray, kinds: int, seed: int) -> Policy:
    """Behaviour cloning: frames uint8 [n, t, c, h, w] up to t -> the label of step t, of labels [n, t - 1]."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        policy = Policy(video.shape[-1], kinds).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(policy.parameters(), lr=LEARNING_RATE)
        decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, STEPS)
        target = torch.from_numpy(labels)
        for _ in range(STEPS):
            episode, step = torch.randint(len(video), (BATCH,)), torch.randint(target.shape[1], (BATCH,))
            pairs = torch.stack([video[episode, (step - 1).clamp_min(0)], video[episode, step]], dim=1)
            loss = F.cross_entropy(policy(as_input(pairs)), target[episode, step])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            decay.step()
    return policy.eval()


def greedy(policy: Policy) -> Act:
    """The likeliest label, as it is."""
    return lambda frames, _: scores(policy, frames).argmax(-1).numpy()


def through_codes(policy: Policy, table: np.ndarray) -> Act:
    """Act by p(action) = sum over codes of p(code) p(action | code); counts [codes, actions] of labelled steps."""
    meaning = torch.from_numpy(table / np.maximum(table.sum(1, keepdims=True), 1)).float()
    return lambda frames, _: (scores(policy, frames).softmax(-1) @ meaning).argmax(-1).numpy()


@torch.no_grad()
def scores(policy: Policy, frames: np.ndarray) -> Tensor:
    """Frames before and now, uint8 [n, 2, h, w, 3] -> scores [n, labels]."""
    found: Tensor = policy(as_input(torch.from_numpy(frames).movedim(-1, 2)))
    return found


def as_input(pairs: Tensor) -> Tensor:
    """uint8 [b, 2, c, h, w] -> float [b, 2 c, h, w] in [-1, 1]."""
    return as_float(pairs).flatten(1, 2).contiguous(memory_format=torch.channels_last)


def as_float(video: Tensor) -> Tensor:
    """uint8 -> float in [-1, 1]."""
    return video.float() / 127.5 - 1


def ratio(returns: np.ndarray, oracle: np.ndarray) -> float:
    """Of mean returns."""
    return float(returns.mean() / oracle.mean())


def _measured(labels: int, told: str, values: Any, floors: Any, ceilings: Any, absent: Mapping[str, str]) -> Measured:
    return Measured(
        question="imitation",
        metric=f"return_ratio_{labels}",
        unit="of the oracle's return",
        direction="higher",
        protocol=(
            f"a policy on latent actions from {DEMONSTRATIONS} films of an expert, {labels} labelled steps, {SEEDS} "
            f"seeds, {EPISODES} episodes; oracle: the same with every action known. {told}"
        ),
        values=values,
        floors=floors,
        ceilings=ceilings,
        absent=absent,
        statistic=ratio,
        windows=False,
    )
