"""Disks that are mounted below the folder here: one that is unmounted leaves an empty folder, which deletes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from devpod_rp.agent.machine import mounts

_TABLE = Path("/proc/self/mountinfo")
GONE = "the disk that was mounted here is gone; mount it again, or delete this folder if it is meant to go"


def below(root: Path) -> set[str]:
    """The folders below *root* (relative) at which something is mounted; none where the system does not tell."""
    try:
        table = mounts.parse(_TABLE.read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError):
        return set()
    top = f"{root}/"
    return {mount.point[len(top) :] for mount in mounts.visible(table) if mount.point.startswith(top)}


def unmounted(known: Iterable[str], mounted: Collection[str], present: Collection[str]) -> dict[str, str]:
    """Those of the *known* mount points where nothing is mounted any more but the folder is still *present*."""
    return {path: GONE for path in known if path not in mounted and path in present}
