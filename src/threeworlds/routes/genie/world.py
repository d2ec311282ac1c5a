"""A world learnt from video, as a Gymnasium environment: reset with a picture or a clip, step with a button."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from threeworlds.routes.genie.dynamics import Cache
from threeworlds.routes.genie.model import Genie


class GenieWorld(gym.Env[np.ndarray, Any]):
    """The model's dream. ``step(code)`` takes a latent action, or ``n_codes`` for the null action: let it run.

    ``reset(options={"video": uint8 [k, h, w, 3]})`` or ``{"image": uint8 [h, w, 3]}`` sets the first frames.
    """

    def __init__(self, model: Genie) -> None:
        spec = model.spec
        self.model = model.eval()
        self.observation_space = gym.spaces.Box(0, 255, (spec.height, spec.width, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(model.n_codes + 1)
        self._past: Cache = []
        self._time = 0
        self._generator = torch.Generator()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        video = self._prompt(options or {})
        self._generator.manual_seed(int(self.np_random.integers(2**31)))
        with torch.no_grad():
            frames = torch.from_numpy(video).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
            self._past, self._time = self.model.remember(frames, self.model.infer_codes(frames))
        return video[-1].copy(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if not self._past:
            raise ValueError("step before reset; call reset with a first picture")
        if not self.action_space.contains(action):
            raise ValueError(f"code {action}; allowed: 0 to {self.model.n_codes}")
        with torch.no_grad():
            code = torch.tensor([int(action)])
            tokens, past = self.model.dynamics.next_frame(self._past, code, self._time, self._generator)
            frame = self.model.tokenizer.decode(tokens[:, None])[0, 0]
        self._past, self._time = self.model.forget(past), self._time + 1
        picture = ((frame + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        return picture, 0.0, False, False, {}

    def _prompt(self, options: dict[str, Any]) -> np.ndarray:
        video = options["image"][None] if "image" in options else options.get("video")
        shape = self.observation_space.shape
        if video is None:
            raise ValueError(f"a dream needs a first picture: reset(options={{'image': uint8 {shape}}}) or 'video'")
        if video.dtype != np.uint8 or video.shape[1:] != shape or len(video) == 0:
            raise ValueError(f"first frames {video.dtype} {video.shape}; needed: uint8 (k, *{shape})")
        return np.ascontiguousarray(video)
