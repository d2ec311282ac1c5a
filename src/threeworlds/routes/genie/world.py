"""A world learnt from video, as a Gymnasium environment: reset with a picture or a clip, step with a button."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from threeworlds.routes.genie.model import Genie
from threeworlds.routes.genie.play import Player, player

START = ("image", "video")  # options of a reset


class GenieWorld(gym.Env[np.ndarray, Any]):
    """The model's dream. ``step(code)`` takes a latent action, or ``n_codes`` for the null action: let it run.

    ``reset(options={"video": uint8 [k, h, w, 3]})`` or ``{"image": uint8 [h, w, 3]}`` sets the first frames; without
    them the dream starts from ``first``. Reward is always 0 and a dream never ends by itself. Finished frames are kept
    as the dynamics' keys and values; a step computes the new frame alone.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(
        self,
        model: Genie,
        *,
        first: np.ndarray | None = None,
        refinements: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """``first``: picture to start from, uint8 [h, w, 3]; without it a grey one.

        ``refinements``: passes a frame; without it few, for speed.
        """
        shape = (model.spec.height, model.spec.width, 3)
        self.model = model.eval()
        self.render_mode, self.refinements = render_mode, model.dynamics.in_play if refinements is None else refinements
        model.dynamics.passes(self.refinements)  # refuses what cannot be
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)
        self.action_space = gym.spaces.Discrete(model.n_codes + 1)
        self._first = np.full((1, *shape), 127, np.uint8) if first is None else self._picture("first", first)
        self._frame = self._first[-1]
        self._player: Player | None = None
        self._tokens = torch.zeros(1, 0, 0, dtype=torch.long)  # of the last frames, as far back as decoding looks
        self._generator = torch.Generator()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start from the given frames; the codes between them are inferred."""
        super().reset(seed=seed)
        video = self._prompt(options or {})
        self._generator.manual_seed(int(self.np_random.integers(2**31)))
        with torch.inference_mode():
            frames = torch.from_numpy(video).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
            past, time = self.model.remember(frames, self.model.infer_codes(frames))
            self._player = player(self.model.dynamics, past, time)
            self._tokens = self.model.tokenizer.encode(frames)
        self._frame = video[-1].copy()
        return self._frame.copy(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The next frame under a code."""
        if self._player is None:
            raise ValueError("step before reset; call reset with a first picture")
        if not self.action_space.contains(action):
            raise ValueError(f"code {action}; allowed: 0 to {self.model.n_codes}")
        with torch.inference_mode():
            code = self.model.told(torch.tensor([int(action)]))
            tokens = self._player.next_frame(code, self._generator, self.refinements)
            self._tokens = torch.cat([self._tokens, tokens[:, None]], 1)[:, -1 - self.model.tokenizer.memory :]
            frame = self.model.tokenizer.decode(self._tokens)[0, -1]
        self._frame = ((frame + 1) * 127.5).round().byte().permute(1, 2, 0).contiguous().numpy()
        return self._frame.copy(), 0.0, False, False, {}

    def render(self) -> np.ndarray:
        """The current frame, uint8 [h, w, 3]."""
        return self._frame.copy()

    def _prompt(self, options: dict[str, Any]) -> np.ndarray:
        if not set(options) <= set(START) or len(options) > 1:
            told = ", ".join(map(str, options))
            raise ValueError(f"reset options {told}; allowed: one of {' and '.join(START)}, or none")
        if "image" in options:
            return self._picture("image", options["image"])
        return self._frames("video", options["video"]) if "video" in options else self._first

    def _picture(self, name: str, picture: np.ndarray) -> np.ndarray:
        self._check(name, picture, ())
        return np.ascontiguousarray(picture[None])

    def _frames(self, name: str, video: np.ndarray) -> np.ndarray:
        self._check(name, video, ("k",))
        return np.ascontiguousarray(video)

    def _check(self, name: str, frames: np.ndarray, axes: tuple[str, ...]) -> None:
        """A ValueError unless ``frames`` is an array of frames as the model knows them, after some ``axes``."""
        shape, leading = (self.model.spec.height, self.model.spec.width, 3), len(axes)
        needed = f"a numpy array, uint8 ({', '.join(map(str, (*axes, *shape)))})"
        if not isinstance(frames, np.ndarray):
            raise ValueError(f"{name}: {type(frames).__name__}; needed: {needed}")
        if frames.dtype != np.uint8 or frames.ndim != leading + 3 or frames.shape[leading:] != shape or not frames.size:
            raise ValueError(f"{name}: {frames.dtype} {frames.shape}; needed: {needed}")
