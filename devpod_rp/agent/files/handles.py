"""Files without a name: deleted while a process has them open, and still to be read through its descriptor.

They go by a name of their own, the one they had with a note behind it, so that whatever lists, copies, compares and
restores files by name does so with them, too.
"""

from __future__ import annotations

import os
import re

_NAME = re.compile(r"(?s).+ \(deleted; process (\d+), descriptor (\d+)\)")
_DESCRIPTOR = re.compile(r"/proc/\d+/fd/\d+")
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


def name(path: str, pid: int, descriptor: int) -> str:
    """What the file that was deleted at *path* goes by."""
    return "{0} (deleted; process {1}, descriptor {2})".format(path, pid, descriptor)


def is_name(path: str) -> bool:
    """Whether *path* looks like what :func:`name` gives."""
    return _NAME.fullmatch(path) is not None


def physical(prefix: str, path: str) -> str:
    """Where the file *path* of the container whose disk is at *prefix* can be read: at its name, or through a process.

    A file that bears such a name itself is that file.
    """
    place = prefix + path
    match = _NAME.fullmatch(path)
    if match is None or os.path.lexists(place):
        return place
    return "/proc/{0}/fd/{1}".format(*match.groups())


def status(place: str) -> os.stat_result:
    """The state of what *place* (of :func:`physical`) is; links of people are not followed, those of /proc are."""
    return os.stat(place) if _DESCRIPTOR.fullmatch(place) else os.lstat(place)


def opened(place: str) -> int:
    """A descriptor to read *place* (of :func:`physical`) with."""
    return os.open(place, _READ if _DESCRIPTOR.fullmatch(place) else _READ | _NO_FOLLOW)
