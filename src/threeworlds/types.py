"""The border types: what crosses from one room of the house to another. Nothing here computes.

Layout. Stored video is uint8 [t, h, w, c]; in models it is float32 [b, t, c, h, w] in [-1, 1].
Legend: b batch, t frames, c channels (3, RGB), h height, w width, a action size, s state variables, d features.

Time. ``action[t]`` is what happens **between** frame t and frame t + 1, so a clip of t frames has t - 1 actions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

EMPTY: Mapping[str, Any] = MappingProxyType({})  # a default argument that nobody can change


# ---------------------------------------------------------------------------------------------- clips


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """What an action is in a collection of clips."""

    kind: Literal["none", "discrete", "continuous"] = "none"
    size: int = 0  # number of discrete actions, or dimensions of a continuous one (each in [-1, 1])
    names: tuple[str, ...] = ()  # one per discrete action or per dimension


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """What every clip of a collection looks like. A model is built from it and from its own config."""

    height: int  # pixels
    width: int  # pixels
    fps: float  # frames per second
    action: ActionSpec = ActionSpec()
    state_names: tuple[str, ...] = ()  # names of the s state variables; empty: the state is not known
    captioned: bool = False
    world: str = ""  # registered name of the world it came from; empty: video from outside


@dataclass(frozen=True, kw_only=True)
class Caption:
    """Words for the frames start <= t < stop of an episode."""

    start: int
    stop: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One episode as it is stored: numpy arrays, no batch."""

    video: np.ndarray  # uint8 [t, h, w, 3]
    action: np.ndarray | None = None  # int64 [t - 1] (discrete) or float32 [t - 1, a] in [-1, 1]
    state: np.ndarray | None = None  # float32 [t, s]; NaN where a variable does not apply
    captions: tuple[Caption, ...] = ()
    fps: float = 10.0
    source: str = ""  # where it came from: a file name, or world and seed
    group: str = ""  # clips of one group share a split (one film, one level); empty: its own group
    tags: tuple[str, ...] = ()  # e.g. the policy, or "heldout" for attribute combinations kept for testing


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a trainable sees: ``loss, metrics = model(batch)``. A field that was not asked for is None."""

    video: Tensor | None = None  # float32 [b, t, c, h, w] in [-1, 1]
    action: Tensor | None = None  # int64 [b, t - 1] or float32 [b, t - 1, a]
    state: Tensor | None = None  # float32 [b, t, s], NaN where a variable does not apply
    caption: tuple[str, ...] | None = None  # b texts; "" where a window has none
    # Per-frame arrays [b, t, ...], made once by an earlier, frozen stage.
    cached: Mapping[str, Tensor] = field(default_factory=dict)


# -------------------------------------------------------------------------------------------- requests


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a generator is asked for."""

    caption: tuple[str, ...] | None = None  # b texts
    video: Tensor | None = None  # float32 [b, k, c, h, w] in [-1, 1]: the first k frames
    frames: int = 16  # length of the whole clip, given frames included
    batch: int = 1  # how many clips, when neither captions nor video say it


@dataclass(frozen=True, kw_only=True)
class Imagined:
    """What a model made."""

    video: Tensor  # float32 [b, t, c, h, w] in [-1, 1]
    seconds: float = 0.0  # wall clock spent


@dataclass(frozen=True, kw_only=True)
class State:
    """What a model believes about each frame."""

    z: Tensor  # float32 [b, t, d]
    tokens: int = 1  # that z is made of, laid flat: [b, t, tokens, d / tokens]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Actions chosen by a planner, best first step first."""

    action: Tensor  # float32 [b, horizon, a]
    cost: Tensor  # float32 [b]: predicted cost of that sequence


# ----------------------------------------------------------------------------- what a route can do


@runtime_checkable
class Generates(Protocol):
    """Words (and, optionally, first frames) -> a clip."""

    def generate(self, prompt: Prompt, *, seed: int) -> Imagined: ...


