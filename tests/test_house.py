"""The house keeps its word: what the documents say runs, exists, and loads no more than it must."""

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import threeworlds

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
HEAVY = ("torch", "numpy", "scipy", "matplotlib", "pyarrow", "av")
RUNNABLE = re.compile(r"<!-- run -->\n```(console|python)\n(.*?)```", re.DOTALL)
# Hosts of package indexes and hubs, and folders of one machine: none of them belongs in a file of the project.
FORBIDDEN = re.compile(
    r"pypi\.|pythonhosted|download\.pytorch|conda\.anaconda|/root/|/home/\w|/opt/|(?<![\w.])/work/", re.IGNORECASE
)


def run_python(code: str, *, where: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=where, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(
    "code",
    [
        "import threeworlds, threeworlds.types, threeworlds.routes",
        "from threeworlds.cli import main; main(['--version'])",
        "from threeworlds.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from threeworlds.cli import main\ntry: main(['train', '--help'])\nexcept SystemExit: pass",
    ],
)
def test_nothing_heavy_is_imported_early(code: str) -> None:
    listing = f"\nimport sys; print('HEAVY', [m for m in {HEAVY} if m in sys.modules])"
    done = run_python(code + listing)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("HEAVY []\n")


@pytest.mark.parametrize("room", ["worlds", "data", "train", "score", "report"])
def test_a_room_does_not_bring_torch(room: str) -> None:
    done = run_python(f"import sys, threeworlds.{room}; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr or f"threeworlds.{room} imports torch"


def modules() -> list[str]:
    return [m.name for m in pkgutil.walk_packages(threeworlds.__path__, "threeworlds.")]


@pytest.mark.parametrize("name", modules())
def test_every_export_exists_and_every_module_says_what_it_is(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    missing = [export for export in getattr(module, "__all__", ()) if not hasattr(module, export)]
    assert not missing


def test_changelog_opens_with_this_version() -> None:
    (newest, *_) = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest == threeworlds.__version__


def snippets() -> list[object]:
    found = {path: RUNNABLE.findall(path.read_text()) for path in DOCUMENTS}
    return [pytest.param(blocks, id=str(path.relative_to(ROOT))) for path, blocks in found.items() if blocks]


@pytest.mark.parametrize("blocks", snippets())
def test_what_the_documents_show_runs(blocks: list[tuple[str, str]], tmp_path: Path) -> None:
    """All blocks of a document in turn, in one folder, as a reader would type them."""
    for language, text in blocks:
        lines = [line for line in text.splitlines() if line.startswith("$ threeworlds ")]
        commands = "import shlex\nfrom threeworlds.cli import main\n" + "\n".join(
            f"assert main(shlex.split({line[2:]!r})[1:]) == 0, {line!r}" for line in lines
        )
        assert language == "python" or lines, "a console block to run holds lines that begin with '$ threeworlds'"
        done = run_python(text if language == "python" else commands, where=tmp_path)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def test_the_main_documents_show_something_that_runs() -> None:
    shown = {path.name for path in DOCUMENTS if RUNNABLE.search(path.read_text())}
    assert {"README.md", "guide.md"} <= shown


def own_files() -> list[Path]:
    """Text files of the project, tracked or about to be."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    text = {".py", ".md", ".toml", ".txt", ".yml", ".json", ".j2", ".css", ".js", ".html", ""}
    files = [ROOT / name for name in listing.stdout.splitlines()]
    return [f for f in files if f.suffix in text and f.is_file() and f != Path(__file__).resolve()]


def read_words(file: Path) -> str:
    """Its text without the pictures within, whose base64 may spell anything."""
    return re.sub(r"(;base64,)[A-Za-z0-9+/=]+", r"\1", file.read_text(errors="ignore"))


def test_no_file_names_a_package_host_or_a_folder_of_one_machine() -> None:
    hits = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for file in own_files()
        for number, line in enumerate(read_words(file).splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert not hits


def test_make_help_names_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    documented = set(re.findall(r"^([a-z]+):.*## ", text, re.MULTILINE))
    assert set(phony.split()) - documented == {"browser"}  # a part of `test`, not a door
