"""The container disk of a pod."""

from __future__ import annotations

from pathlib import Path


def wipe(directory: Path) -> None:
    """Bring the container disk of the pod in *directory* back to the image's state."""
    raise NotImplementedError


def container_log(directory: Path) -> Path:
    """The log of the pod in *directory*: every line begins with an RFC 3339 time in UTC and one space."""
    return directory / "container.log"


def erase(path: Path) -> None:
    """Remove a directory tree a pod has written to (a volume), whatever modes and owners it gave its files."""
    raise NotImplementedError
