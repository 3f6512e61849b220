"""A stream packed in chunks, each by itself: packed and unpacked on all processors, and read from any place on.

Chunks one after the other are what zstd(1) and gzip(1) call one file of several frames or members.
"""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Iterator, List, NamedTuple, Sequence, Tuple

from devpod_rp.agent.archive.index import Chunk
from devpod_rp.agent.files import zstd
from devpod_rp.agent.files.copying import CopyDiffers

CHUNK = 4 << 20
"""A chunk has at least so many bytes, but for the last one."""

_MOST_THREADS = 8
_PROBE_BYTES = 64 << 10
_WORTH = 0.95
_GZIP = 31  # zlib.h, inflateInit2: a window of 15 bits, with gzip's header


class Packing(NamedTuple):
    """A way to compress; *unpack* takes the data and the size it becomes, and raises ValueError for anything else."""

    name: str
    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes, int], bytes]


def best() -> Packing:
    """zstd where this system has it, else gzip."""
    found = zstd.find()
    return _GZIP_PACKING if found is None else Packing("zstd", found.compress, found.decompress)


def named(name: str) -> Packing:
    """The packing of an archive that was made elsewhere.

    Raises:
        ValueError: it cannot be unpacked here.
    """
    if name == _GZIP_PACKING.name:
        return _GZIP_PACKING
    packing = best()
    if packing.name != name:
        raise ValueError("it is packed with {0}, and this system has no library for that".format(name))
    return packing


class Packer:
    """Writes what it is given to *descriptor*; at most *room* bytes of it.

    Raises OSError (ENOSPC) from :meth:`write` and :meth:`close` when that is too little.
    """

    def __init__(self, descriptor: int, packing: Packing, room: int) -> None:
        self._descriptor = descriptor
        self._packing = packing
        self._room = room
        self._pieces: List[bytes] = []
        self._held = 0
        self._pool = ThreadPoolExecutor(_threads(), "packing")
        self._under_way: Deque["Future[Tuple[bytes, int, str]]"] = deque()
        self._chunks: List[Chunk] = []
        self.at = 0
        self.stored = 0

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        self.at += len(data)
        if self._held >= CHUNK:
            self._hand_over()

    def close(self) -> List[Chunk]:
        """Write the rest and see that all of it is on disk; where the chunks are."""
        if self._pieces:
            self._hand_over()
        while self._under_way:
            self._put(self._under_way.popleft())
        self._pool.shutdown()
        os.fsync(self._descriptor)
        return self._chunks

    def give_up(self) -> None:
        for each in self._under_way:
            each.cancel()
        self._pool.shutdown()

    def _hand_over(self) -> None:
        raw = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        self._under_way.append(self._pool.submit(_packed, self._packing, raw))
        while len(self._under_way) > _threads() + 1:
            self._put(self._under_way.popleft())

    def _put(self, packed: "Future[Tuple[bytes, int, str]]") -> None:
        data, size, digest = packed.result()
        if self.stored + len(data) > self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._chunks.append(Chunk(self.stored, len(data), size, digest))
        self.stored += len(data)


class Unpacker:
    """Reads parts of what a Packer wrote, faster the more they go forwards; every chunk is proved by its digest.

    Raises CopyDiffers where the file is not what was written.
    """

    def __init__(self, descriptor: int, packing: Packing, chunks: Sequence[Chunk]) -> None:
        self._descriptor = descriptor
        self._packing = packing
        self._chunks = chunks
        self._starts: List[int] = []
        at = 0
        for chunk in chunks:
            self._starts.append(at)
            at += chunk.size
        self._size = at
        self._pool = ThreadPoolExecutor(_threads(), "unpacking")
        self._ahead: Deque[Tuple[int, "Future[bytes]"]] = deque()
        self._here: Tuple[int, bytes] = (-1, b"")

    def close(self) -> None:
        for _, each in self._ahead:
            each.cancel()
        self._pool.shutdown()

    def read(self, at: int, size: int) -> Iterator[bytes]:
        """The *size* bytes from *at* on, in pieces."""
        number = self._find(at)
        while size > 0:
            if not 0 <= number < len(self._chunks):
                raise CopyDiffers("the archive ends early")
            raw = self._chunk(number)
            start = at - self._starts[number]
            piece = raw[start : start + size]
            yield piece
            at += len(piece)
            size -= len(piece)
            number += 1

    def prove(self) -> Iterator[int]:
        """Read everything back; yields the unpacked bytes of each chunk that is as it was written."""
        for number in range(len(self._chunks)):
            yield len(self._chunk(number))

    def _find(self, at: int) -> int:
        number = max(0, self._here[0])
        if number < len(self._starts) and self._starts[number] <= at:
            while number + 1 < len(self._starts) and self._starts[number + 1] <= at:
                number += 1
            return number
        return next((n for n in range(len(self._starts) - 1, -1, -1) if self._starts[n] <= at), -1)

    def _chunk(self, number: int) -> bytes:
        if self._here[0] == number:
            return self._here[1]
        while self._ahead and self._ahead[0][0] != number:
            self._ahead.popleft()[1].cancel()
        following = self._ahead[-1][0] + 1 if self._ahead else number
        for each in range(following, min(number + _threads() + 1, len(self._chunks))):
            self._ahead.append((each, self._pool.submit(self._unpacked, self._chunks[each])))
        self._here = (number, self._ahead.popleft()[1].result())
        return self._here[1]

    def _unpacked(self, chunk: Chunk) -> bytes:
        data = os.pread(self._descriptor, chunk.stored, chunk.offset)
        try:
            raw = self._packing.unpack(data, chunk.size)
        except ValueError as error:
            raise CopyDiffers("a chunk cannot be unpacked: {0}".format(error)) from error
        if len(raw) != chunk.size or _digest(raw) != chunk.digest:
            raise CopyDiffers("a chunk is not what was written")
        return raw


def _packed(packing: Packing, raw: bytes) -> Tuple[bytes, int, str]:
    return packing.pack(raw), len(raw), _digest(raw)


def _digest(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=32).hexdigest()


def _threads() -> int:
    return max(1, min(_MOST_THREADS, os.cpu_count() or 1))


def _gzip(raw: bytes) -> bytes:
    probe = raw[:_PROBE_BYTES]
    level = 1 if len(zlib.compress(probe, 1)) < _WORTH * len(probe) else 0
    packer = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    return packer.compress(raw) + packer.flush()


def _gunzip(data: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        raw = unpacker.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError("not gzip data") from error
    if len(raw) > size:
        raise ValueError("more data than was said")
    return raw


_GZIP_PACKING = Packing("gzip", _gzip, _gunzip)
