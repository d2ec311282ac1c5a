"""Entrants whose right score is known beforehand: oracles that look the truth up, and cheats that must be caught.

Legend: n items, k given frames, t frames, h height, w width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from threeworlds.score.exam import GIVEN, Entrant, Exam
from threeworlds.types import Batch, Clip, Imagined, Plan, Prompt, State
from threeworlds.worlds import WORLDS, collect
from threeworlds.worlds.rooms import FIXED, expert_action, locate


def make_exam(world: str, *, items: int, frames: int = 20, seed: int = 0, size: int | None = None) -> Exam:
    """An exam on the openings of made episodes: ``items`` held-out ones, and as many for probes and code maps."""
    clips = list(collect(world, episodes=2 * items, seed=seed, size=size, steps=frames))
    test, train = batch_of(clips[:items]), batch_of(clips[items:])
    spec = WORLDS[world].spec(size)
    return Exam(spec=spec, world=WORLDS[world], test=test, train=train, seed=seed, opening=opening_of(test))


def batch_of(clips: Sequence[Clip]) -> Batch:
    video = torch.from_numpy(np.stack([clip.video for clip in clips])).movedim(-1, 2).float() / 127.5 - 1
    action = None if clips[0].action is None else torch.from_numpy(np.stack([clip.action for clip in clips]))
    state = torch.from_numpy(np.stack([clip.state for clip in clips]))
    captions = tuple(clip.captions[0].text if clip.captions else "" for clip in clips)
    return Batch(video=video, action=action, state=state, caption=captions)


def opening_of(batch: Batch) -> Batch | None:
    return replace(batch, video=batch.video[:, :16]) if batch.caption[0] else None


def seat(route: str, model: object, untrained: object = None) -> Entrant:
    return Entrant(route=route, model=model, untrained=untrained, checkpoint=f"{route}-planted")


class Memory:
    """Finds the item that given frames [n, k, c, h, w] belong to, in either split."""

    def __init__(self, exam: Exam) -> None:
        self.exam = exam
        self.video = torch.cat([exam.test.video, exam.train.video])
        self.state = None if exam.test.state is None else torch.cat([exam.test.state, exam.train.state])
        self.action = None if exam.test.action is None else torch.cat([exam.test.action, exam.train.action])
        self.place = {item[:GIVEN].numpy().tobytes(): i for i, item in enumerate(self.video)}

    def items(self, video: Tensor) -> list[int]:
        return [self.place[item[:GIVEN].numpy().tobytes()] for item in video]


# ------------------------------------------------------------------------------------- prediction


class CopyLast:
    """Predicts that nothing moves."""

    control = "none"

    def predict(self, context: Tensor, frames: int, *, action: Tensor | None = None, seed: int = 0) -> Imagined:
        return Imagined(video=context[:, -1:].expand(-1, frames, -1, -1, -1))


class Oracle(Memory):
    """Reads the answer, and shows it without loss."""

    control = "none"

    def predict(self, context: Tensor, frames: int, *, action: Tensor | None = None, seed: int = 0) -> Imagined:
        return Imagined(video=self.video[self.items(context), GIVEN : GIVEN + frames])

    def reconstruct(self, video: Tensor) -> Tensor:
        return video


class Fader(Oracle):
    """Reconstructs each frame a little worse than the one before: frame t is off by 0.01 t, towards grey."""

    def reconstruct(self, video: Tensor) -> Tensor:
        off = 0.01 * torch.arange(video.shape[1])[:, None, None, None]
        return video - off * torch.where(video > 0, 1, -1)


# ---------------------------------------------------------------------------------------- control


class Player(Memory):
    """The world itself behind the interface of a model: it simulates the actions it is given, or stays."""

    control = "action"

    def predict(self, context: Tensor, frames: int, *, action: Tensor | None = None, seed: int = 0) -> Imagined:
        told = torch.zeros(len(context), GIVEN - 1 + frames, dtype=torch.long) if action is None else action
        pairs = zip(self.items(context), self.meaning(told)[:, GIVEN - 1 :], strict=True)
        return Imagined(video=torch.stack([self.simulate(item, steps) for item, steps in pairs]))

    def simulate(self, item: int, actions: Tensor) -> Tensor:
        world = self.exam.world
        simulator = world.simulator()
        simulator.load(self.state[item, GIVEN - 1].numpy())
        states = np.stack([simulator.step(int(a)) for a in actions])
        return torch.from_numpy(world.render(states, self.exam.spec.height)).movedim(-1, 1).float() / 127.5 - 1

    def meaning(self, told: Tensor) -> Tensor:
        return told


class CodePlayer(Player):
    """The same, played by latent actions: two codes for each true action, in an order of its own."""

    control = "code"
    n_codes = 10

    def __init__(self, exam: Exam) -> None:
        super().__init__(exam)
        self.codes = torch.randperm(self.n_codes, generator=torch.Generator().manual_seed(3))
        self.actions = torch.argsort(self.codes) % 5  # code -> action

    def infer_codes(self, video: Tensor) -> Tensor:
        action = self.action[self.items(video), : video.shape[1] - 1]
        half = torch.arange(action.numel()).reshape(action.shape) % 2
        return self.codes[action + 5 * half]

    def meaning(self, told: Tensor) -> Tensor:
        return self.actions[told]


class Watcher:
    """Sees by how much the avatar moved, and names the move by a code of its own."""

    n_codes = 5
    order = torch.tensor([3, 1, 4, 0, 2])

    def infer_codes(self, video):
        world = WORLDS["arena"]
        frames = ((video + 1) * 127.5).round().byte().movedim(2, -1).numpy()
        place = world.locate(frames.reshape(-1, *frames.shape[2:]))["avatar"].reshape(*frames.shape[:2], 2)
        moved = np.nan_to_num(np.diff(place, axis=1))
        axis = np.abs(moved).argmax(-1)
        along = np.take_along_axis(moved, axis[..., None], -1)[..., 0]
        action = np.where(
            np.abs(along) < 0.03, 0, np.where(axis == 0, np.where(along < 0, 1, 2), np.where(along > 0, 3, 4))
        )
        return self.order[torch.from_numpy(action)]


class Deaf(CopyLast):
    """Takes actions and ignores them."""

    control = "action"


class DeafOracle(Oracle):
    """Sees the future, whatever it is told: perfect pictures, no control."""

    control = "action"


class OneCode(CopyLast):
    """A latent action model that has collapsed."""

    control = "code"
    n_codes = 10

    def infer_codes(self, video: Tensor) -> Tensor:
        return torch.full((video.shape[0], video.shape[1] - 1), 7)


# ---------------------------------------------------------------------------------- understanding


class Knower(Memory):
    """Its state is the true state, turned and shifted: a linear map recovers it."""

    def represent(self, video: Tensor) -> State:
        known = self.state.nan_to_num(0.0)
        z = ((known - known.mean((0, 1))) / (known.std((0, 1)) + 1e-6))[self.items(video), : video.shape[1]]
        turn = torch.linalg.qr(torch.randn(*[z.shape[-1]] * 2, generator=torch.Generator().manual_seed(0)))[0]
        return State(z=z @ turn + 5)


class Seer(Knower):
    """Knows the states to come as well, if it is told the actions that led to them; else it sees none."""

    def imagine(self, context: Tensor, frames: int, action: Tensor | None = None) -> State:
        items = self.items(context)
        right = (self.action[items][:, : GIVEN - 1 + frames] == action).all(1)
        future = self.represent(self.video[items]).z[:, GIVEN : GIVEN + frames]
        return State(z=future * right[:, None, None])


class Constant:
    """Its state says nothing."""

    def represent(self, video: Tensor) -> State:
        return State(z=torch.full((*video.shape[:2], 8), 0.3))


class Noise:
    """Its state has nothing to do with the frames."""

    def represent(self, video: Tensor) -> State:
        generator = torch.Generator().manual_seed(int(video.sum().abs()))
        return State(z=torch.randn(*video.shape[:2], 8, generator=generator))


# ------------------------------------------------------------------------------------------- text


class Storyteller:
    """Knows the true clip of each caption; ``shift`` makes it tell the next caption's, or a later one's."""

    def __init__(self, exam: Exam, shift: int = 0) -> None:
        self.video = exam.opening.video.roll(-shift, 0)
        self.place = {caption: i for i, caption in enumerate(exam.opening.caption)}

    def generate(self, prompt: Prompt, *, seed: int) -> Imagined:
        return Imagined(video=self.video[[self.place[caption] for caption in prompt.caption], : prompt.frames])


class SameFilm(Storyteller):
    """One good film for every caption."""

    def generate(self, prompt: Prompt, *, seed: int) -> Imagined:
        return Imagined(video=self.video[:1, : prompt.frames].expand(len(prompt.caption), -1, -1, -1, -1))


# --------------------------------------------------------------------------------------- planning


class Expert:
    """Sees where it is and where to go, and takes the shortest way through the door."""

    def plan(self, context: Tensor, goal: Tensor, *, seed: int = 0) -> Plan:
        here, there = where(context[:, -1]), where(goal)
        states = np.concatenate([here, np.tile(FIXED, (len(here), 1))], axis=1)
        action = np.stack([expert_action(state, place) for state, place in zip(states, there, strict=True)])
        return Plan(action=torch.from_numpy(action)[:, None], cost=torch.zeros(len(here)))


class Aimless:
    """Plans at random."""

    def plan(self, context: Tensor, goal: Tensor, *, seed: int = 0) -> Plan:
        generator = torch.Generator().manual_seed(seed + 1000)
        action = torch.rand(len(context), 1, 2, generator=generator) * 2 - 1
        return Plan(action=action, cost=torch.zeros(len(context)))


def where(pictures: Tensor) -> np.ndarray:
    """Where the dot is, [n, 2], in pictures [n, c, h, w]."""
    return locate(((pictures.movedim(1, -1) + 1) * 127.5).round().byte().numpy())["avatar"]
