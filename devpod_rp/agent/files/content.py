"""What names a file's content: the digest of its blocks' digests.

Blocks make a name that can be computed by several threads at once, that is known as soon as the last block has arrived,
and whose parts tell what two versions have in common. Content of one block has the plain digest of that block.
"""

from __future__ import annotations

import hashlib
import os
from typing import Callable, Iterator, List, Optional, Union

BLOCK_BYTES = 256 << 10
DIGEST_BYTES = 16
_READ_BYTES = 4 * BLOCK_BYTES
_STRIPE_BYTES = 8 << 20
_WORKERS = min(4, os.cpu_count() or 1)
_OF_BLOCKS = b"devpod_rp blocks\0"

Told = Optional[Callable[[int], None]]
Data = Union[bytes, memoryview]


def block_digest(data: Data) -> bytes:
    # Processors of the last years compute it at twice the speed of blake2b, and it is what large files wait for.
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def blocks(data: Data) -> bytes:
    """The digests of the blocks of *data*, one after the other; empty content is one empty block."""
    if len(data) <= BLOCK_BYTES:
        return block_digest(data)
    view = memoryview(data)
    return b"".join(block_digest(view[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES))


def name(digests: bytes) -> str:
    """The digest (hex) of content whose :func:`blocks` are *digests*."""
    if len(digests) == DIGEST_BYTES:
        return digests.hex()
    return block_digest(_OF_BLOCKS + digests).hex()


def digest(data: Data) -> str:
    if len(data) <= BLOCK_BYTES:  # nearly every file, so that what name and blocks say of one block is said here
        return hashlib.sha256(data).hexdigest()[: 2 * DIGEST_BYTES]
    return name(blocks(data))


def digest_of(descriptor: int, size: int, told: Told = None) -> str:
    """The digest of an open file's content; *size* is a guess, *told* hears how many bytes were read, now and then."""
    return name(blocks_of(descriptor, size, told))


def blocks_of(descriptor: int, size: int, told: Told = None) -> bytes:
    """The :func:`blocks` of an open file; *size* is what it is believed to be. Reads from its beginning, large files by
    several threads. Whether it changed meanwhile is the caller's to find out."""
    if size < 2 * _STRIPE_BYTES or not hasattr(os, "pread"):
        os.lseek(descriptor, 0, os.SEEK_SET)
        return _whole(descriptor, size, told)
    # It takes as long to load as all of this room, and most agents never see a large file.
    from concurrent.futures import ThreadPoolExecutor

    found: List[bytes] = []
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="devpod-rp-hash") as pool:
        for digests in pool.map(lambda at: _stripe(descriptor, at, size), range(0, size, _STRIPE_BYTES)):
            found.append(digests)
            if told is not None:
                told(len(digests) // DIGEST_BYTES * BLOCK_BYTES)
    return b"".join(found)


class Growing:
    """The blocks of content that comes piece by piece, from the first byte to the last."""

    def __init__(self) -> None:
        self._digests: List[bytes] = []
        self._rest = b""

    def add(self, data: bytes) -> None:
        data = self._rest + data
        # The last block stays open: it may be the only one, or not be complete.
        whole = max(0, len(data) - 1) // BLOCK_BYTES * BLOCK_BYTES
        for at in range(0, whole, BLOCK_BYTES):
            self._digests.append(block_digest(data[at : at + BLOCK_BYTES]))
        self._rest = data[whole:]

    def digest(self) -> str:
        return name(b"".join([*self._digests, block_digest(self._rest)]))


def _whole(descriptor: int, size: int, told: Told) -> bytes:
    if size <= BLOCK_BYTES:  # nearly every file: one read more would cost more than the hashing
        data = os.read(descriptor, size + 1)
        if told is not None:
            told(len(data))
        if len(data) <= size:
            return block_digest(data)
        os.lseek(descriptor, 0, os.SEEK_SET)
    found = [block_digest(block) for block in _read(descriptor, told)]
    return b"".join(found) or block_digest(b"")


def _read(descriptor: int, told: Told) -> Iterator[memoryview]:
    while True:
        data = os.read(descriptor, _READ_BYTES)
        if told is not None:
            told(len(data))
        view = memoryview(data)
        for at in range(0, len(data), BLOCK_BYTES):
            yield view[at : at + BLOCK_BYTES]
        # The end of a regular file is the only reason for a short read.
        if len(data) < _READ_BYTES:
            return


def _stripe(descriptor: int, start: int, size: int) -> bytes:
    end = min(start + _STRIPE_BYTES, size)
    return b"".join(
        block_digest(os.pread(descriptor, min(BLOCK_BYTES, end - at), at)) for at in range(start, end, BLOCK_BYTES)
    )
