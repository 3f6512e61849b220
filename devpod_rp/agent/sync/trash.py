"""What was replaced or deleted: what there is of it, how long the trash keeps it, and how much."""

from __future__ import annotations

import os
import stat
import threading
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

TRASH_SECONDS = 7 * 24 * 3600
TRASH_BYTES = 2 << 30
_LOOK_BYTES = 64 << 20
_LOOK_SECONDS = 3600.0

LOCK = threading.Lock()
"""Held by whoever puts something there or goes through it: :func:`tidy` may run in another thread."""

_tidying = threading.Lock()
_since: Dict[bytes, List[float]] = {}
_last: Dict[bytes, Tuple[str, str]] = {}


def moment(trash: bytes, plan: Optional[str]) -> str:
    """What the folder in *trash* is called to which something goes now: all that one *plan* replaces or deletes, in
    however many batches, goes to the one of its first."""
    known = _last.get(trash)
    if plan is not None and known is not None and known[0] == plan:
        return known[1]
    now = time.time()
    name = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + ".%06dZ" % int(now % 1 * 1e6)
    if plan is not None:
        _last[trash] = (plan, name)
    return name


def put(trash: bytes, size: int) -> None:
    """*size* bytes came to *trash*, which is for :func:`tidy` to know."""
    _since.setdefault(trash, [0.0, time.monotonic()])[0] += size


def tidy(trash: bytes) -> None:
    """See whether *trash* holds too much, if enough came since the last time, or that is long ago.

    A connection may last for weeks, so that looking at its beginning alone would let the trash fill the volume. It
    takes a while to remove a large file: this is for a moment when nobody waits.
    """
    if not _tidying.acquire(blocking=False):
        return  # another thread is at it
    try:
        added, looked = _since.setdefault(trash, [0.0, time.monotonic()])
        if added >= _LOOK_BYTES or time.monotonic() - looked >= _LOOK_SECONDS:
            _since[trash] = [0.0, time.monotonic()]
            prune(trash, time.time())
    finally:
        _tidying.release()


def held(status: os.stat_result) -> int:
    """What a file takes from the disk: holes are no bytes."""
    return min(status.st_size, getattr(status, "st_blocks", status.st_size) * 512)


def listed(trash: bytes) -> List[List[Any]]:
    """What *trash* holds: ``[moment, path, kind, size, mtime_ns, link target]``, newest moment first."""
    with LOCK:
        return list(_rows(trash))


def prune(trash: bytes, now: float, seconds: int = TRASH_SECONDS, size: int = TRASH_BYTES) -> None:
    """Remove the oldest trash: everything older than *seconds*, and what exceeds *size* bytes in all."""
    total = 0
    for name in _moments(trash):
        folder = os.path.join(trash, name)
        total += sum(_size(path) for path in _files_below(folder))
        if total > size or now - os.lstat(folder).st_mtime > seconds:
            with LOCK:
                _remove_tree(folder)


def _moments(trash: bytes) -> List[bytes]:
    """The newest first."""
    return sorted(os.listdir(trash), reverse=True) if os.path.isdir(trash) else []


def _rows(trash: bytes) -> Iterator[List[Any]]:
    for moment in _moments(trash):
        top = os.path.join(trash, moment)
        for where, folders, names in os.walk(top):
            for name in names + [each for each in folders if os.path.islink(os.path.join(where, each))]:
                place = os.path.join(where, name)
                status = os.lstat(place)
                target = os.readlink(place) if stat.S_ISLNK(status.st_mode) else b""
                kind = "symlink" if target else "file"
                path = os.path.relpath(place, top).decode("utf-8", "surrogateescape")
                text = target.decode("utf-8", "surrogateescape")
                yield [moment.decode("ascii"), path, kind, status.st_size, status.st_mtime_ns, text]


def _size(path: bytes) -> int:
    try:
        return held(os.lstat(path))
    except FileNotFoundError:
        return 0  # it was put back meanwhile


def _files_below(folder: bytes) -> Iterator[bytes]:
    for where, _folders, names in os.walk(folder):
        for name in names:
            yield os.path.join(where, name)


def _remove_tree(folder: bytes) -> None:
    for where, folders, names in os.walk(folder, topdown=False):
        for name in names:
            os.unlink(os.path.join(where, name))
        for name in folders:
            path = os.path.join(where, name)
            if os.path.islink(path):
                os.unlink(path)
            else:
                os.rmdir(path)
    os.rmdir(folder)
