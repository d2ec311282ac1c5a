"""The world model as an environment: reset and step with the Gymnasium signature, on latent states.

An agent that was written for an environment can live in the model, and a planner can ask for many action sequences in
one call. The state of the start and of the goal are made once, at reset. Legend: n sequences, t steps, a action size,
d state.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from threeworlds.routes.jepa.model import Jepa
from threeworlds.routes.jepa.requests import check_actions
from threeworlds.types import ClipSpec


class LatentWorld(gym.Env[np.ndarray, Any]):
    """Observation: the state, float32 [d]. Action: float32 [a] in [-1, 1], or one of a discrete set.

    ``reset(options={"video": uint8 [k, h, w, 3]})`` begins where the last frame is; with ``"goal": uint8 [h, w, 3]``
    the reward of a step is minus the cost of where it led (the critic's log(1 + steps to go), or the squared distance
    where there is no critic); without, it is 0. An episode never ends by itself.
    """

    def __init__(self, model: Jepa) -> None:
        self.model = model.eval()
        action, size = model.spec.action, model.config.world.state
        if action.kind == "none":
            raise ValueError("this model was trained on clips without actions: there is nothing to step with")
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space: gym.Space[Any] = gym.spaces.Discrete(max(action.size, 1))
        if action.kind == "continuous":
            self.action_space = gym.spaces.Box(-1.0, 1.0, (action.size,), np.float32)
        self._start: Tensor | None = None  # [1, d]
        self._goal: Tensor | None = None
        self._now = torch.zeros(1, size)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin at the last of the given frames. Without options: at the start of the last episode, goal and all."""
        super().reset(seed=seed)
        if options:
            self._start = self.model.represent(self._frames("video", options.get("video"), 4)).z[:, -1]
            goal = options.get("goal")
            self._goal = None if goal is None else self.model.goal_state(self._frames("goal", goal, 3)[:, 0])
        if self._start is None:
            raise ValueError("the first reset needs options={'video': uint8 [k, h, w, 3]}")
        self._now = self._start
        return self._observe(), {}

    @torch.no_grad()
    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One predicted frame on."""
        if self._start is None:
            raise ValueError("step before reset")
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is not in {self.action_space}")
        self._now = self.model.predictor(self._now, torch.as_tensor(action)[None])
        reward = 0.0 if self._goal is None else -float(self.model.cost(self._now, self._goal))
        return self._observe(), reward, False, False, {}

    @torch.no_grad()
    def roll_out(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Many futures in one call, each from the start of the episode.

        Args:
            actions: [n, t, a], or int64 [n, t] where they are discrete.

        Returns:
            States [n, t, d], and rewards [n, t] as ``step`` gives them.
        """
        if self._start is None:
            raise ValueError("roll_out before reset")
        n, t = (*actions.shape, 1, 1)[:2]
        check_actions("actions", actions, self.model.spec.action, n, t)
        z = self.model.predictor.roll_out(self._start.expand(n, -1), actions, t)
        reward = z.new_zeros(z.shape[:2]) if self._goal is None else -self.model.cost(z, self._goal.expand_as(z))
        return z, reward

    def _observe(self) -> np.ndarray:
        return self._now[0].numpy().copy()

    def _frames(self, name: str, given: Any, dimensions: int) -> Tensor:
        return as_frames(self.model.spec, name, given, dimensions)


class PictureWorld(gym.Env[np.ndarray, Any]):
    """The same to be looked at, through the helper decoder: observation uint8 [h, w, 3], to be played by a person.

    The state goes on, and is never read back from a picture. Of discrete actions there is one more, the last: what is
    done is not told. ``reset(options={"video": uint8 [k, h, w, 3]})`` or ``{"image": uint8 [h, w, 3]}`` sets the first
    frames; without them a grey one. Reward is always 0 and an episode never ends by itself.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(self, model: Jepa, *, render_mode: str | None = None) -> None:
        self.model, self.render_mode = model.eval(), render_mode
        spec, action = model.spec, model.spec.action
        shape = (spec.height, spec.width, 3)
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)
        self.action_space: gym.Space[Any] = gym.spaces.Discrete((action.size if action.kind == "discrete" else 0) + 1)
        if action.kind == "continuous":
            self.action_space = gym.spaces.Box(-1.0, 1.0, (action.size,), np.float32)
        self._frame = np.full(shape, 127, np.uint8)
        self._now: Tensor | None = None  # [1, d]
        self._seed = 0  # of a decoder that samples

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin at the last of the given frames."""
        super().reset(seed=seed)
        given = options or {"image": np.full_like(self._frame, 127)}
        if len(given) != 1 or not set(given) <= {"image", "video"}:
            raise ValueError(f"reset options {', '.join(map(str, given))}; allowed: one of image and video, or none")
        (name, frames), *_ = given.items()
        video = as_frames(self.model.spec, name, frames, 3 if name == "image" else 4)
        self._now, self._seed = self.model.represent(video).z[:, -1], int(self.np_random.integers(2**31))
        self._frame = (frames if name == "image" else frames[-1]).copy()
        return self.render(), {}

    @torch.no_grad()
    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One predicted frame on."""
        if self._now is None:
            raise ValueError("step before reset; call reset with a first picture")
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is not in {self.action_space}")
        untold = isinstance(self.action_space, gym.spaces.Discrete) and action == self.action_space.n - 1
        self._now = self.model.predictor(self._now, None if untold else torch.as_tensor(action)[None])
        picture = self.model.decoder(self._now[:, None], self._seed)[0, 0].clamp(-1, 1)
        self._frame = ((picture + 1) * 127.5).round().byte().permute(1, 2, 0).contiguous().numpy()
        return self.render(), 0.0, False, False, {}

    def render(self) -> np.ndarray:
        """The current frame, uint8 [h, w, 3]."""
        return self._frame.copy()


def as_frames(spec: ClipSpec, name: str, given: Any, dimensions: int) -> Tensor:
    """uint8 [k, h, w, 3] or [h, w, 3] -> float32 [1, k, 3, h, w]."""
    frame = (spec.height, spec.width, 3)
    if not isinstance(given, np.ndarray) or given.dtype != np.uint8 or given.ndim != dimensions:
        raise ValueError(f"options[{name!r}] must be uint8 frames {frame}; got {type(given).__name__}")
    if given.shape[-3:] != frame or 0 in given.shape:
        raise ValueError(f"options[{name!r}] has shape {given.shape}; this model's frames are {frame}")
    video = torch.from_numpy(given.reshape(-1, *frame).copy()).permute(0, 3, 1, 2)
    return video[None].float() / 127.5 - 1
