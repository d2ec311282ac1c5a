"""The page in a real browser: it runs, it is quiet, it asks for nothing, it can be seen."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)

pytestmark = pytest.mark.skipif(
    BROWSER is None and "CI" not in os.environ, reason="no Chromium here: install the Debian package chromium"
)


@pytest.fixture
def browse(tmp_path):
    """browse(file, *flags) -> (stdout, lines of the page's console)."""

    def run(file, *flags):
        assert BROWSER, "CI needs a browser: install the Debian package chromium"
        command = [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags, file.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


def test_the_page_runs_and_is_quiet(page, browse):
    dom, console = browse(page / "report.html", "--virtual-time-budget=2000", "--dump-dom")
    assert console == []
    assert re.search(r'<html[^>]* data-ready="9"', dom)  # two items of four routes, one film made from words
    assert len(re.findall(r'class="player ', dom)) == 9
    assert "frame 1 of 16" in dom


def test_a_request_would_be_seen(page, browse, tmp_path):
    """The page's policy forbids requests, and the console tells of each: that is what the quiet above rests on."""
    html = (page / "report.html").read_text()
    leaky = tmp_path / "leaky.html"
    leaky.write_text(html.replace("</main>", '<img src="http://127.0.0.1:9/x.png" alt=""></main>'))
    _, console = browse(leaky, "--virtual-time-budget=2000", "--dump-dom")
    assert any("Content Security Policy" in line for line in console)


@pytest.mark.parametrize(("scheme", "size"), [(1, (1280, 1000)), (0, (500, 900))])
def test_the_page_can_be_seen_in_light_and_dark(page, browse, tmp_path, scheme, size):
    picture = tmp_path / "page.png"
    browse(
        page / "report.html",
        f"--blink-settings=preferredColorScheme={scheme}",
        f"--window-size={size[0]},{size[1]}",
        f"--screenshot={picture}",
    )
    with Image.open(picture) as image:
        grey = np.asarray(image.convert("L"), dtype=float)
    assert grey.shape[1] == size[0]
    assert grey.std() > 10  # not blank
    assert (np.median(grey) > 128) == (scheme == 1)  # paper is light, or dark
