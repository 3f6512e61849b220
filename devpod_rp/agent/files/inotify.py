"""Hearing of changes below a folder through Linux' inotify; the one implementation for both ends.

Python's library does not offer inotify, so its four calls are made through ctypes (see inotify(7)). Unlike the usual
wrappers this one tells when the kernel dropped events and when the system allows no more watches, and it watches a
folder that appears before it looks into it, so that nothing made inside in between is missed.
"""

from __future__ import annotations

import errno
import os
import select
import struct
import sys
from contextlib import suppress
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from devpod_rp.agent.machine import mounts

COMPLETE, OPEN, GONE, LOST = "complete", "open", "gone", "lost"
"""What a sign says of its path: its content is complete; somebody is writing into it; it is gone; events were lost, so
that only a look at everything helps (its path is "")."""

_MODIFY, _ATTRIB, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x2, 0x4, 0x8, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_UNMOUNT, _OVERFLOW, _IGNORED = 0x2000, 0x4000, 0x8000
_ONLY_FOLDERS, _NO_LINKS, _IS_FOLDER = 0x01000000, 0x02000000, 0x40000000
_MASK = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ONLY_FOLDERS | _NO_LINKS
_ROOT_MASK = _MASK | _DELETE_SELF | _MOVE_SELF
_NONBLOCK, _CLOEXEC = 0x800, 0x80000

_EVENT = struct.Struct("iIII")
_BUFFER_BYTES = 256 << 10

Keep = Callable[[str, bool], bool]


class Sign(NamedTuple):
    """Something happened at *path* (relative); a folder stands for everything below it."""

    path: str
    is_folder: bool
    what: str


class Unavailable(OSError):
    """This system has no inotify, or allows no more of it."""


class TreeWatch:
    """Watches *root* and every folder below it that *keep* keeps (asked top-down); armed when the constructor returns.

    *limit* says why a part of the tree is not watched, or is None. Everything belongs to one thread, but for
    :meth:`wake`, which any may call.

    Raises:
        Unavailable: nothing can be watched here.
        OSError: *root* cannot be watched.
    """

    def __init__(self, root: str, keep: Keep) -> None:
        self._root = root
        self._keep = keep
        self._calls = _calls()
        kind = _kind_at(root)
        self.limit: Optional[str] = _deafness(kind)
        # Where the links of a folder tell that no other one is in it; a folder below may be on another disk.
        self._counting = os.stat(root).st_dev if mounts.counts_folders(kind) else None
        self._exhausted = False
        self._folders: Dict[int, str] = {}
        self._numbers: Dict[str, int] = {}
        self._descriptor = self._calls.init()
        self._bell_out, self._bell_in = os.pipe()
        os.set_blocking(self._bell_out, False)
        os.set_blocking(self._bell_in, False)
        try:
            self._watch("", _ROOT_MASK)
            self._watch_below("")
        except BaseException:
            self.close()
            raise

    @property
    def folders(self) -> int:
        """How many folders are watched."""
        return len(self._folders)

    def close(self) -> None:
        for descriptor in (self._descriptor, self._bell_out, self._bell_in):
            with suppress(OSError):
                os.close(descriptor)
        self._descriptor = self._bell_out = self._bell_in = -1

    def wake(self) -> None:
        """Make a :meth:`read` that waits return."""
        with suppress(OSError):  # a full pipe rings already; a closed one has nobody who waits
            os.write(self._bell_in, b"!")

    def read(self, seconds: Optional[float], gather_seconds: float = 0.0) -> List[Sign]:
        """What happened since the last call, of each path the last; waits up to *seconds* (None: forever) for the first
        of it, and then, unless woken, *gather_seconds* for more: a burst is heard in few pieces then."""
        ready, _, _ = select.select([self._descriptor, self._bell_out], [], [], seconds)
        if gather_seconds and ready == [self._descriptor]:
            ready, _, _ = select.select([self._bell_out], [], [], gather_seconds)
        if self._bell_out in ready:
            with suppress(BlockingIOError):
                os.read(self._bell_out, 4096)
        try:
            data = os.read(self._descriptor, _BUFFER_BYTES)
        except BlockingIOError:
            return []
        signs: Dict[str, Sign] = {}
        position = 0
        while position < len(data):
            number, mask, _cookie, length = _EVENT.unpack_from(data, position)
            position += _EVENT.size
            name = os.fsdecode(data[position : position + length].rstrip(b"\0"))
            position += length
            self._take(number, mask, name, signs)
        return list(signs.values())

    def extend(self) -> List[str]:
        """Watch folders that *keep* has come to keep meanwhile; returns them, because events in them were missed."""
        before = set(self._numbers)
        self._watch_below("")
        return sorted(set(self._numbers) - before)

    def _take(self, number: int, mask: int, name: str, signs: Dict[str, Sign]) -> None:
        if mask & _OVERFLOW:
            signs[""] = Sign("", True, LOST)
            # Folders may have appeared among what was dropped.
            self._watch_below("")
            return
        folder = self._folders.get(number)
        if folder is None:
            return
        if mask & _IGNORED:
            del self._folders[number]
            if self._numbers.get(folder) == number:
                del self._numbers[folder]
            return
        if not name:
            if mask & (_DELETE_SELF | _MOVE_SELF | _UNMOUNT):
                signs[""] = Sign("", True, LOST)
            return
        path = folder + "/" + name if folder else name
        is_folder = bool(mask & _IS_FOLDER)
        before = signs.get(path)
        if (before is None or before.is_folder != is_folder) and not self._keep(path, is_folder):
            return
        if mask & (_DELETE | _MOVED_FROM):
            if is_folder:
                self._forget(path)
            signs[path] = Sign(path, is_folder, GONE)
        elif is_folder and mask & (_CREATE | _MOVED_TO):
            self._watch(path, _MASK)
            self._watch_below(path)
            signs[path] = Sign(path, True, COMPLETE)
        elif mask & (_MODIFY | _CREATE):
            signs[path] = Sign(path, is_folder, COMPLETE if self._is_link(path, mask) else OPEN)
        else:
            signs[path] = Sign(path, is_folder, COMPLETE)

    def _is_link(self, path: str, mask: int) -> bool:
        # A link is never opened for writing, so no other event would call it complete.
        return bool(mask & _CREATE) and os.path.islink(os.path.join(self._root, path))

    def _watch(self, folder: str, mask: int) -> bool:
        try:
            number = self._calls.add(self._descriptor, os.fsencode(self._root + "/" + folder), mask)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self._exhausted = True
                self.limit = "the system allows only {0} watched folders (fs.inotify.max_user_watches)".format(
                    len(self._folders)
                )
            elif not folder:
                raise
            return False  # gone again, or not ours to read: the look that follows tells
        former = self._folders.get(number)
        if former is not None and self._numbers.get(former) == number:
            del self._numbers[former]  # the same folder, moved
        self._folders[number] = folder
        self._numbers[folder] = number
        return True

    def _watch_below(self, folder: str) -> None:
        keep, numbers = self._keep, self._numbers
        pending = [folder]
        while pending and not self._exhausted:
            above = pending.pop()
            prefix = above + "/" if above else ""
            with suppress(OSError), os.scandir(self._root + "/" + above) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        path = prefix + entry.name
                        watched = keep(path, True) and (path in numbers or self._watch(path, _MASK))
                        if watched and not self._holds_no_folder(path):
                            pending.append(path)

    def _holds_no_folder(self, path: str) -> bool:
        # Most folders hold files only, and reading their names takes as long as all the rest.
        if self._counting is None:
            return False
        try:
            status = os.lstat(self._root + "/" + path)
        except OSError:
            return False
        return status.st_nlink == 2 and status.st_dev == self._counting

    def _forget(self, folder: str) -> None:
        """A folder that went elsewhere must not report under its former name."""
        for path in [path for path in self._numbers if path == folder or path.startswith(folder + "/")]:
            number = self._numbers.pop(path)
            del self._folders[number]
            self._calls.remove(self._descriptor, number)


