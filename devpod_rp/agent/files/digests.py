"""Reading a file's content exactly once, noticing when it changes under the reader."""

from __future__ import annotations

import hashlib
import os
from typing import Callable, Iterator, Optional

from devpod_rp.agent.files import handles
from devpod_rp.agent.files.changes import Stamp
from devpod_rp.agent.files.memory import recall

BLOCK = 1 << 20


class ChangedWhileRead(Exception):
    """The file was written, replaced or cut while it was read: what was read is no state it ever had."""


def content_digest(path: str, stamp: Optional[Stamp] = None, progress: Optional[Callable[[int], None]] = None) -> str:
    """blake2b (32 bytes, hex) of a regular file's content; *stamp* is the state the caller means.

    Raises:
        ChangedWhileRead: it is not, or no longer, in that state.
        OSError: it cannot be read.
    """

    def read() -> str:
        digest = hashlib.blake2b(digest_size=32)
        for block in blocks(path, stamp):
            digest.update(block)
            if progress is not None:
                progress(len(block))
        return digest.hexdigest()

    return read() if stamp is None else recall(("content", path, stamp), read)


def hashed(path: str, algorithm: str, stamp: Optional[Stamp] = None) -> bytes:
    """The digest of a file under another tool's algorithm (dpkg: md5, pip: sha256); raises as `content_digest`."""

    def read() -> bytes:
        digest = hashlib.new(algorithm)
        for block in blocks(path, stamp):
            digest.update(block)
        return digest.digest()

    return read() if stamp is None else recall((algorithm, path, stamp), read)


def blocks(path: str, stamp: Optional[Stamp] = None) -> Iterator[bytes]:
    descriptor = handles.opened(path)
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        before = stamp_of(os.fstat(descriptor))
        if stamp is not None and before != stamp:
            raise ChangedWhileRead(path)
        while True:
            block = stream.read(BLOCK)
            if not block:
                break
            yield block
        if stamp_of(os.fstat(descriptor)) != before:
            raise ChangedWhileRead(path)


def stamp_of(status: os.stat_result) -> Stamp:
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
