"""The directory on the volume that holds all rescues: one rescue at a time, nothing in it ever removed."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import Iterator, Tuple

from devpod_rp.agent import manifest
from devpod_rp.agent.wire import Refusal


@contextmanager
def alone_in(folder: str) -> Iterator[None]:
    """Hold the shelf for one rescue. Raises Refusal "busy" while another one holds it."""
    descriptor = os.open(os.path.join(folder, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal("busy", "another rescue to this volume is running") from None
        except OSError as error:
            # Some network file systems have no locks. A clash then fails loudly at the rename, it loses nothing.
            if error.errno not in (errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.ENOLCK):
                raise
        yield
    finally:
        os.close(descriptor)


def keep_interrupted(folder: str, leave_out: str) -> None:
    """Give a rescue that was cut off a name of its own: it may hold all that is left of a disk.

    *leave_out* is the name of the file that was being written and is only a part.
    """
    for name in os.listdir(folder):
        if name.startswith(manifest.INCOMPLETE):
            unfinished = os.path.join(folder, name)
            part = os.path.join(unfinished, leave_out)
            if os.path.lexists(part):
                os.unlink(part)
            kept = os.path.join(folder, name[len(manifest.INCOMPLETE) :] + manifest.INTERRUPTED)
            os.rename(unfinished, unused(kept))


def unused(path: str) -> str:
    """*path*, or the first of ``path-2``, ``path-3``, … that does not exist."""
    candidate, number = path, 1
    while os.path.lexists(candidate):
        number += 1
        candidate = "{0}-{1}".format(path, number)
    return candidate


def remains(directory: str) -> Tuple[int, int]:
    """How many files an interrupted rescue holds, and their bytes."""
    files, size = 0, 0
    for folder, _directories, names in os.walk(directory):
        for name in names:
            files += 1
            size += os.lstat(os.path.join(folder, name)).st_size
    return files, size
