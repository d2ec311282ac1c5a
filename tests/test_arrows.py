"""The import arrows of the house: a room imports only rooms below it, never one beside it.

    types -> nn, flow, planning, worlds, data -> routes/{sora,genie,jepa} -> train -> score -> report, studio -> cli

Read from the syntax trees, so an import inside a function or under TYPE_CHECKING counts as well.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "threeworlds"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE
LEVELS = (
    ("", "types"),  # "" is threeworlds/__init__.py
    ("nn", "flow", "planning", "worlds", "data"),
    ("routes", "routes.sora", "routes.genie", "routes.jepa"),
    ("train",),
    ("score",),
    ("report", "studio"),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


def room_of(module: str) -> str:
    """``threeworlds.routes.sora.model`` -> ``routes.sora``; ``threeworlds.train.loop`` -> ``train``."""
    parts = module.split(".")[1:]
    if parts[:1] == ["routes"]:
        return ".".join(parts[:2])
    return parts[0] if parts else ""


def module_of(file: Path, source: Path) -> str:
    parts = file.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """(line, module) for everything of ours that a file imports, by statement or by ``import_module("...")``."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: None if is_package and node.level == 1 else -node.level + is_package]
                base = ".".join([*package, base]).rstrip(".")
            # `from threeworlds import data` imports the room "data", `from threeworlds.routes import sora` a route.
            names = (
                [f"{base}.{alias.name}" for alias in node.names] if base in (PACKAGE, f"{PACKAGE}.routes") else [base]
            )
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
        yield from ((node.lineno, name) for name in names if name.split(".")[0] == PACKAGE)


def known(module: str) -> str:
    """The room of an imported name; a name that is no room (``__version__``, ``get_route``) belongs to its parent."""
    room = room_of(module)
    return room if room in LEVEL else room.rpartition(".")[0]


def violations(source: Path) -> list[str]:
    """One line for every import that runs against the arrows; empty when the house is in order."""
    found = []
    for file in sorted(source.rglob("*.py")):
        module = module_of(file, source)
        home = known(module)
        if home == "" and module != PACKAGE:
            found.append(f"{file.relative_to(source)}: no such room in the order; add it to LEVELS on purpose")
            continue
        for line, name in imported(ast.parse(file.read_text()), module, is_package=file.name == "__init__.py"):
            room = known(name)
            if room != home and LEVEL[room] >= LEVEL[home] and room != "":
                found.append(f"{file.relative_to(source)}:{line}: {home or PACKAGE} imports {room}")
    return found


def test_imports_follow_the_arrows() -> None:
    assert violations(SOURCE) == []


PLANTED = {
    "types.py": ("from threeworlds import data", "types imports data"),
    "nn/attention.py": ("from threeworlds.flow import path", "nn imports flow"),
    "worlds/arena.py": ("def f():\n    from ..data.store import ClipStore", "worlds imports data"),
    "data/store.py": ("import threeworlds.train", "data imports train"),
    "flow/path.py": ("from .. import planning", "flow imports planning"),
    "routes/sora/model.py": ("from threeworlds.routes import genie", "routes.sora imports routes.genie"),
    "routes/genie/model.py": ("from ..jepa.model import Encoder", "routes.genie imports routes.jepa"),
    "routes/jepa/model.py": ("from threeworlds.routes import get_route", "routes.jepa imports routes"),
    "routes/__init__.py": ("from . import sora", "routes imports routes.sora"),
    "train/loop.py": ("if TYPE_CHECKING:\n    from threeworlds.score.result import Row", "train imports score"),
    "score/scorecard.py": ("import importlib\nimportlib.import_module('threeworlds.report')", "score imports report"),
    "report/page.py": ("from threeworlds.cli import main", "report imports cli"),
    "attic/utils.py": ("", "no such room"),
}


@pytest.mark.parametrize("path", PLANTED)
def test_a_planted_violation_is_caught(tmp_path: Path, path: str) -> None:
    text, message = PLANTED[path]
    file = tmp_path / PACKAGE / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    (found,) = violations(tmp_path / PACKAGE)
    assert message in found


ALLOWED = {
    "nn/spacetime.py": "from threeworlds.types import Row\nfrom threeworlds.nn.conv import Conv\nfrom . import text",
    "routes/sora/model.py": "from threeworlds.nn import conv\nfrom .loss import loss\nfrom threeworlds import flow",
    "train/checkpoint.py": "from threeworlds import __version__\nfrom threeworlds.routes import get_route",
    "cli/__init__.py": "from .main import run\nfrom threeworlds.report import write_report",
}


@pytest.mark.parametrize("path", ALLOWED)
def test_an_import_along_the_arrows_passes(tmp_path: Path, path: str) -> None:
    file = tmp_path / PACKAGE / path
    file.parent.mkdir(parents=True)
    file.write_text(ALLOWED[path])
    assert violations(tmp_path / PACKAGE) == []