@runtime_checkable
class Predicts(Protocol):
    """First k frames (and, where it takes them, actions) -> the next frames.

    ``control`` says what ``action`` means to this model: "none" (it takes none), "action" (the data's own
    actions) or "code" (latent actions, as :class:`Plays` infers them).
    """

    control: Literal["none", "action", "code"]

    def predict(self, context: Tensor, frames: int, *, action: Tensor | None = None, seed: int = 0) -> Imagined:
        """context [b, k, c, h, w]; action [b, k - 1 + frames(, a)] from the first frame on, or None: let it run.

        Returns the ``frames`` frames after the context.
        """
        ...


@runtime_checkable
class Plays(Protocol):
    """A world learnt from video: latent actions are inferred from clips and commanded in play."""

    n_codes: int

    def infer_codes(self, video: Tensor) -> Tensor:
        """video [b, t, c, h, w] -> int64 [b, t - 1] in [0, n_codes)."""
        ...


@runtime_checkable
class Dreams(Protocol):
    """A world model that is a world: played one frame at a time."""

    def as_world(self, *, refinements: int | None = None) -> Any:
        """A Gymnasium environment over frames uint8 [h, w, 3]: ``reset(options={"image": ...})``, ``step(action)``.

        ``refinements``: passes a frame, where it is made in several; None: as many as the model takes in play.
        """
        ...


@runtime_checkable
class Refines(Protocol):
    """Makes a frame in passes, and may take fewer in play than for a film."""

    @property
    def passes(self) -> int:
        """A frame, in ``predict``."""
        ...

    @property
    def passes_in_play(self) -> int:
        """A frame, in the world of ``as_world``."""
        ...


@runtime_checkable
class Tokenizes(Protocol):
    """Frames -> tokens, discrete."""

    n_tokens: int

    def tokenize(self, video: Tensor) -> Tensor:
        """video [b, t, c, h, w] -> int64 [b, t, n] in [0, n_tokens)."""
        ...


@runtime_checkable
class Represents(Protocol):
    """Frames -> states."""

    def represent(self, video: Tensor) -> State: ...


@runtime_checkable
class Imagines(Protocol):
    """First frames -> the states of the frames to come, without pictures."""

    def imagine(self, context: Tensor, frames: int, action: Tensor | None = None) -> State:
        """context [b, k, c, h, w]; the data's own action [b, k - 1 + frames(, a)] or None -> z [b, frames, d]."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Frames -> the same frames, through the model's own latents: the best picture it can show."""

    def reconstruct(self, video: Tensor) -> Tensor:
        """[b, t, c, h, w] -> [b, t, c, h, w], each frame by what the model knows of it."""
        ...


@runtime_checkable
class Surprised(Protocol):
    """Says how unexpected each frame of a clip is, in a unit of its own: only the order of its answers counts."""

    def surprise(self, video: Tensor, action: Tensor | None = None) -> Tensor:
        """video [b, t, c, h, w], the data's own action [b, t - 1(, a)] or None -> [b, t].

        Frame t is judged by the frames before it; NaN where there are too few of them. A model that takes no actions
        leaves them aside.
        """
        ...


@runtime_checkable
class Plans(Protocol):
    """Current frames and a goal picture -> actions."""

    def plan(self, context: Tensor, goal: Tensor, *, seed: int = 0) -> Plan:
        """context [b, k, c, h, w], goal [b, c, h, w]."""
        ...


