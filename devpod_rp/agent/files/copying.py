"""Copying one file so that the copy is proved equal, holes stay holes, and nothing half-written bears its name."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import Generator, Iterator, Optional, Tuple

from devpod_rp.agent.files import handles
from devpod_rp.agent.files.changes import Stamp
from devpod_rp.agent.files.digests import BLOCK, ChangedWhileRead, stamp_of
from devpod_rp.agent.files.versions import READ

_ZEROS = bytes(BLOCK)
_WRITE = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
# What network file systems answer to an owner, mode or time they cannot keep. The manifest has them all the same.
_NOT_KEPT = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


class CopyDiffers(Exception):
    """The copy, read back, is not what was read from the original."""


def copy_verified(
    source: str, part: str, destination: str, stamp: Stamp, *, resume: bool = False, durable: bool = True
) -> Generator[int, None, str]:
    """Copy the regular file *source*, in the state *stamp*, to *destination*; yields bytes done, returns the digest.

    Written to *part* (same file system; with *resume* it may hold the beginning of this very copy), flushed, read back
    and compared by blake2b, given the original's owner, mode and mtime, and only then renamed. Not *durable*: it is not
    flushed, and survives the end of the container, but not that of the machine a moment later.

    Raises:
        ChangedWhileRead: the original is not, or did not stay, in that state.
        CopyDiffers: the volume gave back other bytes than it took.
        OSError: reading or writing failed; ENOSPC and EDQUOT mean that the volume is full.
    """
    descriptor = handles.opened(source)
    try:
        status = os.fstat(descriptor)
        if stamp_of(status) != stamp or not stat.S_ISREG(status.st_mode):
            raise ChangedWhileRead(source)
        written = yield from _write(descriptor, status.st_size, part, resume=resume, durable=durable)
        if stamp_of(os.fstat(descriptor)) != stamp:
            raise ChangedWhileRead(source)
    finally:
        os.close(descriptor)
    if _read_back(part, status.st_size) != written:
        raise CopyDiffers(source)
    keep_attributes(part, status)
    os.rename(part, destination)
    return written


def keep_attributes(path: str, status: os.stat_result) -> None:
    """Give *path* (a file, directory or link, never followed) the owner, mode and times of *status*."""
    set_attributes(
        path, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), status.st_mtime_ns, status.st_atime_ns
    )


def set_attributes(path: str, uid: int, gid: int, mode: int, mtime_ns: int, atime_ns: Optional[int] = None) -> None:
    """Give *path* (never followed) an owner, mode and times; what its file system cannot keep is left out."""
    try:
        os.chown(path, uid, gid, follow_symlinks=False)
    except OSError as error:
        _unless_not_kept(error)
    if not os.path.islink(path):
        try:
            os.chmod(path, mode)  # after chown, which clears setuid
        except OSError as error:
            _unless_not_kept(error)
    try:
        os.utime(path, ns=(mtime_ns if atime_ns is None else atime_ns, mtime_ns), follow_symlinks=False)
    except OSError as error:
        _unless_not_kept(error)


def content(path: str, size: int, place: Optional[int] = None) -> str:
    """blake2b of the first *size* bytes, holes skipped rather than read; *path* is relative to the open folder *place*.

    Raises:
        ChangedWhileRead: there are fewer bytes.
        OSError: it cannot be read.
    """
    descriptor = os.open(path, READ, dir_fd=place)
    try:
        digest = hashlib.blake2b(digest_size=32)
        for block, _is_hole in blocks(descriptor, size):
            digest.update(block)
        return digest.hexdigest()
    finally:
        os.close(descriptor)


def _write(source: int, size: int, part: str, *, resume: bool, durable: bool) -> Generator[int, None, str]:
    digest = hashlib.blake2b(digest_size=32)
    with os.fdopen(os.open(part, _WRITE | (0 if resume else os.O_TRUNC), 0o600), "r+b", buffering=0) as target:
        descriptor = target.fileno()
        there = os.fstat(descriptor).st_size
        offset = 0
        for block, is_hole in blocks(source, size):
            digest.update(block)
            # Comparing costs less than writing, and trusts nothing of what an interrupted copy left.
            if not is_hole and not (offset < there and os.pread(descriptor, len(block), offset) == block):
                write_all(descriptor, block, offset)
            offset += len(block)
            yield len(block)
        target.truncate(size)
        if durable:
            os.fsync(descriptor)
    return digest.hexdigest()


def write_all(descriptor: int, block: bytes, offset: int) -> None:
    """Write all of *block* at *offset*, however little the system takes at a time."""
    rest = memoryview(block)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest = rest[written:]
        offset += written


def _read_back(path: str, size: int) -> str:
    descriptor = os.open(path, READ)
    try:
        if os.fstat(descriptor).st_size != size:
            return ""
        # Ask for what the disk holds rather than for the pages just written.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return content(path, size)


def blocks(descriptor: int, size: int, offset: int = 0) -> Iterator[Tuple[bytes, bool]]:
    """The file's content from *offset* on in blocks, with whether the block is a hole (then it was not read).

    Raises:
        ChangedWhileRead: there are fewer bytes than *size*.
    """
    while offset < size:
        data = _seek(descriptor, offset, os.SEEK_DATA)
        if data is None or data > size:
            data = size
        while offset < data:
            block = _ZEROS[: min(BLOCK, data - offset)]
            yield block, True
            offset += len(block)
        end = min(_seek(descriptor, offset, os.SEEK_HOLE) or size, size) if offset < size else size
        os.lseek(descriptor, offset, os.SEEK_SET)
        while offset < end:
            block = os.read(descriptor, min(BLOCK, end - offset))
            if not block:
                raise ChangedWhileRead("cut at {0} of {1} bytes".format(offset, size))
            yield block, False
            offset += len(block)


def _seek(descriptor: int, offset: int, whence: int) -> Optional[int]:
    try:
        return os.lseek(descriptor, offset, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None  # no data after this point
        if error.errno in (errno.EINVAL, errno.ENOTSUP):
            return offset if whence == os.SEEK_DATA else None  # a file system without holes: all is data
        raise


def _unless_not_kept(error: OSError) -> None:
    if error.errno not in _NOT_KEPT:
        raise error
