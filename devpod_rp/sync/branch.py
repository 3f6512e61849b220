"""Which git branch is checked out here: the repository itself stays on this machine, so the branch is worth a word."""

from __future__ import annotations

import re
from pathlib import Path

_LINE_BYTES = 4096
_REFERENCE = re.compile(r"ref: refs/heads/(.+)")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")


def branch(root: Path) -> str | None:
    """The branch of the repository at *root*, the first digits of a commit if none; None where it is no repository.

    Read from git's own files (gitrepository-layout(5)): a work tree's ``.git`` may be a file that names the folder.
    """
    place = root / ".git"
    try:
        if place.is_file():
            place = root / _line(place).removeprefix("gitdir: ")
        head = _line(place / "HEAD")
    except (OSError, UnicodeDecodeError):
        return None
    found = _REFERENCE.fullmatch(head)
    if found is not None:
        return found[1]
    return head[:12] if _COMMIT.fullmatch(head) else None


def _line(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.readline(_LINE_BYTES).decode("utf-8").strip()