def _kind_at(root: str) -> str:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        return mounts.kind_at(os.path.realpath(root), mounts.parse(stream.read()))


def _deafness(kind: str) -> Optional[str]:
    if not mounts.shared_elsewhere(kind):
        return None
    return "this file system ({0}) does not tell what other machines change in it".format(kind)


class _Calls:
    def __init__(self, library: object, get_errno: Callable[[], int]) -> None:
        self._library = library
        self._get_errno = get_errno

    def init(self) -> int:
        number = int(self._library.inotify_init1(_NONBLOCK | _CLOEXEC))  # type: ignore[attr-defined]
        if number < 0:
            raise Unavailable(self._get_errno(), "inotify: " + os.strerror(self._get_errno()))
        return number

    def add(self, descriptor: int, path: bytes, mask: int) -> int:
        number = int(self._library.inotify_add_watch(descriptor, path, mask))  # type: ignore[attr-defined]
        if number < 0:
            raise OSError(self._get_errno(), os.strerror(self._get_errno()), os.fsdecode(path))
        return number

    def remove(self, descriptor: int, number: int) -> None:
        self._library.inotify_rm_watch(descriptor, number)  # type: ignore[attr-defined]


def _calls() -> _Calls:
    if not sys.platform.startswith("linux"):
        raise Unavailable(errno.ENOSYS, "only Linux has inotify")
    try:
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        arguments: List[Tuple[str, List[type]]] = [
            ("inotify_init1", [ctypes.c_int]),
            ("inotify_add_watch", [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]),
            ("inotify_rm_watch", [ctypes.c_int, ctypes.c_int]),
        ]
        for name, types in arguments:
            getattr(library, name).argtypes = types
    except (ImportError, OSError, AttributeError) as error:
        # A Python built without libffi, or a C library without the calls.
        raise Unavailable(errno.ENOSYS, "no inotify here: {0}".format(error)) from error
    return _Calls(library, ctypes.get_errno)
