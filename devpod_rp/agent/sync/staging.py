"""New content before anybody sees it: complete, verified, on the right file system, and outside the tree.

Reloaders on the pod watch the tree, so a file being written must not be in it: not even without a name, because
inotify tells of writes to a nameless file in a watched folder. Where the kernel can, staged content has no name at all
until it gets its final one (O_TMPFILE), and cannot become litter then.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from typing import Any, Dict, Optional

from devpod_rp.agent.files import libc
from devpod_rp.agent.files.content import Data
from devpod_rp.agent.files.versions import permissions

NO_LINKS = frozenset({errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
"""What link(2) says on a file system without hard links."""

WRITE = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_HOLE_BYTES = 64 << 10
_ZEROS = bytes(_HOLE_BYTES)
_UNNAMED = os.O_WRONLY | getattr(os, "O_TMPFILE", 0) | getattr(os, "O_CLOEXEC", 0)


class Staged:
    """A file's future content, open. *path* is its name in the staging folder, None while it has none."""

    def __init__(self, descriptor: int, path: Optional[bytes], staging: "Staging"):
        self.descriptor = descriptor
        self.path = path
        self._staging = staging

    def set_mtime(self, mtime_ns: Any) -> None:
        if isinstance(mtime_ns, int):
            with suppress(OverflowError):  # a time that no file can have is no reason to refuse the content
                os.utime(self.descriptor, ns=(time.time_ns(), mtime_ns))

    def set_executable(self, executable: bool, base: Optional[int] = None) -> None:
        """Give or take the permission to execute; all others are those of the mode *base*, or what they are."""
        mode = os.fstat(self.descriptor).st_mode if base is None else base
        with suppress(PermissionError):  # a disk without such bits, which then decide nothing
            os.fchmod(self.descriptor, permissions(mode, executable))

    def appear(self, folder: int, name: bytes) -> None:
        """Become *name* in the open *folder*; raises FileExistsError when something is there already."""
        if self.path is None:
            self._link(name, folder)
            return
        try:
            os.link(self.path, name, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            self.replace(folder, name)
        else:
            os.unlink(self.path)  # at once: it sets another ctime, and the file must stay as it is told and noted now
            self.path = None

    def replace(self, folder: int, name: bytes) -> None:
        """Become *name* in the open *folder* in one step, whatever was there before."""
        if self.path is None:
            path = self._staging.next_name()
            self._link(path, None)
            self.path = path
        os.rename(self.path, name, dst_dir_fd=folder)
        self.path = None

    def exchange(self, kept: bytes, folder: int, name: bytes) -> bool:
        """Become *name* in the open *folder*, while what was there becomes *kept*, a free path on the same file system.

        At no instant is either name absent. False, with nothing changed, where the system cannot do that.
        """
        staging = self._staging.path
        if _exchange_works.get(staging) is False:
            return False
        if self.path is None:
            self._link(kept, None)
        else:
            os.rename(self.path, kept)
        self.path = kept
        works = _exchange_works[staging] = libc.exchange(kept, name, folder)
        if works:
            self.path = None
        else:
            path = self._staging.next_name()
            os.rename(kept, path)
            self.path = path
        return works

    def close(self) -> None:
        """Let go; content that has no other name by now is gone."""
        os.close(self.descriptor)
        if self.path is not None:
            with suppress(FileNotFoundError):
                os.unlink(self.path)

    def _link(self, name: bytes, folder: Optional[int]) -> None:
        # Only with a descriptor does Python call linkat(2), which can follow the link in /proc; the path is absolute.
        path = "/proc/self/fd/%d" % self.descriptor
        os.link(path, name, src_dir_fd=self.descriptor, dst_dir_fd=folder, follow_symlinks=True)


class Staging:
    """The staging folder of one synchronised folder."""

    def __init__(self, path: bytes):
        self.path = path
        self._names = 0
        self._prefix = os.path.join(path, b"%d-%d-" % (os.getpid(), time.time_ns()))

    def create(self, data: Data) -> Staged:
        """Stage *data*."""
        if self._can_be_unnamed():
            staged = Staged(os.open(self.path, _UNNAMED, 0o666), None, self)
        else:
            path = self.next_name()
            staged = Staged(os.open(path, WRITE | os.O_EXCL, 0o666), path, self)
        try:
            write(staged.descriptor, data)
        except BaseException:
            staged.close()  # what did not fit must not take the next one's room
            raise
        return staged

    def adopt(self, path: bytes) -> Staged:
        """Go on with a file that was staged in parts."""
        return Staged(os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)), path, self)

    def next_name(self) -> bytes:
        self._names += 1
        return b"%s%d.new" % (self._prefix, self._names)

    def _can_be_unnamed(self) -> bool:
        """Whether this file system and kernel can do it (overlayfs, NFS and FUSE often cannot); tried once."""
        if self.path not in _unnamed_works:
            _unnamed_works[self.path] = hasattr(os, "O_TMPFILE") and self._try_unnamed()
        return _unnamed_works[self.path]

    def _try_unnamed(self) -> bool:
        probe = self.next_name()
        try:
            staged = Staged(os.open(self.path, _UNNAMED, 0o600), None, self)
        except OSError:
            return False
        try:
            staged._link(probe, None)
            staged.path = probe
        except OSError:
            return False
        finally:
            staged.close()
        return True


_unnamed_works: Dict[bytes, bool] = {}
_exchange_works: Dict[bytes, bool] = {}


def write(descriptor: int, data: Data) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_sparsely(descriptor: int, offset: int, data: bytes) -> None:
    """Put *data* at *offset*; zeros at the end of the file are left as a hole."""
    view = memoryview(data)
    end = os.fstat(descriptor).st_size
    for start in range(0, len(view), _HOLE_BYTES):
        block, at = view[start : start + _HOLE_BYTES], offset + start
        if at >= end and block == _ZEROS[: len(block)]:
            os.ftruncate(descriptor, at + len(block))
        else:
            os.lseek(descriptor, at, os.SEEK_SET)
            write(descriptor, block)
        end = max(end, at + len(block))
