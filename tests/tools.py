"""Tools that `.ci/browser-tools` installs: a browser, an editor and a notebook for it, and other people's parsers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HOME = Path("/opt/devpod_rp-test-tools")
NODE = HOME / "node" / "node_modules" / "node" / "bin" / "node"
CHECKS = HOME / "checks"
CODE_SERVER_ARCHIVE = HOME / "code-server.tar.gz"
JUPYTER = HOME / "jupyter" / "bin"

# What tests are shown by a browser stays for whoever looks into a run.
SCREENSHOTS = Path(__file__).resolve().parents[1] / "build" / "screenshots"

_BROWSE = """
import { chromium } from 'playwright-core';
const [address, picture, ...words] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
});
const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
page.setDefaultTimeout(90000);
try {
  await page.goto(address, { waitUntil: 'domcontentloaded' });
  await visit(page, words);
} finally {
  await page.screenshot({ path: picture });
  await browser.close();
}
"""


def need(*parts: Path | str) -> None:
    """Skip the test that calls unless everything is there: files by path, programs by name."""
    missing = [str(part) for part in parts if not (part.exists() if isinstance(part, Path) else shutil.which(part))]
    if missing:
        pytest.skip(f".ci/browser-tools has not installed {', '.join(missing)}")


def node(script: str, *arguments: str, timeout: float = 120) -> str:
    """What *script*, an ES module that may import the packages in CHECKS, prints."""
    need(NODE, CHECKS / "node_modules")
    done = subprocess.run(
        [str(NODE), "--input-type=module", "-", *arguments],
        input=script,
        cwd=CHECKS,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "CHROMIUM": str(shutil.which("chromium"))},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def browse(address: str, picture: str, visit: str, *words: str, timeout: float = 240) -> str:
    """What *visit*, the body of an async JavaScript function of (page, words), prints in a real, headless Chromium.

    The page is at *address* by then. How it looked at the end is kept as *picture*, whatever came of it.
    """
    need("chromium")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    script = f"async function visit(page, words) {{\n{visit}\n}}\n{_BROWSE}"
    return node(script, address, str(SCREENSHOTS / picture), *words, timeout=timeout)
