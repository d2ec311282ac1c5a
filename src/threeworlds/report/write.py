"""``result.json`` in, ``report.md`` and ``report.html`` out."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from threeworlds.report.view import LEDGER, view_of
from threeworlds.score.result import ResultError, read_result

BESIDE = "beside.json"
TEMPLATES = Path(__file__).parent / "templates"


def write_report(folder: str | Path) -> None:
    """Write ``report.md`` and ``report.html`` beside ``folder/result.json``. The same results, the same bytes.

    The page holds all it needs: opening it asks the network for nothing. Where ``folder/beside.json`` names further
    folders, the guide draws on their results too.
    Raises ResultError where result.json is not a result, FileNotFoundError where there is none.
    """
    folder = Path(folder)
    result = read_result(folder / "result.json")
    others = {name: read_result(folder / name / "result.json") for name in beside(folder)}
    view = view_of(result, folder, beside=others, digest=digest(folder))
    for name, environment in (("report.md", _markdown()), ("report.html", _html())):
        environment.globals.update(ledger_columns=[title for _, title in LEDGER])
        text = environment.get_template(f"{name}.j2").render(view=view)
        (folder / name).write_text(text, encoding="utf-8")


def beside(folder: Path) -> list[str]:
    """Folders of further results, relative to this one. Raises ResultError where beside.json is no list of names."""
    path = folder / BESIDE
    if not path.exists():
        return []
    names = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ResultError(f'{path}: must be a list of folders, such as ["../compare-rooms"], got {names!r}')
    return names


def remember_beside(folder: Path, others: Iterable[Path]) -> None:
    """Name further results in ``folder/beside.json``, so that the report comes out the same when it is made again.

    Raises what ``write_report`` would where one of them cannot be read; then nothing is remembered.
    """
    others = tuple(others)
    for other in others:
        read_result(other / "result.json")
    names = [Path(os.path.relpath(other, folder)).as_posix() for other in others]
    (folder / BESIDE).write_text(json.dumps(names) + "\n", encoding="utf-8")


def digest(folder: Path) -> str:
    """Tells whether a page or a picture is of these results: SHA-256 over them, this one's first."""
    files = [folder / "result.json", *(folder / name / "result.json" for name in beside(folder))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _html() -> Environment:
    environment = _environment(autoescape=True)  # captions and file names come from outside
    environment.filters.update(parts=code_parts)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=f"sha256-{digest}",  # the page's policy runs this script and no other
    )
    return environment


def _markdown() -> Environment:
    environment = _environment(autoescape=False)
    environment.filters.update(md=markdown_text, code=markdown_code, path=quote)
    return environment


def _environment(*, autoescape: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def markdown_text(text: object) -> str:
    """``text`` on one line, with what Markdown or HTML would read as markup made plain."""
    return _plain(_line(text))


def markdown_code(text: object) -> str:
    """Like markdown_text, but what stands between two backticks stays code."""
    parts = code_parts(_line(text))
    return "".join(f"`{part.replace('|', chr(92) + '|')}`" if i % 2 else _plain(part) for i, part in enumerate(parts))


def code_parts(text: object) -> list[str]:
    """Every second part stood between two backticks."""
    return re.split(r"`([^`\n]+)`", str(text))


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _plain(line: str) -> str:
    line = line.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_|~]|\](?=[(\[:]))", r"\\\1", line)  # brackets stay plain where they make no link