@runtime_checkable
class Searches(Protocol):
    """Plans by a search that can be chosen, and that can begin from a first guess."""

    searches: tuple[str, ...]  # their names

    def plan(
        self, context: Tensor, goal: Tensor, *, seed: int = 0, start: Tensor | None = None, search: str = ""
    ) -> Plan:
        """As above; start [b, horizon, a] in [-1, 1], such as the rest of the last plan; search "": its own choice."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """Searches, and can keep from plan to plan what was expected and did not come."""

    def new_memory(self, taken: int) -> Any:
        """What ``plan`` takes as ``memory`` where ``taken`` steps of each plan are executed, or None."""
        ...


@runtime_checkable
class Connects(Protocol):
    """A film from what is seen to a picture that is wanted."""

    def connect(self, context: Tensor, goal: Tensor, *, seed: int = 0) -> Imagined:
        """context [b, k, c, h, w], goal [b, c, h, w] -> the frames between them, as many as it sees at once."""
        ...


@runtime_checkable
class Acts(Protocol):
    """Current frames and a goal picture -> the next action, without search."""

    can_act: bool  # whether this model has an actor

    def act(self, context: Tensor, goal: Tensor) -> Tensor:
        """context [b, k, c, h, w], goal [b, c, h, w] -> [b, a] in [-1, 1]."""
        ...


@runtime_checkable
class Earns(Protocol):
    """Acts for the reward of its world's task, without being shown a goal."""

    @property
    def can_earn(self) -> bool: ...

    def earn(self, context: Tensor) -> Tensor:
        """context [b, k, c, h, w] -> the next action, int64 [b] or float [b, a]."""
        ...


# ------------------------------------------------------------------------------------- training


@dataclass(frozen=True, kw_only=True)
class Optim:
    """AdamW with warm-up and cosine decay over the stage's budget."""

    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    warmup: float = 0.05  # part of the stage's budget
    final: float = 0.05  # learning rate at the end, as a part of the peak
    clip: float = 1.0  # gradient norm
    ema: float = 0.998  # 0: no averaging


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Windows of one shape: the batch of a step holds no others."""

    name: str  # whose steps cost the same
    frames: int  # a window
    batch_size: int
    columns: tuple[str, ...]  # as a stage's


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One part of a route, trained by the common loop: ``loss, metrics = module(batch)``."""

    name: str
    module: nn.Module
    share: float  # part of the route's budget, in (0, 1]; helper stages have a budget of their own
    frames: int  # frames a window
    batch_size: int
    columns: tuple[str, ...] = ("video",)  # of: video, action, state, caption, and the names that ``cache`` makes
    stride: int = 1  # a window takes every stride-th frame (discrete actions must then be absent from columns)
    at_captions: float = 0.0  # part of the windows that start where a caption does
    buckets: tuple[Bucket, ...] = ()  # shapes that steps take in turns; (): each is as the stage says above
    optim: Optim = Optim()
    # Frozen earlier parts run once over the data: video [1, t, c, h, w] of an episode -> {name: [1, t, ...]}.
    cache: Callable[[Tensor], dict[str, Tensor]] | None = None
    prepare: Callable[[Batch], None] | None = None  # called once, first, with a large batch (statistics, k-means)
    finish: Callable[[Batch], None] | None = None  # called once after training, the averaged weights in place
    # Errors of free roll-outs of validation clips, [b], or one of them all: the trainer looks some times, and keeps the
    # last weights that are not separably worse than those kept before.
    rollout_error: Callable[[Batch], Tensor | float] | None = None
    pretrained: tuple[str, ...] = ()  # parts that were trained elsewhere: the ledger names them as supervision
    helper: bool = False  # a head on top, trained under a declared extra budget


@dataclass(frozen=True, kw_only=True)
class PaperSize:
    """A route at a published size: built without memory and priced (``train.price``), never run."""

    build: Callable[[], nn.Module]
    loss: Callable[[nn.Module], Tensor]  # a training step's loss on one clip; its tensors are without memory too
    clips: float  # seen in the published training
    parameters: float | None  # as published; None: they were not
    source: str  # where the figures come from


