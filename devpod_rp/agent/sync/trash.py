"""How long the trash keeps what was replaced or deleted, and how much of it."""

from __future__ import annotations

import os
import time
from typing import Dict, Iterator, List, Optional, Tuple

TRASH_SECONDS = 7 * 24 * 3600
TRASH_BYTES = 2 << 30
_LOOK_BYTES = 64 << 20
_LOOK_SECONDS = 3600.0

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
    """*size* bytes came to *trash*; now and then that is the occasion to see whether it holds too much.

    A connection may last for weeks, so that looking at its beginning alone would let the trash fill the volume.
    """
    added, looked = _since.setdefault(trash, [0.0, time.monotonic()])
    if added + size < _LOOK_BYTES and time.monotonic() - looked < _LOOK_SECONDS:
        _since[trash][0] += size
        return
    _since[trash] = [0.0, time.monotonic()]
    prune(trash, time.time())


def held(status: os.stat_result) -> int:
    """What a file takes from the disk: holes are no bytes."""
    return min(status.st_size, getattr(status, "st_blocks", status.st_size) * 512)


def prune(trash: bytes, now: float, seconds: int = TRASH_SECONDS, size: int = TRASH_BYTES) -> None:
    """Remove the oldest trash: everything older than *seconds*, and what exceeds *size* bytes in all."""
    total = 0
    for name in sorted(os.listdir(trash) if os.path.isdir(trash) else (), reverse=True):
        folder = os.path.join(trash, name)
        total += sum(held(os.lstat(path)) for path in _files_below(folder))
        if total > size or now - os.lstat(folder).st_mtime > seconds:
            _remove_tree(folder)


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
