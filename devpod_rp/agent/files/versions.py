"""What lies at a name right now, and whether it is the version somebody expects there."""

from __future__ import annotations

import os
import stat
from typing import Any, Dict, Optional

from devpod_rp.agent.files.content import digest_of
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.agent.wire import Refusal

READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class Found:
    """A name's present state: kind "file", "dir", "symlink" or "special"; files with digest, links with target."""

    def __init__(self, status: os.stat_result, kind: str, digest: str = "", target: str = ""):
        self.status, self.kind, self.digest, self.target = status, kind, digest, target
        self.executable = kind == "file" and bool(status.st_mode & stat.S_IXUSR)

    def is_version(self, version: Dict[str, Any]) -> bool:
        """Whether it is what *version* (kind, digest, executable, target) says; times do not count."""
        if self.kind != version.get("kind"):
            return False
        if self.kind == "file":
            return self.digest == version.get("digest") and self.executable == version.get("executable")
        return self.kind == "dir" or (self.kind == "symlink" and self.target == version.get("target"))


def look(folder: int, name: bytes, known: Dict[str, Any]) -> Optional[Found]:
    """What *name* in the open *folder* is; None when nothing is there. Links are read, never followed.

    A file that still has the *stamp* of the *known* version has its digest, too, and is not read.

    Raises:
        Refusal: "busy" when the file is being written while it is hashed.
    """
    try:
        status = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(status.st_mode):
        return Found(status, "symlink", target=os.readlink(name, dir_fd=folder).decode("utf-8", "surrogateescape"))
    if stat.S_ISDIR(status.st_mode):
        return Found(status, "dir")
    if not stat.S_ISREG(status.st_mode):
        return Found(status, "special")
    if known.get("kind") == "file" and known.get("stamp") == Stamp.of(status).numbers():
        return Found(status, "file", str(known.get("digest")))
    descriptor = os.open(name, READ, dir_fd=folder)
    try:
        before = os.fstat(descriptor)
        digest = digest_of(descriptor, before.st_size)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if Stamp.of(before) != Stamp.of(after) or not stat.S_ISREG(after.st_mode):
        raise Refusal("busy", "it is being written on the pod")
    return Found(after, "file", digest)


def permissions(base: int, executable: bool) -> int:
    """Permission bits of *base* with the executable bits as asked, wherever reading is allowed; never setuid."""
    plain = base & 0o666
    return plain | ((plain & 0o444) >> 2 if executable else 0)