@dataclass(frozen=True, kw_only=True)
class Route:
    """A way to a world model, as the registry holds it."""

    name: str
    recipes: Mapping[str, Callable[[], Any]]  # recipe name -> config dataclass
    build: Callable[[Any, ClipSpec], nn.Module]  # (config, spec) -> untrained model
    stages: Callable[[nn.Module], list[Stage]]  # in training order
    learns_from: str  # supervision, in words: "video, captions"
    story: Mapping[str, str] = field(default_factory=dict)  # the cells of the summary table that no run can measure
    paper: Mapping[str, PaperSize] = field(default_factory=dict)  # published sizes by name


# ---------------------------------------------------------------------------------------- results


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What was spent on one model, or one stage of it. Ledgers add up."""

    clips: int = 0  # windows seen in training
    unique_clips: int = 0  # distinct episodes they came from
    steps: int = 0
    flops: float = 0.0  # forward and backward, multiply and add counted apart
    seconds: float = 0.0  # wall clock, preparation and caching included
    peak_memory_mb: float = 0.0
    parameters: int = 0
    supervision: tuple[str, ...] = ()  # columns used: video, action, caption, state; and parts trained elsewhere


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What stands beside a score: a floor (what a trivial answer scores) or a ceiling (the best that can be had)."""

    kind: Literal["floor", "ceiling"]
    value: float | None = None
    low: float | None = None  # 95 % interval
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell of the scorecard."""

    route: str
    question: str  # "prediction"
    metric: str  # "psnr_h1"
    unit: str
    direction: Literal["higher", "lower"]
    value: float | None = None
    low: float | None = None  # 95 % interval
    high: float | None = None
    n: int = 0  # independent items (episodes)
    floor: float | None = None  # what a trivial answer scores
    floor_name: str = ""  # "copy the last frame"
    ceiling: float | None = None
    ceiling_name: str = ""
    status: Literal["ok", "not_applicable", "failed"] = "ok"
    reason: str = ""  # why not, where status is not ok
    world: str = ""
    checkpoint: str = ""
    seed: int = 0  # of the exam
    protocol: str = ""  # one sentence: what was given, what was compared
    seeds: str = ""  # "0,1,2": of the models that the value is a mean over, where there were several a route
    # Every floor and ceiling by name, those of ``floor_name`` and ``ceiling_name`` among them; a mapping has no hash.
    references: Mapping[str, Reference] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A paired difference between two routes, or a route and its floor, on the same items."""

    question: str
    metric: str
    first: str  # route
    second: str  # route, or the floor's name
    value: float  # first - second, in the metric's unit
    low: float
    high: float
    n: int
    verdict: Literal["first better", "second better", "not separable"]
    p: float | None = None  # two-sided, after Holm's correction over all comparisons of the result


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A claim of the field, judged from rows by a stated rule."""

    claim: str  # "C3"
    text: str
    verdict: Literal["supported", "refuted", "not separable", "not tested"]
    rule: str
    evidence: tuple[str, ...] = ()  # the numbers the rule looked at


@dataclass(frozen=True, kw_only=True)
class Film:
    """Frames kept for the report: one item, as the truth or a route saw it."""

    item: str  # "episode 12" or the caption
    route: str  # "truth", "sora", ...
    kind: str  # "prediction", "text", ...
    path: str  # PNG strip beside result.json: frames side by side
    frames: int
    given: int = 0  # the first ``given`` frames were given
    fps: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything a measuring command found: ``result.json`` is this, nothing more."""

    schema: str  # "threeworlds.result/1"
    command: str
    version: str
    machine: Mapping[str, Any]
    data: Mapping[str, Any]  # where the clips came from, counts, split hash, near duplicates, quarantine
    ledger: Mapping[str, Mapping[str, Any]]  # route -> stage -> Ledger as a mapping; stage "total" is the sum
    routes: Mapping[str, Mapping[str, Any]]  # route -> story, recipe, config, learns_from; trials, where there were
    rows: tuple[Row, ...] = ()
    differences: tuple[Difference, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    films: tuple[Film, ...] = ()
    curves: Mapping[str, Any] = field(default_factory=dict)  # "route/stage" -> {"clips": [...], "loss": [...]}
