"""What lstat says of a file, in the few numbers that tell whether its content can be another one."""

from __future__ import annotations

import os
import struct
from typing import Any, Iterable, List

LAYOUT = struct.Struct("<QqqqI")
_SIZE, _MTIME, _CTIME, _MODE = (struct.Struct(form) for form in ("<8xq20x", "<16xq12x", "<24xq4x", "<32xI"))
_FARTHEST, _ALL_BITS = (1 << 63) - 1, (1 << 64) - 1
STAMP_BYTES = LAYOUT.size
_SIGN_OF_SIZE, _POSITIVE = 15, 0x7F
_BEYOND_MODE = (34, 35)  # a mode has 16 bits


class Stamp(bytes):
    """Inode, size, mtime, ctime and mode of a file: while they are the same, so is its content, provided it was not
    fresh when it was read.

    ctime is in it because no program can set it: ``cp -p`` and ``touch`` hide nothing (unison#45). It is kept as the
    bytes that it is compared, hashed and remembered as.
    """

    @classmethod
    def made(cls, ino: int, size: int, mtime_ns: int, ctime_ns: int, mode: int) -> "Stamp":
        """Raises struct.error for numbers that no file has."""
        return cls(LAYOUT.pack(ino, size, mtime_ns, ctime_ns, mode))

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """The one of a file of which lstat said *status*."""
        return cls(cls.bytes_of(status))

    @staticmethod
    def bytes_of(status: os.stat_result) -> bytes:
        """The bytes of the stamp of *status*, for who compares many of them and keeps few."""
        try:
            return LAYOUT.pack(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode)
        except struct.error:  # a time after the year 2262, or Windows' longest inodes
            times = (max(-_FARTHEST, min(_FARTHEST, each)) for each in (status.st_mtime_ns, status.st_ctime_ns))
            return LAYOUT.pack(status.st_ino & _ALL_BITS, status.st_size, *times, status.st_mode)

    @classmethod
    def checked(cls, numbers: Iterable[Any]) -> "Stamp":
        """One whose numbers came over the wire; raises ValueError when it can be none."""
        try:
            return cls.received(cls.made(*(int(number) for number in numbers)))[0]
        except (TypeError, struct.error) as error:
            raise ValueError("not a stamp") from error

    @classmethod
    def received(cls, data: bytes) -> "List[Stamp]":
        """Those whose bytes came over the wire, one after the other; raises ValueError when one can be none."""
        # All of them at once, by the bytes that tell: there can be many.
        negative = max(data[_SIGN_OF_SIZE::STAMP_BYTES], default=0) > _POSITIVE
        if len(data) % STAMP_BYTES or negative or any(any(data[at::STAMP_BYTES]) for at in _BEYOND_MODE):
            raise ValueError("not a stamp")
        return [cls(data[at : at + STAMP_BYTES]) for at in range(0, len(data), STAMP_BYTES)]

    def numbers(self) -> List[int]:
        """What :meth:`checked` takes."""
        return list(LAYOUT.unpack(self))

    @property
    def size(self) -> int:
        return int(_SIZE.unpack(self)[0])

    @property
    def mtime_ns(self) -> int:
        return int(_MTIME.unpack(self)[0])

    @property
    def ctime_ns(self) -> int:
        return int(_CTIME.unpack(self)[0])

    @property
    def mode(self) -> int:
        return int(_MODE.unpack(self)[0])
