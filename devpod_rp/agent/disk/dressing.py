"""Giving what is put back the owner, mode, attributes and times that were kept; no link is followed."""

from __future__ import annotations

import errno
import os
from typing import Callable

from devpod_rp.agent.archive.index import Entry
from devpod_rp.agent.archive.signature import FILE
from devpod_rp.agent.disk.traits import write_traits
from devpod_rp.agent.files.versions import READ

# What a container cannot keep (an owner that its user namespace does not know) is no reason to leave a file out.
_NOT_KEPT = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


def dress(descriptor: int, entry: Entry) -> None:
    """Give an open file or folder the owner, mode, attributes and times that were kept."""
    _as_far_as_possible(lambda: os.fchown(descriptor, entry.uid, entry.gid))
    # After fchown, which clears setuid, setgid and capabilities.
    _as_far_as_possible(lambda: os.fchmod(descriptor, entry.mode))
    write_traits(descriptor, entry.traits)
    set_time(descriptor, entry.stamp.mtime_ns)


def set_time(descriptor: int, time_ns: int) -> None:
    _as_far_as_possible(lambda: os.utime(descriptor, ns=(time_ns, time_ns)))


def dress_name(place: int, name: str, entry: Entry) -> None:
    mtime = entry.stamp.mtime_ns
    if entry.kind == FILE:
        descriptor = os.open(name, READ, dir_fd=place)
        try:
            dress(descriptor, entry)
        finally:
            os.close(descriptor)
        return
    _as_far_as_possible(lambda: os.chown(name, entry.uid, entry.gid, dir_fd=place, follow_symlinks=False))
    _as_far_as_possible(lambda: os.utime(name, ns=(mtime, mtime), dir_fd=place, follow_symlinks=False))


def _as_far_as_possible(act: Callable[[], None]) -> None:
    try:
        act()
    except OSError as error:
        if error.errno not in _NOT_KEPT:
            raise
