"""Reading the files here that a plan is about, and noticing when they are no longer what it is about."""

from __future__ import annotations

import errno
import os
import threading

from devpod_rp.agent.files import content
from devpod_rp.agent.files.entries import Entry
from devpod_rp.pod.link import AgentRefused
from devpod_rp.sync.reconcile import Action
from devpod_rp.sync.steps import Result

_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class UnstableError(Exception):
    """The local file is not, or no longer, what the plan is about; the next cycle looks again."""


class Source:
    """A file here, open for reading at any offset from any thread.

    Raises:
        UnstableError: it has not the size of *entry*.
        OSError: it cannot be opened.
    """

    def __init__(self, path: str, entry: Entry) -> None:
        self.stream = os.fdopen(os.open(path, _FLAGS), "rb")
        if os.fstat(self.stream.fileno()).st_size != entry.size:
            self.stream.close()
            raise UnstableError
        self._lock = threading.Lock()

    def read_at(self, offset: int, size: int) -> bytes:
        with self._lock:  # not every system reads at an offset without moving there
            self.stream.seek(offset)
            return self.stream.read(size)

    def blocks(self, size: int) -> bytes:
        """The digests of its blocks; see `agent.content`."""
        return content.blocks_of(self.stream.fileno(), size)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()


def read_exactly(path: str, entry: Entry) -> bytes:
    """The content of *path* if it is the version *entry* speaks of; raises UnstableError if it is another by now.

    A file that only grew since, as a log does, still begins with that version.
    """
    # No stream is made around the descriptor: that takes as long as all the rest, and there are many small files.
    descriptor = os.open(path, _FLAGS)
    try:
        data = os.read(descriptor, entry.size)
        while data and len(data) < entry.size and (more := os.read(descriptor, entry.size - len(data))):
            data += more
    except BlockingIOError as error:  # a pipe has taken its name
        raise UnstableError from error
    finally:
        os.close(descriptor)
    if content.digest(data) != entry.digest:
        raise UnstableError
    return data


def failed_read(action: Action, error: Exception) -> Result:
    """What became of an action whose file could not be read, or not be taken by the pod."""
    if isinstance(error, AgentRefused):
        return Result(action, error.code, error.message)
    gone = isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
    if gone or isinstance(error, UnstableError):
        return Result(action, "unstable", "it is being written here; it follows when it is complete")
    return Result(
        action, "not-permitted", f"cannot be read here: {error.strerror if isinstance(error, OSError) else error}"
    )
