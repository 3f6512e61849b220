"""Finding what changed on the container disk since a moment, at about the speed of find(1).

The test is ctime: the kernel sets it at every change of content or attributes, at a link and at a rename, and no
program can set it. Times that programs can set (``cp -p``, ``tar``, ``touch``) hide nothing from it.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Callable, Collection, Dict, List, NamedTuple, Optional

from devpod_rp.agent.files import handles
from devpod_rp.agent.files.places import OPEN_FOLDER
from devpod_rp.agent.machine.container import Seals
from devpod_rp.agent.machine.mounts import Survey

_DIRECTORY_ONLY = OPEN_FOLDER | getattr(os, "O_NONBLOCK", 0)
# What a name may turn into between listing and looking; none of it is a reason to distrust the scan.
_MOVED_ON = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)


class Stamp(NamedTuple):
    """The identity of one state of a file; equal stamps mean nothing happened in between."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Change(NamedTuple):
    """One name on the container disk that is newer than the container. *path* is absolute, as on the pod."""

    path: str
    stamp: Stamp
    device: int
    links: int
    target: Optional[str]  # of a symbolic link; None for a regular file


class Changes(NamedTuple):
    found: List[Change]
    problems: Dict[str, str]  # path -> why it could not be looked into; what lies there is unknown
    scanned: int


Witness = Callable[[str, os.stat_result], None]
"""Is told of every name that the walk comes by, folders as well, whether it is new or not."""


def changed_since(
    since_ns: int,
    survey: Survey,
    *,
    seals: Seals,
    root: str = "/",
    leave_out: Collection[str] = (),
    witness: Optional[Witness] = None,
) -> Changes:
    """Every regular file and symbolic link on the container disk whose ctime is *since_ns* or later.

    Walks each mount that *survey* calls container disk and enters no other. Directories are not reported (an empty
    one holds no work), nor are sockets, pipes and devices. *root* stands for ``/`` and *leave_out* names
    directories (as paths on the pod) that are our own.
    """
    prefix = root.rstrip("/")
    walk = _Walk(since_ns, prefix, seals, witness)
    borders = {prefix + point for point in survey.roles if point != "/"} | {prefix + path for path in leave_out}
    for point in survey.container_points:
        walk.descend(prefix + point if point != "/" else prefix or "/", borders)
    return Changes(walk.found, walk.problems, walk.scanned)


def look(path: str, *, root: str = "/") -> Change:
    """The present state of one file or link, or of what a process holds (`handles`).

    Raises:
        OSError: it is gone, or may not be looked at.
    """
    place = handles.physical(root.rstrip("/"), path)
    status = handles.status(place)
    target = os.readlink(place) if stat.S_ISLNK(status.st_mode) else None
    return _change(path, status, target)


class _Walk:
    def __init__(self, since_ns: int, prefix: str, seals: Seals, witness: Optional[Witness]) -> None:
        self._since_ns = since_ns
        self._witness = witness
        self._cut = len(prefix)
        self._seals = seals
        self.found: List[Change] = []
        self.problems: Dict[str, str] = {}
        self.scanned = 0

    def descend(self, top: str, borders: Collection[str]) -> None:
        waiting = [top]
        while waiting:
            directory = waiting.pop()
            try:
                descriptor = os.open(directory, _DIRECTORY_ONLY)
            except OSError as error:
                self._refused(directory, error)
                continue
            try:
                self._read(descriptor, directory, borders, waiting)
            except OSError as error:
                self._refused(directory, error)
            finally:
                os.close(descriptor)

    def _read(self, descriptor: int, directory: str, borders: Collection[str], waiting: List[str]) -> None:
        since_ns = self._since_ns
        witness = self._witness
        inside = directory if directory.endswith("/") else directory + "/"
        scanned = 0
        # Scanning the descriptor lets every stat below be relative to it: no path is resolved from the top again.
        with os.scandir(descriptor) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        child = inside + entry.name
                        if child not in borders:
                            waiting.append(child)
                            if witness is not None:
                                witness(child[self._cut :], entry.stat(follow_symlinks=False))
                        continue
                    scanned += 1
                    status = entry.stat(follow_symlinks=False)
                    if witness is not None:
                        witness((inside + entry.name)[self._cut :], status)
                    if status.st_ctime_ns >= since_ns:
                        self._add(inside + entry.name, entry.name, descriptor, status)
                except OSError as error:
                    self._refused(inside + entry.name, error)
        self.scanned += scanned

    def _add(self, physical: str, name: str, descriptor: int, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode):
            self.found.append(_change(physical[self._cut :], status, None))
        elif stat.S_ISLNK(status.st_mode):
            target = os.readlink(name, dir_fd=descriptor)
            self.found.append(_change(physical[self._cut :], status, target))

    def _refused(self, physical: str, error: OSError) -> None:
        if error.errno in _MOVED_ON:
            return
        if error.errno in (errno.EACCES, errno.EPERM) and self._is_sealed(physical):
            return
        self.problems[physical[self._cut :] or "/"] = "could not look into it: " + (error.strerror or str(error))

    def _is_sealed(self, physical: str) -> bool:
        try:
            return self._seals.sealed(os.lstat(physical))
        except OSError:
            return False


def _change(path: str, status: os.stat_result, target: Optional[str]) -> Change:
    stamp = Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return Change(path, stamp, status.st_dev, status.st_nlink, target)
