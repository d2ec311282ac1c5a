"""``threeworlds actions``: which latent actions a film holds, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from threeworlds.cli.console import print_table, say

if TYPE_CHECKING:
    from threeworlds.score.code_names import CodeNames
    from threeworlds.types import ClipSpec


@dataclass(frozen=True, kw_only=True)
class Actions:
    """Print the track of latent actions in a film; with --labels, first learn what they are called."""

    clip: Positional[Path | None] = None
    """Film to read; without it, only the names are learnt or shown."""
    checkpoint: Path
    """Folder of a trained genie."""
    labels: int = 0
    """Labelled steps to learn the names from; they are kept beside the checkpoint, for `play` too."""
    data: Path | None = None
    """Folder of clips with discrete actions to take them from; without it, the world the model was trained on."""
    plot: Path | None = None
    """Picture to draw of frames and codes, .png or .svg."""
    table: Path | None = None
    """File to write, .csv: frame, seconds, code, name, a line a step."""

    def run(self) -> None:
        from threeworlds.score.code_names import load_names
        from threeworlds.train import load_model
        from threeworlds.types import Plays

        self._check()
        model, card = load_model(self.checkpoint)
        if not isinstance(model, Plays):
            raise ValueError(f"{self.checkpoint} is a {card.route} model: it learns no latent actions; a genie does")
        names = self._learn(model, card.spec) if self.labels else load_names(self.checkpoint)
        if self.clip is not None:
            self._read(self.clip, model, card.spec, names)
        elif names is None:
            raise ValueError("nothing to do: give a film, or --labels to learn the names of the codes")
        else:
            print_names(names)

    def _check(self) -> None:
        """What can be told to be wrong before anything is loaded."""
        from threeworlds.studio.track import check_picture

        if self.clip is None and (self.plot or self.table):
            raise ValueError("--plot and --table need a film")
        if self.plot is not None:
            check_picture(self.plot)
        if self.labels < 0:
            raise ValueError(f"--labels {self.labels}: steps to learn the names from, at least 1; 0 learns none")
        if self.data is not None and not self.labels:
            raise ValueError(f"--data {self.data}: clips to learn names from; say from how many steps with --labels")

    def _learn(self, model: Any, spec: ClipSpec) -> CodeNames:
        from threeworlds.score.code_names import names_from_clips, names_from_world

        if self.data is None:
            names = names_from_world(model, spec, labelled=self.labels)
        else:
            from threeworlds.data import ClipStore

            names = names_from_clips(model, ClipStore.open(self.data), labelled=self.labels)
        say(f"{names.labelled} labelled steps -> {names.save(self.checkpoint)}")
        return names

    def _read(self, clip: Path, model: Any, spec: ClipSpec, names: CodeNames | None) -> None:
        from threeworlds.cli.films import read_film
        from threeworlds.score.films import to_uint8
        from threeworlds.studio.track import draw_track, runs

        video = read_film(clip, spec)
        if video.shape[1] < 2:
            raise ValueError(f"{clip}: one frame holds no action; a film has two or more")
        codes = model.infer_codes(video)[0].tolist()
        told = [names.name(code) if names else "?" for code in range(model.n_codes)]
        rows = ((f"{a / spec.fps:.1f}-{b / spec.fps:.1f}", f"{a}-{b}", code, told[code]) for code, a, b in runs(codes))
        print_table(("seconds", "frames", "code", "action"), rows, title=str(clip))
        if self.table:
            lines = [f"{step},{step / spec.fps:g},{code},{told[code]}" for step, code in enumerate(codes)]
            self.table.write_text("\n".join(["frame,seconds,code,action", *lines]) + "\n")
        if self.plot:
            labels = [f"{code} {name}" for code, name in enumerate(told)]
            draw_track(to_uint8(video[0]), codes, labels, self.plot, fps=spec.fps)


def print_names(names: CodeNames) -> None:
    """Code by code."""
    rows = ((code, names.name(code)) for code in range(len(names.action_of_code)))
    print_table(("code", "action"), rows)
    say(f"{names.agreement:.0%} of {names.labelled} labelled steps have the action of their code")
