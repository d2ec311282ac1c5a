"""A world that genie has learnt, as pictures: buttons held, truth and dream, a drawing played, codes read from a film.

    python examples/genie_films.py zoo/arena-genie-base
    python examples/genie_films.py runs/coinrun                # a model of a game: one picture, genie-coinrun.png

The clips are the first of their seed: none was chosen. Legend: t frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image, ImageDraw

from threeworlds.report.sheets import save_sheet
from threeworlds.routes.genie.model import Genie
from threeworlds.score.code_names import CodeNames, names_from_world
from threeworlds.score.films import to_uint8
from threeworlds.studio.track import draw_track
from threeworlds.train import load_model, use_machine
from threeworlds.types import Clip
from threeworlds.worlds import COLLECTIONS, WORLDS, collect

GIVEN = 2  # frames from which a dream starts
HELD = ("left", "right", "up", "down")
TURNS = ("right", "up", "left", "down")  # eight steps each
STEPS, EVERY = 8, 4  # of a turn; frames from one shown to the next
PLAYED = 28  # steps of a game, which may end after 32 frames
DRAWN = ("right", "down")  # the commands that the drawing gets


def main(checkpoint: tyro.conf.Positional[Path], pictures: Path = Path("docs/pictures"), seed: int = 123) -> None:
    """Make the pictures.

    Args:
        checkpoint: folder of a genie model trained on the arena, or on a game.
        pictures: folder for the pictures.
        seed: of the clips.
    """
    use_machine()
    model, card = load_model(checkpoint)
    assert isinstance(model, Genie), "not a genie model"
    names = names_from_world(model, card.spec)
    pictures.mkdir(parents=True, exist_ok=True)
    if card.spec.world in COLLECTIONS:
        draw_game(model, names, pictures / f"genie-{card.spec.world}.png", seed)
        return
    clips = list(collect("arena", episodes=2, seed=seed, size=card.spec.height, steps=GIVEN + 4 * STEPS))
    draw_held(model, names, clips[0], pictures / "genie-hold.png")
    draw_turns(model, names, clips, pictures / "genie-play.png")
    draw_drawing(model, names, pictures / "genie-picture.png")
    draw_tokens(model, clips, pictures / "genie-tokens.png")
    video = as_frames(clips[1])
    codes = model.infer_codes(video[None])[0].tolist()
    labels = [f"{code} {names.name(code)}" for code in range(model.n_codes)]
    draw_track(clips[1].video, codes, labels, pictures / "genie-track.png", fps=card.spec.fps)


def draw_game(model: Genie, names: CodeNames, path: Path, seed: int) -> None:
    """Two episodes and the dreams of them under their own codes; then each action's code, held from the second's start.

    An action whose code another one has already is left out: the model does not tell them apart.
    """
    shown = slice(EVERY - 1, PLAYED, EVERY)
    rows, clips = [], COLLECTIONS[model.spec.world].collect(episodes=2, seed=seed, size=model.spec.height)
    for clip in clips:
        first, after = clip.video[:GIVEN], clip.video[GIVEN:]
        codes = model.infer_codes(as_frames(clip)[None])[0, GIVEN - 1 :][:PLAYED].tolist()
        rows += [("true", [after[shown]]), ("dream", [dream(model, first, codes)[shown]])]
    for action, code in enumerate(names.code_of_action):
        if code not in names.code_of_action[:action]:
            rows += [(names.names[action], [dream(model, first, [code] * PLAYED)[shown]])]
    save_sheet(rows, [f"+{step}" for step in range(EVERY, PLAYED + 1, EVERY)], path)


def draw_held(model: Genie, names: CodeNames, clip: Clip, path: Path) -> None:
    """From the same frames, each button for eight steps."""
    rows = [(told, [dream(model, clip.video[:GIVEN], [code_of(names, told)] * STEPS)[1::2]]) for told in HELD]
    save_sheet(rows, [f"+{step}" for step in range(2, STEPS + 1, 2)], path)


def draw_turns(model: Genie, names: CodeNames, clips: Sequence[Clip], path: Path) -> None:
    """Four turns of eight steps: the simulator and the dream under the same commands."""
    told = [turn for turn in TURNS for _ in range(STEPS)]
    rows = []
    for clip in clips:
        made = dream(model, clip.video[:GIVEN], [code_of(names, turn) for turn in told])
        rows += [("true", [simulated(clip, told)[EVERY - 1 :: EVERY]]), ("dream", [made[EVERY - 1 :: EVERY]])]
    save_sheet(rows, told[EVERY - 1 :: EVERY], path)


def draw_drawing(model: Genie, names: CodeNames, path: Path) -> None:
    """A picture drawn by hand, and the frames after it."""
    picture = drawing(model.spec.height)
    rows = []
    for told in DRAWN:
        made = dream(model, picture[None], [code_of(names, told)] * STEPS)
        rows.append((told, [np.concatenate([picture[None], made[1::2]])]))
    save_sheet(rows, ["drawn", *(f"+{step}" for step in range(2, STEPS + 1, 2))], path)


@torch.no_grad()
def draw_tokens(model: Genie, clips: Sequence[Clip], path: Path) -> None:
    """True frames, and what is left of them when they have been tokens."""
    marks = [str(step) for step in range(0, 4 * STEPS, EVERY)]
    rows = []
    for clip in clips:
        shown = as_frames(clip)[: 4 * STEPS : EVERY]
        rows += [("true", [to_uint8(shown)]), ("through tokens", [to_uint8(model.reconstruct(shown[None])[0])])]
    save_sheet(rows, marks, path)


def dream(model: Genie, first: np.ndarray, codes: Sequence[int]) -> np.ndarray:
    """Frames uint8 [t, h, w, 3] after ``first``, one a code."""
    world = model.as_world()
    world.reset(seed=0, options={"video": first})
    return np.stack([world.step(code)[0] for code in codes])


def simulated(clip: Clip, told: Sequence[str]) -> np.ndarray:
    """What the arena itself does from the last given frame on, uint8 [t, h, w, 3]."""
    assert clip.state is not None
    arena, world = WORLDS["arena"], WORLDS["arena"].simulator()
    world.load(clip.state[GIVEN - 1])
    states = np.stack([world.step(arena.action.names.index(name)) for name in told])
    return arena.render(states, clip.video.shape[1])


def code_of(names: CodeNames, told: str) -> int:
    """The button that commands an action."""
    return names.code_of_action[names.names.index(told)]


def drawing(size: int) -> np.ndarray:
    """A white blot and a green house, as a child would set them: uint8 [h, w, 3]."""
    picture = Image.new("RGB", (8 * size, 8 * size), (18, 18, 26))
    pen, unit = ImageDraw.Draw(picture), 8 * size / 32
    pen.ellipse([3 * unit, 10 * unit, 9 * unit, 16 * unit], fill=(240, 240, 240))
    pen.polygon([(18 * unit, 12 * unit), (26 * unit, 12 * unit), (22 * unit, 6 * unit)], fill=(40, 205, 70))
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS)).copy()


def as_frames(clip: Clip) -> torch.Tensor:
    """[t, c, h, w] in [-1, 1]."""
    return torch.from_numpy(clip.video).movedim(-1, -3).float() / 127.5 - 1


if __name__ == "__main__":
    tyro.cli(main)
