"""``result.json`` in, ``report.md`` and ``report.html`` out."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from threeworlds.report.view import LEDGER, view_of
from threeworlds.score.result import read_result

TEMPLATES = Path(__file__).parent / "templates"


def write_report(folder: str | Path) -> None:
    """Write ``report.md`` and ``report.html`` beside ``folder/result.json``. The same result, the same bytes.

    The page holds all it needs: opening it asks the network for nothing.
    Raises ResultError where result.json is not a result, FileNotFoundError where there is none.
    """
    folder = Path(folder)
    view = view_of(read_result(folder / "result.json"), folder)
    for name, environment in (("report.md", _markdown()), ("report.html", _html())):
        text = environment.get_template(f"{name}.j2").render(view=view, ledger_columns=[title for _, title in LEDGER])
        (folder / name).write_text(text, encoding="utf-8")


def _html() -> Environment:
    environment = _environment(autoescape=True)  # captions and file names come from outside
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
    environment.filters.update(md=markdown_text, path=quote)
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
    line = " ".join(str(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_|~]|\](?=[(\[:]))", r"\\\1", line)  # brackets stay plain where they make no link
