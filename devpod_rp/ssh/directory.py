"""Directories that nobody else may look into, as ``ssh`` demands."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def make_private(directory: Path) -> None:
    """Make *directory* with mode 0700, missing parents (``~/.ssh``) as well; a too open one of ours is closed."""
    for each in (*reversed(directory.parents), directory):
        each.mkdir(mode=0o700, exist_ok=True)
    if os.name != "nt" and stat.S_IMODE(directory.stat().st_mode) & 0o077:
        directory.chmod(0o700)
