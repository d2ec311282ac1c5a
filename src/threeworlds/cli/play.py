"""``threeworlds play``: a learnt world on a page, or a film of it."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from threeworlds.cli.console import say

if TYPE_CHECKING:
    import numpy as np

    from threeworlds.score.code_names import CodeNames
    from threeworlds.studio.session import Session, Start
    from threeworlds.types import ClipSpec

STARTS = 8  # episodes of the model's own world to begin from
GIVEN = 4  # frames of each


@dataclass(frozen=True, kw_only=True)
class Play:
    """Play a learnt world in the browser: digits are codes, arrow keys where it is known what the codes do.

    The page says the other keys. With --headless N no page is opened; a film of N steps is written.
    """

    checkpoint: Positional[Path]
    """Folder of a trained genie, or of a jepa whose actions are discrete: its digits are these actions."""
    image: Path | None = None
    """Picture to begin from: any, it is cut and shrunk to fit."""
    clip: Path | None = None
    """Film to begin from: its last frames are the first of the dream."""
    world: str = ""
    """World or game to begin in, a world to show as truth too; without it, the one that the model was trained on."""
    seed: int = 0
    """Seed of the starts and of the dream."""
    refinements: int | None = None
    """Passes that each frame is made in: more are slower; without it, few."""
    port: int = 7870
    """Port of the page on this machine; 0: any that is free."""
    headless: int = 0
    """Steps to film without a page."""
    codes: str = "none"
    """For --headless: codes or names of actions, such as "right*8 up*4 3*2 none*5"; begun again where too few."""
    out: Path = Path("play.mp4")
    """For --headless: the film, .mp4, .gif or .png."""

    def run(self) -> None:
        from threeworlds.score.code_names import load_names
        from threeworlds.studio.session import Session
        from threeworlds.train import load_model, use_machine
        from threeworlds.types import Dreams

        self._check()
        use_machine()
        model, card = load_model(self.checkpoint)
        if not isinstance(model, Dreams):
            raise ValueError(f"{self.checkpoint} is a {card.route} model: it is not played frame by frame; a genie is")
        if model.control == "action" and card.spec.action.kind == "continuous":
            raise ValueError(
                f"{self.checkpoint} takes continuous actions, which are no keys: `threeworlds plan` uses them"
            )
        world = self.world or card.spec.world
        names = load_names(self.checkpoint) or learn_names(model, card.spec)
        starts = self._starts(card.spec, world)

        def new_session() -> Session:
            truth = simulator_of(world, card.spec)
            dream = model.as_world(refinements=self.refinements)
            return Session(dream, starts, truth=truth, names=names, seed=self.seed)

        if self.headless:
            self._film(new_session(), card.spec.fps)
        else:
            self._serve(new_session, card.spec)

    def _check(self) -> None:
        """What can be told to be wrong before anything is loaded."""
        from threeworlds.cli.films import check_target
        from threeworlds.worlds import COLLECTIONS, WORLDS

        if self.headless < 0:
            raise ValueError(f"--headless {self.headless}: steps to film, at least 1; 0 opens the page")
        if self.headless:
            check_target(self.out)
        if not 0 <= self.port < 65536:
            raise ValueError(f"--port {self.port}: allowed: 1 to 65535, or 0 for any that is free")
        if self.refinements is not None and self.refinements < 1:
            raise ValueError(f"--refinements {self.refinements}: passes a frame, at least 1")
        if self.world and self.world not in (*WORLDS, *COLLECTIONS):
            raise ValueError(f"--world {self.world!r}: worlds: {', '.join(WORLDS)}; games: {', '.join(COLLECTIONS)}")

    def _starts(self, spec: ClipSpec, world: str) -> list[Start]:
        from threeworlds.studio.pictures import read_picture
        from threeworlds.studio.session import Start
        from threeworlds.worlds.foreign import MissingGame

        starts = []
        if self.image is not None:
            starts.append(Start(video=read_picture(self.image, spec)[None]))
        if self.clip is not None:
            from threeworlds.cli.films import read_film
            from threeworlds.score.films import to_uint8

            starts.append(Start(video=to_uint8(read_film(self.clip, spec)[0, -GIVEN:])))
        try:
            return starts + world_starts(world, spec, self.seed)
        except MissingGame as error:
            if starts and not self.world:
                return starts
            raise MissingGame(f"{error}; or begin from a picture (--image) or a film (--clip)") from error

    def _film(self, session: Session, fps: float) -> None:
        from threeworlds.cli.films import write_film

        session.record()
        for code in islice(cycle(read_codes(self.codes, session.null, session.names)), self.headless):
            session.step(code)
        film = session.stop_recording()
        assert film is not None
        write_film(film, self.out, fps=fps)
        say(f"{len(film)} frames, {session.shown.p95:.0f} ms a step at the 95th percentile -> {self.out}")

    def _serve(self, new_session: Any, spec: ClipSpec) -> None:
        from threeworlds.studio.server import make_app, serve

        title = f"{self.checkpoint.resolve().name}, {spec.width} x {spec.height}"
        app = make_app(new_session, spec, lambda film: mp4_bytes(film, spec.fps), title=title)
        serve(app, port=self.port, ready=lambda url: say(f"{url}  (Ctrl-C ends it)"))


def read_codes(text: str, null: int, names: CodeNames | None) -> list[int]:
    """Codes from "right*8 3*2 none": numbers, names of actions where they are known, "none" for the null action."""
    known = dict(zip(names.names, names.code_of_action, strict=True)) if names else {}
    known |= {"none": null, **{str(code): code for code in range(null)}}
    codes: list[int] = []
    for word in re.split(r"[\s,]+", text.strip()):
        name, _, times = word.partition("*")
        if name not in known or not (times or "1").isdigit():
            raise ValueError(f"codes: {word!r}; allowed: {', '.join(known)}, each with *N for N times")
        codes += [known[name]] * int(times or 1)
    if not codes:
        raise ValueError("codes: none given")
    return codes


def learn_names(model: Any, spec: ClipSpec) -> CodeNames | None:
    """What the codes do, from labelled steps of what the model was trained on; None where none can be had.

    A model that was told the actions is played with these, by their own names.
    """
    from threeworlds.score.code_names import names_from_world, own_names
    from threeworlds.worlds import COLLECTIONS, WORLDS
    from threeworlds.worlds.foreign import MissingGame

    if spec.action.kind == "discrete" and model.control == "action":
        return own_names(spec)
    if spec.world not in (*WORLDS, *COLLECTIONS) or spec.action.kind != "discrete":
        return None
    try:
        return names_from_world(model, spec)
    except MissingGame:  # a dream needs no names
        return None


def world_starts(name: str, spec: ClipSpec, seed: int) -> list[Start]:
    """The first frames of some episodes of a world or a game; of a world, the state that its simulator goes on from.

    Raises:
        MissingGame: a game whose packages are not installed.
    """
    from threeworlds.studio.session import Start
    from threeworlds.worlds import COLLECTIONS, WORLDS, collect

    if name in COLLECTIONS:
        played = COLLECTIONS[name].collect(episodes=STARTS, seed=seed, size=spec.height)
        return [Start(video=clip.video[:GIVEN]) for clip in played]
    if name not in WORLDS:
        return []
    clips = collect(name, episodes=STARTS, seed=seed, workers=1, size=spec.height, steps=GIVEN)
    return [Start(video=clip.video, state=None if clip.state is None else clip.state[-1]) for clip in clips]


def simulator_of(name: str, spec: ClipSpec) -> Any:
    """The true world, to be shown beside the dream; None where there is none, or where it takes other actions."""
    from threeworlds.worlds import WORLDS, WorldEnv

    if name not in WORLDS or WORLDS[name].action != spec.action:
        return None
    return WorldEnv(WORLDS[name], size=spec.height)


def mp4_bytes(film: np.ndarray, fps: float) -> bytes:
    """A recording as a file."""
    from threeworlds.cli.films import write_film

    with tempfile.TemporaryDirectory() as folder:
        write_film(film, Path(folder) / "play.mp4", fps=fps)
        return (Path(folder) / "play.mp4").read_bytes()
