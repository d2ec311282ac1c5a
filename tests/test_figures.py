"""The figures in README.md and docs/ are what results/ say, and so are the pictures and the reports of results."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent


def check(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "docs" / "figures.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A house with these results and pictures, whose README and results may be changed."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "figures.py").write_text((ROOT / "docs" / "figures.py").read_text())
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text())
    shutil.copytree(ROOT / "docs" / "pictures", tmp_path / "docs" / "pictures")
    (tmp_path / "results").mkdir()
    for found in (ROOT / "results").iterdir():
        (tmp_path / "results" / found.name).symlink_to(found)
    return tmp_path


def test_no_figure_in_the_text_differs_from_its_result():
    done = check(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_figure_typed_by_hand_is_found(house):
    text = (house / "README.md").read_text()
    (house / "README.md").write_text(text.replace("| next-frame PSNR | ", "| next-frame PSNR | 9"))
    done = check(house)
    assert done.returncode == 1
    assert done.stdout.endswith(": README.md\n")


def test_pictures_and_reports_of_other_results_are_found(house):
    """No number in the text changes with a space, the bytes of the result do."""
    own = house / "results" / "zoo-arena"
    own.unlink()
    shutil.copytree(ROOT / "results" / "zoo-arena", own)
    with (own / "result.json").open("a") as file:
        file.write(" ")
    done = check(house)
    assert done.returncode == 1
    assert done.stdout.endswith(": scorecard.png, zoo-arena/report.html, zoo-arena/report.md\n")


def test_a_picture_that_does_not_say_what_it_shows_is_found(house):
    picture = house / "docs" / "pictures" / "arena.png"
    Image.open(picture).convert("RGB").save(picture)
    done = check(house)
    assert done.returncode == 1
    assert done.stdout.endswith(": arena.png\n")


def test_a_verdict_that_the_rules_do_not_give_is_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "figures.py").write_text((ROOT / "docs" / "figures.py").read_text())
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text())
    changed = tmp_path / "results" / "plan-rooms" / "result.json"
    changed.parent.mkdir(parents=True)
    for entry in (ROOT / "results").iterdir():
        if entry.name != "plan-rooms":
            (tmp_path / "results" / entry.name).symlink_to(entry)
    text = (ROOT / "results" / "plan-rooms" / "result.json").read_text()
    changed.write_text(text.replace('"verdict": "supported"', '"verdict": "refuted"'))
    done = check(tmp_path)
    assert done.returncode == 1
    assert "plan-rooms" in done.stdout
