"""Doom (ViZDoom, arXiv 1605.02097, free levels), in first person: a walk through rooms that turns at walls."""

from __future__ import annotations

import tempfile
from importlib import import_module
from itertools import islice
from pathlib import Path

import numpy as np

from threeworlds.types import ActionSpec, Clip
from threeworlds.worlds.foreign import Collection, MissingGame, held, shrunk

SCENARIO = "my_way_home"  # nine rooms and corridors of different walls
ACTION = ActionSpec(kind="discrete", size=5, names=("up", "left", "right", "up_left", "up_right"))  # up is forward
FORWARD, LEFT, RIGHT, FORWARD_LEFT, FORWARD_RIGHT = range(5)
BUTTONS = ((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 1, 1))  # turn left, turn right, move forward
WALKER = {FORWARD: 0.55, FORWARD_LEFT: 0.15, FORWARD_RIGHT: 0.15, LEFT: 0.075, RIGHT: 0.075}
HOLD = (3, 12)  # steps
LONGEST, SHORTEST = 100, 32  # frames of an episode; shorter ones are left out
TICS = 4  # of the game's 35 a second between frames: 10 frames/s show it a seventh too fast, but evenly
NEAR = 6.0  # depth, of 8 bits, of a wall to turn away from
STATE_NAMES = ("x", "y", "angle")  # of the walker: map units (about 32 to a step of a person), degrees
NEEDS = "pip install 'threeworlds[foreign]'"


class Doom:
    """The game without a window."""

    def __init__(self) -> None:
        try:
            vizdoom = import_module("vizdoom")
        except ImportError as error:
            raise MissingGame(f"doom needs more packages ({error}): {NEEDS}") from error
        self._notes = tempfile.TemporaryDirectory()  # it would write them where it is run
        variables, buttons = vizdoom.GameVariable, vizdoom.Button
        self._game = vizdoom.DoomGame()
        self._game.load_config(f"{vizdoom.scenarios_path}/{SCENARIO}.cfg")
        self._game.set_doom_config_path(str(Path(self._notes.name) / "doom.ini"))
        self._game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
        self._game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        self._game.set_available_buttons([buttons.TURN_LEFT, buttons.TURN_RIGHT, buttons.MOVE_FORWARD])
        self._game.set_available_game_variables([variables.POSITION_X, variables.POSITION_Y, variables.ANGLE])
        self._game.set_depth_buffer_enabled(True)
        self._game.set_window_visible(False)
        self._game.init()

    def episode(self, rng: np.random.Generator, size: int) -> Clip | None:
        """One walk. Near a wall the walker turns to one side until the way is free."""
        self._game.set_seed(int(rng.integers(2**31 - 1)))
        self._game.new_episode()
        video, pressed, states, turn = [], [], [], None
        for action in islice(held(WALKER, HOLD, rng), LONGEST):
            state = self._game.get_state()
            video.append(shrunk(np.ascontiguousarray(state.screen_buffer[:, 20:140]), size))
            states.append(np.array(state.game_variables, np.float32))
            if state.depth_buffer[40:80, 40:120].mean() > NEAR:
                turn = None
            elif turn is None:
                turn = int(rng.choice((LEFT, RIGHT)))
            pressed.append(action if turn is None else turn)
            self._game.make_action(list(map(float, BUTTONS[pressed[-1]])), TICS)
            if self._game.is_episode_finished():
                break
        if len(video) < SHORTEST:
            return None
        return Clip(video=np.stack(video), action=np.array(pressed[:-1], np.int64), state=np.stack(states))

    def close(self) -> None:
        """End the game."""
        self._game.close()
        self._notes.cleanup()


COLLECTION = Collection(name="doom", player=Doom, action=ACTION, state_names=STATE_NAMES, steps=LONGEST)
