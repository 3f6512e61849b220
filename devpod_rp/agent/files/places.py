"""An open folder and the looks that are relative to it, so that nobody can swap a folder above for a link meanwhile.

rsync 3.5.0 (CVE-2026-53802 and its family) is why: between a check by path and a use by path, a component can become a
symbolic link, and the agent is root. Where the system has no descriptor-relative calls (Windows), paths are used.
"""

from __future__ import annotations

import errno
import operator
import os
from typing import Callable, ContextManager, Iterator, Union

_COMMON = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
OPEN_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _COMMON
# Without O_NONBLOCK, a pipe that took a file's name since it was listed would hold us for ever.
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | _COMMON

_BY_DESCRIPTOR = os.scandir in os.supports_fd and {os.open, os.stat, os.readlink} <= os.supports_dir_fd
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class DescriptorPlace:
    """A folder held open by a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def enter(self, name: str) -> "DescriptorPlace":
        return DescriptorPlace(os.open(name, OPEN_FOLDER, dir_fd=self._descriptor))

    def open(self, name: str) -> int:
        return os.open(name, _FILE, dir_fd=self._descriptor)

    def listing(self) -> "ContextManager[Iterator[os.DirEntry[str]]]":
        return os.scandir(self._descriptor)

    def status(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    status_of: Callable[["os.DirEntry[str]"], os.stat_result] = operator.methodcaller("stat", follow_symlinks=False)

    def own_status(self) -> os.stat_result:
        return os.fstat(self._descriptor)

    def target(self, name: str) -> str:
        return os.readlink(name, dir_fd=self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class PathPlace:
    """A folder known by its path."""

    def __init__(self, path: str) -> None:
        self._path = path

    def enter(self, name: str) -> "PathPlace":
        return PathPlace(_checked_folder(os.path.join(self._path, name)))

    def open(self, name: str) -> int:
        return os.open(os.path.join(self._path, name), _FILE)

    def listing(self) -> "ContextManager[Iterator[os.DirEntry[str]]]":
        return os.scandir(self._path)

    def status(self, name: str) -> os.stat_result:
        return os.lstat(os.path.join(self._path, name))

    def status_of(self, entry: "os.DirEntry[str]") -> os.stat_result:
        # On Windows, DirEntry.stat leaves out the inode, and what was listed may be older than what is on disk.
        return os.lstat(entry.path)

    def own_status(self) -> os.stat_result:
        return os.lstat(self._path)

    def target(self, name: str) -> str:
        return os.readlink(os.path.join(self._path, name))

    def close(self) -> None:
        pass


Place = Union[DescriptorPlace, PathPlace]


def enter(root: str, *, by_descriptor: bool = _BY_DESCRIPTOR) -> Place:
    """The folder at *root*, which may be reached through links but not be one.

    Raises:
        OSError: it is no folder, or may not be read.
    """
    if by_descriptor:
        return DescriptorPlace(os.open(root, OPEN_FOLDER))
    return PathPlace(_checked_folder(root))


def is_absence(error: OSError) -> bool:
    """Whether *error* says that a path is not there (a link or a file stands where a folder should)."""
    return error.errno in _ABSENT


def _checked_folder(path: str) -> str:
    if os.path.islink(path) or not os.path.isdir(path):
        os.lstat(path)
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return path
