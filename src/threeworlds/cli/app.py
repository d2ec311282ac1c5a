"""``threeworlds``: the commands as one parser, and what an error looks like to the person who typed.

Every command is a frozen dataclass whose fields are its flags and whose ``run`` does the work. Heavy imports stand
inside ``run``, so that ``--help`` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Annotated, Protocol

import tyro
from rich.markup import escape
from tyro.conf import subcommand

from threeworlds import __version__
from threeworlds.cli.actions import Actions
from threeworlds.cli.check import Check
from threeworlds.cli.compare import Compare
from threeworlds.cli.console import errors, say
from threeworlds.cli.data import DataCaption, DataGenerate, DataInfo, DataIngest, DataVerify
from threeworlds.cli.export import Export
from threeworlds.cli.imagine import Imagine
from threeworlds.cli.info import Info
from threeworlds.cli.plan import Plan
from threeworlds.cli.play import Play
from threeworlds.cli.report import Report
from threeworlds.cli.score import Score
from threeworlds.cli.train import Train
from threeworlds.cli.worlds import Worlds
from threeworlds.cli.zoo import ZooAdd, ZooList

PACKAGE = "threeworlds"
LARGEST_SEED = 2**32 - 1
DESCRIPTION = """Train, play, plan with, score and compare the three routes to a world model: sora, genie, jepa.

`threeworlds compare --out runs/compare` is the main job. `threeworlds --version` prints the version.
THREEWORLDS_DEBUG=1 shows the traceback of an error."""

DataCommand = (
    Annotated[DataGenerate, subcommand("generate")]
    | Annotated[DataIngest, subcommand("ingest")]
    | Annotated[DataCaption, subcommand("caption")]
    | Annotated[DataInfo, subcommand("info")]
    | Annotated[DataVerify, subcommand("verify")]
)
ZooCommand = Annotated[ZooAdd, subcommand("add")] | Annotated[ZooList, subcommand("list")]
AnyCommand = (
    Annotated[Compare, subcommand("compare")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Score, subcommand("score")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Imagine, subcommand("imagine")]
    | Annotated[Play, subcommand("play")]
    | Annotated[Actions, subcommand("actions")]
    | Annotated[Plan, subcommand("plan")]
    | Annotated[Worlds, subcommand("worlds")]
    | Annotated[DataCommand, subcommand("data", description="Clips on disk: make, ingest, look at and verify them.")]
    | Annotated[ZooCommand, subcommand("zoo", description="Trained models that are kept: add one, list them.")]
    | Annotated[Check, subcommand("check")]
    | Annotated[Info, subcommand("info")]
)
STYLE = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)


class Command(Protocol):
    def run(self) -> None: ...


def parse(arguments: Sequence[str]) -> Command:
    """Words of the command line -> a command. Prints what was wrong and exits with 2 where they are not one."""
    return tyro.cli(AnyCommand, prog="threeworlds", description=DESCRIPTION, args=arguments, config=STYLE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 the user's to mend, 130 interrupted."""
    try:
        try:
            return obey(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever reads our output has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def obey(arguments: Sequence[str]) -> int:
    """``main``, whose output has a reader to the end."""
    if list(arguments) == ["--version"]:
        say(f"threeworlds {__version__}")
        return 0
    command = parse(arguments)
    show_log()
    try:
        check_numbers(command)
        command.run()
    except Exception as error:
        if os.environ.get("THREEWORLDS_DEBUG") == "1" or not is_for_the_user(error):
            raise
        errors.print(f"[bold red]error:[/] {escape(message_of(error))}", soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        errors.print("[bold red]interrupted[/]")
        return 130
    return 0


def check_numbers(command: Command) -> None:
    """A ValueError where a number that means the same in every command cannot be, before any work is done."""
    seed, items = getattr(command, "seed", 0), getattr(command, "items", 1)
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed {seed} given; it must be from 0 to {LARGEST_SEED}")
    if items < 1:
        raise ValueError(f"items {items} given; it must be at least 1")


def show_log() -> None:
    """Print what the rooms tell of their progress to stderr, a line each."""
    from rich.logging import RichHandler

    handler = RichHandler(console=errors, show_level=False, show_path=False, log_time_format="[%X]")
    logger = logging.getLogger(PACKAGE)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


def is_for_the_user(error: Exception) -> bool:
    """Whether an error is for the person at the keyboard: a file that cannot be opened, or an error that we raised.

    A ValueError that a library raised under us is a defect of ours, and its traceback is what helps.
    """
    if isinstance(error, OSError) and error.filename is not None:
        return True
    ours = type(error).__module__.split(".")[0] == PACKAGE
    return ours or (isinstance(error, ValueError | OSError) and _raised_by_us(error.__traceback__))


def message_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _raised_by_us(trace: TracebackType | None) -> bool:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0] == PACKAGE
