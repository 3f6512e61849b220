"""A large file on its way: its parts come together in the staging folder, and each block is hashed as it is written.

So the whole needs no second reading before it appears, and a copy on the pod is limited by its disk.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress
from typing import Any, Dict, Iterator, Optional, Tuple

from devpod_rp.agent.files import content
from devpod_rp.agent.files.content import BLOCK_BYTES
from devpod_rp.agent.sync.roots import PART, Area, encode
from devpod_rp.agent.sync.staging import WRITE
from devpod_rp.agent.wire import Refusal

_STAGE_ID = re.compile(r"[0-9a-f]{8,64}")
_WRITE_BACK_BYTES = 64 << 20
_ZEROS = bytes(BLOCK_BYTES)


def part_path(area: Area, identifier: Any) -> bytes:
    """Where the parts of a large file come together."""
    if not isinstance(identifier, str) or not _STAGE_ID.fullmatch(identifier):
        raise Refusal("bad-request", "not a staging id: %r" % (identifier,))
    return os.path.join(area.stage, encode(identifier) + PART)


class Part:
    """One such file, open for writing from any thread."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self._descriptor = os.open(path, WRITE & ~os.O_WRONLY | os.O_RDWR, 0o666)
        self._lock = threading.Lock()
        self._digests: Dict[int, bytes] = {}
        self._dirty = 0
        self._flusher: Optional[threading.Thread] = None

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* at *offset*; zeros where nothing was written yet are left as a hole."""
        pieces = list(_by_block(offset, memoryview(data)))
        digests = {start: content.block_digest(piece) for start, piece in pieces if len(piece) == BLOCK_BYTES}
        # One thread writes while others read and hash: the system lets no two write to one file, and has them spin.
        with self._lock:
            for start, piece in pieces:
                self._digests.pop(start - start % BLOCK_BYTES, None)
                self._put(start, piece)
            self._digests.update(digests)

    def write_back(self, count: int) -> None:
        """*count* bytes more came from far, while which the disk has nothing to do: it begins with them, so that little
        is left when the whole file must survive a power cut."""
        self._dirty += count
        if self._dirty >= _WRITE_BACK_BYTES and (self._flusher is None or not self._flusher.is_alive()):
            self._dirty = 0
            descriptor = os.dup(self._descriptor)
            self._flusher = threading.Thread(
                target=_write_back, args=(descriptor,), name="agent-write-back", daemon=True
            )
            self._flusher.start()

    def blocks(self, size: int) -> bytes:
        """The digests of all blocks of the file, which has *size* bytes from now on."""
        os.ftruncate(self._descriptor, size)
        if not self._digests:
            return content.blocks_of(self._descriptor, size)
        digests = []
        for start in range(0, max(1, size), BLOCK_BYTES):
            known = self._digests.get(start) if start + BLOCK_BYTES <= size else None
            if known is None:
                known = content.block_digest(os.pread(self._descriptor, min(BLOCK_BYTES, size - start), start))
            digests.append(known)
        return b"".join(digests)

    def close(self) -> None:
        os.close(self._descriptor)

    def _put(self, offset: int, data: memoryview) -> None:
        if data != _ZEROS[: len(data)] or os.pread(self._descriptor, len(data), offset).strip(b"\0"):
            position = 0
            while position < len(data):
                position += os.pwrite(self._descriptor, data[position:], offset + position)


def _write_back(descriptor: int) -> None:
    # Errors show again when all of it must be on disk.
    with suppress(OSError):
        os.fdatasync(descriptor)
    os.close(descriptor)


def _by_block(offset: int, data: memoryview) -> Iterator[Tuple[int, memoryview]]:
    """*data*, which belongs at *offset*, cut at the borders between blocks."""
    position = 0
    while position < len(data):
        end = min(len(data), position + BLOCK_BYTES - (offset + position) % BLOCK_BYTES)
        yield offset + position, data[position:end]
        position = end


class Parts:
    """The part that is being written; large files come one after the other, so there is never more than one."""

    def __init__(self) -> None:
        self._part: Optional[Part] = None

    def open(self, area: Area, identifier: Any) -> Part:
        path = part_path(area, identifier)
        if self._part is None or self._part.path != path or not os.path.lexists(path):
            self._close()
            if not os.path.lexists(path):
                area.drop_parts()  # those of another file are of no use any more
            self._part = Part(path)
        return self._part

    def discard(self, area: Area, identifier: Any) -> None:
        """Give up a part."""
        self._close()
        with suppress(FileNotFoundError):
            os.unlink(part_path(area, identifier))

    def complete(self, path: bytes, size: int) -> bytes:
        """The digests of all blocks of a part, which is complete and let go of."""
        part = self._part if self._part is not None and self._part.path == path else Part(path)
        if part is self._part:
            self._part = None
        try:
            return part.blocks(size)
        finally:
            part.close()

    def _close(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.close()


PARTS = Parts()
"""This process's own; only the agent's working thread opens parts."""
