"""Named sizes of the jepa route. Each is a function, so that a recipe can be read, printed and changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class WorldModelConfig:
    """Encoder and predictor, trained together."""

    channels: tuple[int, int, int] = (16, 32, 64)
    look: Literal["grid", "keypoints"] = "grid"  # at frames: features laid flat, or where attention maps look
    keypoints: int = 16  # attention maps
    cell: int = 4  # pixels a side of their cells: 2 tells small shapes apart, and costs three times as much
    halves: bool = False  # each frame alone, and the state is its place-like half and gain times how that changed
    gain: float = 5.0  # of the velocity half, so that SIGReg finds it as wide as the other
    dynamics: Literal["free", "second-order"] = "free"  # second-order: f is a force on the velocity half
    stack: int = 2  # frames that make a state: 2 where things have speed, 1 where position is all
    state: int = 64  # d
    hidden: int = 256  # width of the encoder's and the predictor's MLPs
    layers: int = 2  # residual layers of the predictor
    frames: int = 4
    unroll: int = 3  # steps of open-loop prediction in the loss
    batch_size: int = 64
    architecture: Literal["predictive", "generative", "joint"] = "predictive"  # one of OBJECTIVES
    guard: Literal["sigreg", "vicreg", "pldm", "ema", "reconstruction", "none"] = "sigreg"  # against collapse
    guard_weight: float = 0.2
    directions: int = 64  # random projections of SIGReg
    inverse: float = 0.1  # weight of the inverse dynamics on the displacement, where there are actions
    action_dropout: float = 0.15  # part of the windows that train without actions: the null action
    learning_rate: float = 2e-3


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """State -> picture, trained afterwards on frozen states: it shows what the state believes."""

    kind: Literal["deterministic", "flow"] = "deterministic"  # the mean of the pictures it allows, or one of them
    steps: int = 6  # of sampling a flow
    channels: tuple[int, int, int] = (16, 32, 64)
    moving: float = 4.0
    frames: int = 4
    batch_size: int = 8
    learning_rate: float = 2e-3


@dataclass(frozen=True, kw_only=True)
class PracticeConfig:
    """The predictor alone, on frozen states: more of what it still gets wrong, such as pushes against a wall."""

    frames: int = 4
    batch_size: int = 400  # windows: what is drawn from
    drawn: int = 256  # steps learnt from
    share: float = 0.1  # of the route's budget
    learning_rate: float = 2e-3


@dataclass(frozen=True, kw_only=True)
class ExpectedConfig:
    """What error to expect of a prediction, learnt on frozen states: surprise is what exceeds it."""

    hidden: int = 256
    power: float = 0.5  # of the expected error, by which the error is divided: 0, not at all; 1, wholly
    frames: int = 4
    batch_size: int = 200
    share: float = 0.04
    learning_rate: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """How many steps from here to there: trained on pairs of frozen states of one episode."""

    hidden: int = 256
    layers: int = 2
    expectile: float = 0.15  # below 0.5: nearer to the fewest steps seen than to the mean
    # Steps are those of the shortest way through the episode's own states, where states nearer than so many long steps
    # are joined: for worlds in which a picture is the whole state, so that near means soon. 0: steps as they were made.
    joined: float = 0.0
    frames: int = 100  # of a window: the farthest goals known; shorter episodes are left out
    batch_size: int = 32  # windows
    pairs: int = 32  # of a window
    share: float = 0.1  # of the route's budget
    learning_rate: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class ActorConfig:
    """State and goal -> action: trained in the frozen world model to descend the frozen critic."""

    hidden: int = 256
    layers: int = 2
    horizon: int = 4  # imagined steps
    frames: int = 100
    batch_size: int = 32
    pairs: int = 8
    share: float = 0.2
    learning_rate: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """What states earn, what they are worth and what to do: trained on frozen states and imagined roll-outs."""

    hidden: int = 128
    layers: int = 1
    horizon: int = 5  # imagined steps
    discount: float = 0.95
    mix: float = 0.95  # lambda of the returns
    entropy: float = 0.003  # what a nat of the actor's choice is worth
    ema: float = 0.98  # of the copy of the value that returns end in
    frames: int = 8
    batch_size: int = 32  # windows: a roll-out begins in each of their states
    share: float = 0.3
    learning_rate: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class PlannerConfig:
    """Search over action sequences; cost = the critic's (without one, the squared distance), summed over the roll-out.

    Together with ``critic`` and ``actor`` of the recipe this is the configurator: it says what the agent is made of.
    """

    search: Literal["cem", "icem", "mppi", "gradient"] = "cem"
    horizon: int = 8
    candidates: int = 128
    elites: int = 16
    rounds: int = 4
    std: float = 0.7
    # States kept of those that plans expected and the world did not bring; 0: none. Needs a critic, in whose unit (log
    # steps) a plan pays for passing near them.
    memory: int = 0
    doubt: float = 2.0


@dataclass(frozen=True, kw_only=True)
class JepaConfig:
    world: WorldModelConfig = field(default_factory=WorldModelConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    practice: PracticeConfig | None = None
    expected: ExpectedConfig | None = None
    critic: CriticConfig | None = None
    actor: ActorConfig | None = None  # learns from the critic, so it needs one
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    reward: RewardConfig | None = None  # needs a world that has a task


@dataclass(frozen=True, kw_only=True)
class MaskedConfig:
    """A vision transformer that fills in hidden parts of a clip, for video without actions; see masked.py."""

    width: int = 96
    layers: int = 4
    heads: int = 4
    patch: int = 8  # pixels a side of a token
    predictor_width: int = 48
    predictor_layers: int = 2
    masks: Literal["blocks", "tubes"] = "tubes"  # hidden anew in each frame (I-JEPA), or over all frames (V-JEPA)
    frames: int = 8
    batch_size: int = 16
    ema: float = 0.99  # of the copy that makes the targets
    learning_rate: float = 1e-3


def debug() -> JepaConfig:
    """Seconds: for tests of the plumbing."""
    return JepaConfig(
        world=WorldModelConfig(channels=(8, 8, 16), state=16, hidden=32, layers=1, batch_size=8, directions=16),
        decoder=DecoderConfig(channels=(8, 8, 16), frames=2, batch_size=4),
        planner=PlannerConfig(horizon=3, candidates=16, elites=4, rounds=2),
    )


def small() -> JepaConfig:
    """Minutes on two cores, 32 pixels (64 in ``rooms``)."""
    return JepaConfig()


def base() -> JepaConfig:
    """Half an hour on two cores, 32 or 64 pixels."""
    return JepaConfig(
        world=WorldModelConfig(
            look="keypoints",
            keypoints=32,
            cell=2,
            halves=True,
            dynamics="second-order",
            state=128,
            hidden=384,
            layers=3,
            frames=6,
            unroll=5,
        ),
        decoder=DecoderConfig(channels=(32, 64, 128)),
    )


def large() -> JepaConfig:
    """An hour or more on one core: ``base`` with twice the state, a predictor that practises, and expected errors.

    A wider state holds more of what bodies look like; practice on frozen states teaches collisions, which are seldom;
    and a turn in free flight stands out where collisions are known to be hard (docs/log.md).
    """
    made = base()
    return replace(
        made,
        world=replace(made.world, state=256),
        practice=PracticeConfig(batch_size=200, share=0.16),
        expected=ExpectedConfig(),
    )


def rooms() -> JepaConfig:
    """Minutes on two cores, for worlds where a picture is the whole state (no speed), such as ``rooms``; it plans."""
    return JepaConfig(
        world=WorldModelConfig(stack=1, frames=6, unroll=5, guard_weight=0.05, inverse=1.0, batch_size=128),
        critic=CriticConfig(),
        actor=ActorConfig(),
        planner=PlannerConfig(horizon=6, candidates=16, elites=4, rounds=2, std=0.3),
    )


def walls() -> JepaConfig:
    """``rooms`` for walls that differ from episode to episode (docs/log.md).

    A state that knows where the door is, a critic that is not misled by policies that dawdle, a predictor that has met
    walls, a search wide enough to find a way around one, and a memory of where it did not get through.
    """
    made = rooms()
    return replace(
        made,
        world=replace(made.world, look="keypoints", keypoints=32, batch_size=32),
        practice=PracticeConfig(share=0.15),
        critic=CriticConfig(joined=2.5, expectile=0.3, share=0.3),
        actor=ActorConfig(share=0.15),
        planner=PlannerConfig(horizon=6, candidates=64, elites=8, rounds=3, std=1.0, memory=24),
    )


def reward() -> JepaConfig:
    """Minutes on two cores, for a world that has a task with a reward, such as ``arena``."""
    return JepaConfig(reward=RewardConfig())


def masked() -> MaskedConfig:
    """Minutes on two cores, 32 pixels, no actions: tubes in latent space (V-JEPA)."""
    return MaskedConfig()


RECIPES: Mapping[str, Callable[[], JepaConfig | MaskedConfig]] = {
    "debug": debug,
    "small": small,
    "base": base,
    "large": large,
    "rooms": rooms,
    "walls": walls,
    "reward": reward,
    "masked": masked,
}
