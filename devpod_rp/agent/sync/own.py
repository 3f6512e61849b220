"""Telling our own writes from others': what we put into a folder comes back as an event, and is no news."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Optional, Tuple

_REMEMBERED = 20_000

_Version = Optional[Tuple[int, int, int, int]]


class OwnWrites:
    """The versions that we wrote last, by absolute path. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: "OrderedDict[bytes, _Version]" = OrderedDict()

    def note(self, path: bytes, status: Optional[os.stat_result]) -> None:
        """We wrote the file that *status* describes, or removed what was at *path* (None)."""
        versions, version = self._versions, _version(status)
        with self._lock:
            versions[path] = version
            versions.move_to_end(path)
            if len(versions) > _REMEMBERED:
                versions.popitem(last=False)

    def explain(self, path: bytes) -> bool:
        """Whether *path* is just as we left it, so that an event there is our own echo."""
        with self._lock:
            if path not in self._versions:
                return False
            ours = self._versions[path]
        try:
            now: _Version = _version(os.lstat(path))
        except OSError:
            now = None
        return now == ours


def _version(status: Optional[os.stat_result]) -> _Version:
    return None if status is None else (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


OWN = OwnWrites()
"""This process's own."""
