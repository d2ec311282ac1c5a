"""CoinRun (Procgen, arXiv 1912.01588), the world of Genie's case study: a runner, platforms, and levels without end.

Played to the right with jumps and held actions: a policy that plays teaches a world model more than one that jitters
(GenieRedux, arXiv 2409.06445). One level an episode, until it ends.
"""

from __future__ import annotations

import struct
import sys
from importlib import import_module
from itertools import islice
from types import ModuleType
from typing import Any

import numpy as np

from threeworlds.types import ActionSpec, Clip
from threeworlds.worlds.foreign import Collection, MissingGame, held, shrunk

ACTION = ActionSpec(kind="discrete", size=6, names=("stay", "left", "right", "up", "left_up", "right_up"))
PRESSED = (4, 1, 7, 5, 2, 8)  # of the game's fifteen actions; up is a jump
RUNNER = {2: 0.42, 5: 0.36, 1: 0.06, 4: 0.05, 3: 0.06, 0: 0.05}
HOLD = (3, 10)  # steps
LONGEST, SHORTEST = 100, 32  # frames of a level; shorter ones are left out
STATE_NAMES = ("x", "y", "vx", "vy")  # of the runner, in tiles and tiles a step
NEEDS = "pip install cffi && pip install --no-deps procgen2 gym3"  # their pins are old, and for windows only
UNUSED = ("gym", "gym.envs", "gym.envs.registration", "imageio", "imageio_ffmpeg", "glfw", "moderngl")


class CoinRun:
    """The game without a window."""

    def __init__(self) -> None:
        self._make = procgen()

    def episode(self, rng: np.random.Generator, size: int) -> Clip | None:
        """One level, drawn and played by ``rng``."""
        level = int(rng.integers(2**31 - 1))
        # No threads of its own: waking one for each step takes nine times as long where the machine is busy.
        options = {"num_levels": 1, "start_level": level, "distribution_mode": "hard", "num_threads": 0}
        game = self._make(num=1, env_name="coinrun", **options)
        video: list[np.ndarray] = []
        states: list[np.ndarray] = []
        pressed: list[int] = []
        for action in islice(held(RUNNER, HOLD, rng), LONGEST):
            _, seen, first = game.observe()
            if video and first[0]:  # this frame belongs to the next try
                break
            video.append(shrunk(seen["rgb"][0], size))
            states.append(runner(game.callmethod("get_state")[0]))
            pressed.append(action)
            game.act(np.array([PRESSED[action]], np.int32))
        game.close()
        if len(video) < SHORTEST:
            return None
        return Clip(video=np.stack(video), action=np.array(pressed[:-1], np.int64), state=np.stack(states))

    def close(self) -> None:
        """Levels are closed as they end."""


def runner(state: bytes) -> np.ndarray:
    """Place and velocity of the runner, float32 [4], in a saved state of the game.

    The state begins with a version, the game's name, 18 numbers, and two generators as text, a number between them;
    17 numbers later stands the first body, which is the runner.
    """
    name, offset = _text(state, 4)
    if name != b"coinrun":
        raise ValueError(f"not a state of coinrun: {name[:20]!r}")
    _, offset = _text(state, offset + 4 * 18)
    _, offset = _text(state, offset + 4)
    return np.array(struct.unpack_from("<4f", state, offset + 4 * 17), np.float32)


def _text(state: bytes, offset: int) -> tuple[bytes, int]:
    """A text that its length precedes, and where it ends."""
    start = offset + 4
    stop = start + struct.unpack_from("<i", state, offset)[0]
    return state[start:stop], stop


def procgen() -> Any:
    """The class that makes the game; empty modules stand in for what it imports and never uses without a window."""
    stand_ins = []
    for name in UNUSED:
        try:
            import_module(name)
        except ImportError:
            sys.modules[name] = ModuleType(name)
            stand_ins.append(name)
    vars(sys.modules["gym.envs.registration"]).setdefault("register", lambda **_: None)
    try:
        return import_module("procgen").ProcgenGym3Env
    except ImportError as error:
        for name in stand_ins:  # nobody else shall take them for the packages
            del sys.modules[name]
        raise MissingGame(f"coinrun needs more packages ({error}): {NEEDS}") from error


COLLECTION = Collection(name="coinrun", player=CoinRun, action=ACTION, state_names=STATE_NAMES, steps=LONGEST)
