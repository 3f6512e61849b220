"""Making written files survive a power cut before the launcher is told that they are there."""

from __future__ import annotations

import ctypes
import os
import time
from typing import Any, List

SETTLED_NS = 20 * 1000 * 1000
"""Two ticks of the slowest kernel clock: a younger ctime may hide a second write in the same tick (racy git)."""

_FEW = 64
_libc = None


def flush(descriptors: List[int]) -> None:
    """Return when the content behind *descriptors* (one file system) is on disk.

    A few files are synced one by one; for many, one syncfs(2) costs less than a journal commit per file.
    """
    if len(descriptors) <= _FEW:
        for descriptor in descriptors:
            os.fsync(descriptor)
    elif not _sync_file_system(descriptors[-1]):
        os.sync()


def _sync_file_system(descriptor: int) -> bool:
    global _libc
    if _libc is None:
        _libc = ctypes.CDLL(None, use_errno=True)
    syncfs = getattr(_libc, "syncfs", None)
    return syncfs is not None and syncfs(descriptor) == 0


def stamp_row(status: os.stat_result) -> List[Any]:
    """[ino, size, mtime_ns, ctime_ns, mode, settled]; *settled* says that any later write would show in the others."""
    settled = status.st_ctime_ns < time.time_ns() - SETTLED_NS
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode, settled]
