"""Ending what a dead server left behind."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path


def sweep(root: Path, live: Collection[str]) -> list[str]:
    """End every sandbox whose directory lies in *root* and whose pod is not in *live*; returns the pods' ids."""
    raise NotImplementedError
