"""The directory on the volume that holds all rescues: one rescue at a time, nothing in it ever removed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from contextlib import contextmanager
from typing import Iterable, Iterator, Tuple

from devpod_rp.agent.exposure import manifest
from devpod_rp.agent.files.changes import Stamp
from devpod_rp.agent.files.naming import unused
from devpod_rp.agent.wire import Refusal

# Below our own folder, which no look for copies and no synchronisation enters.
PARTS = ".devpod_rp/rescue"


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


def keep_interrupted(folder: str) -> None:
    """Give a rescue that was cut off a name of its own: it may hold all that is left of a disk."""
    for name in os.listdir(folder):
        if name.startswith(manifest.INCOMPLETE):
            kept = os.path.join(folder, name[len(manifest.INCOMPLETE) :] + manifest.INTERRUPTED)
            os.rename(os.path.join(folder, name), unused(kept))


class Parts:
    """Where files lie on *volume* while they are copied: apart from the rescues, for half a file is nobody's copy.

    A part is named after the state of the file that it becomes, so that a rescue that was cut off goes on with it.
    """

    def __init__(self, volume: str) -> None:
        self._folder = os.path.join(volume, PARTS)
        os.makedirs(self._folder, mode=0o700, exist_ok=True)

    def of(self, path: str, stamp: Stamp) -> str:
        state = "{0} {1}".format(tuple(stamp), path).encode("utf-8", "surrogateescape")
        return os.path.join(self._folder, hashlib.blake2b(state, digest_size=16).hexdigest())

    def keep_only(self, wanted: Iterable[str]) -> None:
        """Remove the parts that nothing will continue; *wanted* are paths that :meth:`of` gave."""
        kept = {os.path.basename(path) for path in wanted}
        for name in os.listdir(self._folder):
            if name not in kept:
                os.unlink(os.path.join(self._folder, name))

    @staticmethod
    def drop(part: str) -> None:
        if os.path.lexists(part):
            os.unlink(part)


def remains(directory: str) -> Tuple[int, int]:
    """How many files an interrupted rescue holds, and their bytes."""
    files, size = 0, 0
    for folder, _directories, names in os.walk(directory):
        for name in names:
            files += 1
            size += os.lstat(os.path.join(folder, name)).st_size
    return files, size
