"""The launcher's half of the guard is there where the pod's half could not run: on Windows and macOS."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Modules and flags that Windows does not have.
_WITHOUT = """
import os, sys
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in ("O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC", "O_NONBLOCK", "SEEK_DATA", "SEEK_HOLE", "sync", "posix_fadvise"):
    delattr(os, name)
import {0}
"""


@pytest.mark.parametrize(
    "module",
    [
        "devpod_rp.guard.download",
        "devpod_rp.guard.rescue",
        "devpod_rp.guard.report",
        "devpod_rp.guard.volume",
        "devpod_rp.lifecycle.risk.look",
        "devpod_rp.lifecycle.risk.stakes",
        "devpod_rp.lifecycle.furnishing.disks",
        "devpod_rp.keeper.lookout",
        "devpod_rp.cli.decide",
        "devpod_rp.cli.end",
        "devpod_rp.cli.rescue",
    ],
)
def test_it_can_be_imported_on_windows(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(module)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
