"""Making written files survive a power cut before the launcher is told that they are there."""

from __future__ import annotations

import os
import time
from typing import Any, List

from devpod_rp.agent.files import libc
from devpod_rp.agent.files.stamps import Stamp

_SECOND_NS = 1000 * 1000 * 1000

SETTLED_NS = 20 * 1000 * 1000
"""Two ticks of the slowest kernel clock: a younger ctime may hide a second write in the same tick (racy git)."""

SETTLING_SECONDS = 2 * SETTLED_NS / 1e9
"""After so long a ctime is older than that, also by a clock that is a tick behind the one it was taken from."""

COARSE_NS = 4 * 1000 * 1000 * 1000
"""Two ticks of the coarsest file system (vfat)."""

FEW = 64
"""Up to this many files are synced one by one; for more, one syncfs(2) costs less than a journal commit each."""


def flush(descriptors: List[int]) -> None:
    """Return when the content behind *descriptors* (one file system) is on disk."""
    if len(descriptors) > FEW:
        flush_everything(descriptors[-1])
        return
    for descriptor in descriptors:
        os.fsync(descriptor)


def flush_everything(descriptor: int) -> None:
    """Return when the whole file system behind *descriptor* is on disk."""
    if not libc.syncfs(descriptor):
        os.sync()


def is_settled(status: os.stat_result, now_ns: int) -> bool:
    """Whether any later write to the file would show in its stamp. *now_ns* is by the clock that stamps the files, see
    :func:`clock`.

    It would at once in a file whose content is older than its name: a write sets a time of modification that is not
    before the ctime of now. A disk that counts in seconds is known by its times, which are all whole ones.
    """
    mtime_ns, ctime_ns = status.st_mtime_ns, status.st_ctime_ns
    ticks_ns = SETTLED_NS if ctime_ns % _SECOND_NS else COARSE_NS
    if mtime_ns < ctime_ns - (ticks_ns if mtime_ns % _SECOND_NS else COARSE_NS):
        return True
    return ctime_ns < now_ns - ticks_ns


def stamp_row(status: os.stat_result, now_ns: int) -> List[Any]:
    """[ino, size, mtime_ns, ctime_ns, mode, settled]; for the last, see :func:`is_settled`."""
    return [*Stamp.of(status).numbers(), is_settled(status, now_ns)]


def clock(folder: bytes) -> int:
    """The present (ns) by the clock that stamps files in *folder*; on a network volume that is another machine's."""
    try:
        descriptor = os.open(os.path.join(folder, b"clock"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, b"now")
            return os.fstat(descriptor).st_ctime_ns
        finally:
            os.close(descriptor)
    except OSError:
        return time.time_ns()  # a full or absent volume, on which nothing is remembered for long
