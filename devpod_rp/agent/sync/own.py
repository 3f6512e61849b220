"""Telling our own writes from others': what we put into a folder comes back as an event, and is no news."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from typing import Optional, Tuple

_REMEMBERED = 20_000

_ECHO_SECONDS = 15.0
"""Longer than an event is held back for a checkout."""

_Version = Optional[Tuple[int, int, int, int]]


class OwnWrites:
    """The versions that we wrote last, by absolute path. Any thread may use it.

    A version has a time that no other one has, but nothing is like nothing: that we removed what was there explains an
    absence only until something else is seen at the path, and not for long, as it may come and go unseen.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: "OrderedDict[bytes, Tuple[_Version, float]]" = OrderedDict()

    def note(self, path: bytes, status: Optional[os.stat_result]) -> None:
        """We wrote the file that *status* describes, or removed what was at *path* (None)."""
        versions, version = self._versions, (_version(status), time.monotonic())
        with self._lock:
            versions[path] = version
            versions.move_to_end(path)
            if len(versions) > _REMEMBERED:
                versions.popitem(last=False)

    def forget(self, path: bytes) -> None:
        """We made something at *path* that is no file."""
        with self._lock:
            self._versions.pop(path, None)

    def explain(self, path: bytes) -> bool:
        """Whether *path* is just as we left it, so that an event there is our own echo."""
        with self._lock:
            noted = self._versions.get(path)
        if noted is None:
            return False
        version, at = noted
        try:
            now: _Version = _version(os.lstat(path))
        except OSError:
            now = None
        if now == version and (now is not None or time.monotonic() - at < _ECHO_SECONDS):
            return True
        with self._lock:
            if self._versions.get(path) is noted:
                del self._versions[path]
        return False


def _version(status: Optional[os.stat_result]) -> _Version:
    return None if status is None else (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


OWN = OwnWrites()
"""This process's own."""
