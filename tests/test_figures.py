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
