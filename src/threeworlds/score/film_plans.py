"""Plans from models that were not made to plan: what they draw is searched, and labelled steps turn it into actions.

- genie: sequences of codes are played in the dream; the one whose frames come nearest to the goal picture is taken, and
  each code means the mean action of the labelled steps that had it.
- sora: a film is drawn from now to the goal, and a small network, fitted on labelled steps, reads the actions off it
  (video as a plan: UniPi, arXiv 2302.00111).

Legend: n episodes, m candidates, t steps, a action size.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.score.exam import Entrant, Exam
from threeworlds.types import Connects, Plays, Predicts

LABELLED = 1000  # steps with true actions, in all
HELD = 5  # steps of a plan
CANDIDATES = 8  # code sequences tried: each code held, then as many that change in the middle; the dream is dear
SCALES = (1, 4, 16, 32)  # pixels a side of the cells whose means are compared
STEPS, BATCH, LEARNING_RATE = 300, 32, 5e-3  # of fitting the inverse dynamics

Decide = Callable[[Tensor, Tensor], Tensor]  # frames [n, 2, c, h, w] and goals [n, c, h, w] -> actions [n, t, a]


def film_planner(entrant: Entrant, exam: Exam) -> Decide | None:
    """How this model can be made to plan; None where it cannot."""
    if isinstance(entrant.model, Connects):
        return by_film(entrant, exam)
    if isinstance(entrant.model, Plays) and isinstance(entrant.model, Predicts):
        return by_codes(entrant, exam)
    return None


def by_codes(entrant: Entrant, exam: Exam) -> Decide:
    """Play every candidate in the dream, and take the one that comes nearest to the goal."""
    model, decisions = entrant.model, 0
    meaning, candidates = mean_actions(entrant, exam), code_plans(model.n_codes)

    def decide(frames: Tensor, goals: Tensor) -> Tensor:
        nonlocal decisions
        decisions += 1
        n, m = len(frames), len(candidates)
        led_here = model.infer_codes(frames).repeat_interleave(m, 0)
        codes = torch.cat([led_here, candidates.repeat(n, 1)], dim=1)
        film = model.predict(frames.repeat_interleave(m, 0), HELD, action=codes, seed=exam.seed + decisions).video
        away = picture_distance(film, goals.repeat_interleave(m, 0)[:, None]).sum(1).view(n, m)
        return meaning[candidates[away.argmin(1)]]

    return decide


def by_film(entrant: Entrant, exam: Exam) -> Decide:
    """Draw the way to the goal, and read the actions off it."""
    decisions, read = 0, fit_inverse(exam)

    @torch.no_grad()
    def decide(frames: Tensor, goals: Tensor) -> Tensor:
        nonlocal decisions
        decisions += 1
        drawn = entrant.model.connect(frames, goals, seed=exam.seed + decisions).video
        film = torch.cat([frames[:, -1:], drawn, goals[:, None]], dim=1)[:, : HELD + 1]
        n, steps = len(film), film.shape[1] - 1
        return read(film[:, :-1].flatten(0, 1), film[:, 1:].flatten(0, 1)).view(n, steps, -1)

    return decide


def labelled(exam: Exam) -> tuple[Tensor, Tensor]:
    """Training windows with LABELLED steps: video [k, t, c, h, w] and actions [k, t - 1, a]."""
    assert exam.train.video is not None and exam.train.action is not None
    windows = -(-LABELLED // exam.train.action.shape[1])
    return exam.train.video[:windows], exam.train.action[:windows]


def mean_actions(entrant: Entrant, exam: Exam) -> Tensor:
    """What each code stands for, [codes, a]: the mean action of its labelled steps; zero where there is none."""
    video, action = labelled(exam)
    which = F.one_hot(entrant.model.infer_codes(video).flatten(), entrant.model.n_codes).float()
    return (which.T @ action.flatten(0, 1)) / which.sum(0).clamp_min(1)[:, None]


def code_plans(codes: int) -> Tensor:
    """Candidates, int64 [m, HELD]: each code held, then pairs of codes, at most CANDIDATES."""
    held = [(code, code) for code in range(codes)]
    mixed = [(first, then) for first, then in product(range(codes), repeat=2) if first != then]
    chosen = (held + mixed)[: max(CANDIDATES, codes)]
    return torch.tensor([[first] * (HELD // 2) + [then] * (HELD - HELD // 2) for first, then in chosen])


def picture_distance(video: Tensor, goal: Tensor) -> Tensor:
    """Squared difference of cells' means over scales, [..., c, h, w] -> [...]; a body counts as much at each scale.

    Coarse scales tell how far a small body is from where it should be, where fine ones only tell that it is not there.
    """
    difference, away = (video - goal).flatten(0, -4), torch.zeros(())
    for scale in (min(scale, *video.shape[-2:]) for scale in SCALES):
        away = away + scale**2 * F.avg_pool2d(difference, scale).square().mean((1, 2, 3))
    return away.view(video.shape[:-3])


class InverseDynamics(nn.Module):
    """Two frames -> the action between them.

    It looks where each of a few maps is brightest on the mean (spatial softmax, arXiv 1504.00702), so that the way of a
    small body counts and not its pixels: far fewer labels are needed.
    """

    def __init__(self, actions: int, maps: int = 8) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(3, 16, 4, 2, 1), nn.SiLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.SiLU(), nn.Conv2d(16, maps, 1)
        )
        self.sharpness = nn.Parameter(torch.ones(()))  # log
        self.read = nn.Sequential(nn.Linear(4 * maps, 64), nn.SiLU(), nn.Linear(64, actions), nn.Tanh())

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Frames [b, c, h, w] each -> actions [b, a] in [-1, 1]."""
        first, then = self.places(before), self.places(after)
        moved = 10 * (then - first)  # about as wide as places are: a step is a tenth of the frame or less
        read: Tensor = self.read(torch.cat([then, moved], dim=-1))
        return read

    def places(self, frames: Tensor) -> Tensor:
        """The mean place of each map, [b, 2 maps]: x and y from -1 to 1."""
        maps = self.sharpness.exp() * self.look(frames)
        y, x = (torch.linspace(-1, 1, size) for size in maps.shape[-2:])
        weight = maps.flatten(2).softmax(-1).view_as(maps)
        return torch.cat([(weight.sum(2) * x).sum(-1), (weight.sum(3) * y).sum(-1)], dim=-1)


def fit_inverse(exam: Exam) -> InverseDynamics:
    """Inverse dynamics from labelled steps alone."""
    video, action = labelled(exam)
    before, after = video[:, :-1].flatten(0, 1), video[:, 1:].flatten(0, 1)
    actions = action.flatten(0, 1).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(exam.seed)
        net = InverseDynamics(actions.shape[1])
        optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE)
        decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, STEPS)
        for _ in range(STEPS):
            some = torch.randint(len(before), (BATCH,))
            loss = F.mse_loss(net(before[some], after[some]), actions[some])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            decay.step()
    return net.eval()
