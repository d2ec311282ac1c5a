"""The figures in README.md and docs/ are what results/ say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def check(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "docs" / "figures.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_no_figure_in_the_text_differs_from_its_result():
    done = check(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_figure_typed_by_hand_is_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "results").symlink_to(ROOT / "results")
    (tmp_path / "docs" / "figures.py").write_text((ROOT / "docs" / "figures.py").read_text())
    text = (ROOT / "README.md").read_text()
    (tmp_path / "README.md").write_text(text.replace("| next-frame PSNR | ", "| next-frame PSNR | 9"))
    done = check(tmp_path)
    assert done.returncode == 1
    assert "README.md" in done.stdout


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
