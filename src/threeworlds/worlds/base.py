"""What a world is: a simulator with a known state, a picture of that state, and policies that live in it.

Legend: t frames, h height, w width, s state variables, a action size. A state says everything the future depends on
but the actions, so drawing, captions and measurements are functions of the state alone.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium
import numpy as np

from threeworlds.types import ActionSpec, Caption, ClipSpec

Action = int | np.integer | np.ndarray
Policy = Callable[[np.ndarray], Action]  # state float32 [s] -> action


NEAR = 4.5 / 64  # of the box: at the goal, in two rooms


def near(states: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """Whether the first two variables, a place, are within NEAR of the goal's: [..., s] and [..., s] -> bool [...]."""
    close: np.ndarray = np.linalg.norm(states[..., :2] - goals[..., :2], axis=-1) < NEAR
    return close


class Simulator(Protocol):
    """The law of a world. Keyword arguments of its constructor are the world's options."""

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A first state, float32 [s]."""
        ...

    def load(self, state: np.ndarray) -> None:
        """Put the world into ``state`` (float32 [s])."""
        ...

    def step(self, action: Action) -> np.ndarray:
        """Let one frame pass under ``action``; return the new state, float32 [s]."""
        ...

    def tags(self, state: np.ndarray) -> tuple[str, ...]:
        """What to remember of an episode that begins in ``state``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Law:
    """What no film of a world can break: bodies neither come nor go, nor change, nor jump."""

    smallest: float  # area of the smallest body, as a part of the frame's area
    fastest: float  # the farthest a body moves in a frame, in box units
    closed: bool  # bodies never leave the view


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something to do in a world, and a return: the mean reward of a step."""

    policy: str  # of the world's policies: who knows how to do it
    reward: Callable[[np.ndarray], np.ndarray]  # states [..., s] after a step -> [...] in [0, 1]
    told: str  # in words: what is rewarded
    options: Mapping[str, Any] = field(default_factory=dict)  # of the world, for the episodes of the task


@dataclass(frozen=True, kw_only=True)
class World:
    """A world as the registry holds it."""

    name: str
    simulator: Callable[..., Simulator]
    render: Callable[[np.ndarray, int], np.ndarray]  # states [t, s], size in pixels -> uint8 [t, size, size, 3]
    policy: Callable[[str, np.random.Generator], Policy]
    policies: tuple[str, ...]
    action: ActionSpec
    state_names: tuple[str, ...]
    steps: int  # frames of an episode, unless asked otherwise
    size: int  # pixels a side, unless asked otherwise
    fps: float = 10.0
    caption: Callable[[np.ndarray, np.random.Generator], tuple[Caption, ...]] | None = None  # of states [t, s]
    parse_caption: Callable[[str], dict[str, Any]] | None = None
    vocabulary: tuple[str, ...] = ()
    expand: Callable[[str, np.random.Generator], str] | None = None  # a short prompt -> a whole caption
    locate: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None  # frames [n, h, w, 3] -> {name: [n, 2]}
    masses: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None  # frames [n, h, w, 3] -> {name: [n]}
    # frames [n, h, w, 3] -> {name: covered part of each pixel [n, h, w]}; see `locate.faint_weights`
    weights: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None
    law: Law | None = None
    likeness: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None  # frames -> {name: likeness [n, shapes]}
    shapes: tuple[str, ...] = ()  # names of the shapes that ``likeness`` knows
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None  # shortest way between states [..., s]
    advance: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None  # states [n, s] under actions [n, a]
    expert: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None  # state [s], goal place [2] -> action [a]
    reached: Callable[[np.ndarray, np.ndarray], np.ndarray] = near  # states and goals [n, s] -> bool [n]
    rule: str = f"within {NEAR:.2f} of the box"  # the same in words
    task: Task | None = None  # something to do, with a return
    is_free: Callable[[np.ndarray], bool] = lambda state: True  # whether the agent can be where a state [s] puts it
    places: str = ""  # where that is, in words; "": a goal is more than a place

    @property
    def env_id(self) -> str:
        """Name under which Gymnasium knows the world."""
        return f"threeworlds/{self.name}-v0"

    def check_words(self, text: str) -> None:
        """A ValueError that names the words of ``text`` that no caption of this world has, and those near them."""
        unknown = [word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in self.vocabulary]
        if unknown:
            near = {word: difflib.get_close_matches(word, self.vocabulary, n=3, cutoff=0.6) for word in unknown}
            told = "; ".join(
                f"{word!r}" + (f" (near it: {', '.join(near[word])})" if near[word] else "") for word in near
            )
            raise ValueError(f"not in the vocabulary of {self.name}: {told}. It has {', '.join(self.vocabulary)}")

    def spec(self, size: int | None = None, **options: Any) -> ClipSpec:
        """What its clips look like; ``options`` are checked as the simulator checks them."""
        self.simulator(**options)
        pixels = checked_size(self.size if size is None else size)
        return ClipSpec(
            height=pixels,
            width=pixels,
            fps=self.fps,
            action=self.action,
            state_names=self.state_names,
            captioned=self.caption is not None,
            world=self.name,
        )


class WorldEnv(gymnasium.Env[np.ndarray, Any]):
    """A world as a Gymnasium environment: observation uint8 [h, w, 3], ``info["state"]`` float32 [s].

    The reward of a step is that of the world's task, in [0, 1], and 0 where it has none. An episode never ends by
    itself. ``reset(options={"state": ...})`` starts in that state.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(self, world: World, *, size: int | None = None, render_mode: str | None = None, **options: Any):
        self.world = world
        self.size = checked_size(world.size if size is None else size)
        self.render_mode = render_mode
        self.simulator = world.simulator(**options)
        self.observation_space = gymnasium.spaces.Box(0, 255, (self.size, self.size, 3), np.uint8)
        self.action_space = action_space(world.action)
        self.state = np.full(len(world.state_names), np.nan, np.float32)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode from the seed, or in ``options["state"]``."""
        super().reset(seed=seed)
        given = (options or {}).get("state")
        self.state = self.simulator.draw(self.np_random) if given is None else self._checked_state(given)
        self.simulator.load(self.state)
        return self._frame(), {"state": self.state.copy()}

    def step(self, action: Action) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One frame; the action is what happens between the last frame and the one returned."""
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is not in {self.action_space}")
        self.state = self.simulator.step(action)
        reward = 0.0 if self.world.task is None else float(self.world.task.reward(self.state))
        return self._frame(), reward, False, False, {"state": self.state.copy()}

    def render(self) -> np.ndarray:
        """The current frame, uint8 [h, w, 3]."""
        return self._frame()

    def _frame(self) -> np.ndarray:
        return self.world.render(self.state[None], self.size)[0]

    def _checked_state(self, given: Any) -> np.ndarray:
        state = np.array(given, np.float32)
        if state.shape != self.state.shape:
            raise ValueError(f"state has shape {state.shape}; {self.world.name} needs {self.world.state_names}")
        return state


def action_space(action: ActionSpec) -> gymnasium.Space[Any]:
    """The Gymnasium space of an action; a world without actions has the one action 0."""
    if action.kind == "continuous":
        return gymnasium.spaces.Box(-1.0, 1.0, (action.size,), np.float32)
    return gymnasium.spaces.Discrete(max(action.size, 1))


def checked_size(size: int) -> int:
    """``size``, if frames of that many pixels a side can be drawn."""
    if not 8 <= size <= 1024:
        raise ValueError(f"size={size}: frames are 8 to 1024 pixels a side")
    return size


def checked_option(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """``value``, if it is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: allowed are {', '.join(map(repr, allowed))}")
    return value
