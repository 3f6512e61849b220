"""Tools that `.ci/browser-tools` installs: a browser, a workbench, and other people's parsers to compare with."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HOME = Path("/opt/devpod_rp-test-tools")
NODE = HOME / "node" / "node_modules" / "node" / "bin" / "node"
CHECKS = HOME / "checks"


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
        env={**os.environ, "NODE_PATH": str(CHECKS / "node_modules")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
