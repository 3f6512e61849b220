"""Copying a piece of the host into the image: only what every user of the host may read anyway, and no credentials."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

# Configuration that everybody may read still holds passwords now and then (a package index, a proxy).
_LARGEST_CONFIGURATION = 256 * 1024
_CREDENTIAL = re.compile(
    rb"://[^/\s:@]+:[^/\s@]+@"
    rb"|-----BEGIN [A-Z ]*PRIVATE KEY"
    rb"|^\s*(export\s+)?[^\s#;=]*(authtoken|token|secret|password|passwd|api_?key)[^\s=]*\s*=\s*['\"]?[^\s'\"$#:]{8,}",
    re.IGNORECASE | re.MULTILINE,
)
_OTHERS_READ, _OTHERS_ENTER = stat.S_IROTH, stat.S_IROTH | stat.S_IXOTH


def copy(source: Path, target: Path, *, leave_out: Callable[[Path], bool], look_inside: bool = False) -> None:
    """Copy the tree *source* to *target*, with modes and times; the copies are ours.

    Left out are files and directories that not everybody may read, everything that is no file, directory or link,
    what *leave_out* says, and with *look_inside* files that hold a credential. What vanishes meanwhile never was.
    """
    try:
        status = source.stat()
        entries = sorted(source.iterdir())
    except (FileNotFoundError, PermissionError):
        return
    if status.st_mode & _OTHERS_ENTER != _OTHERS_ENTER:
        return
    target.mkdir(mode=0o755, parents=True, exist_ok=True)
    for entry in entries:
        if not leave_out(entry):
            _copy_entry(entry, target / entry.name, leave_out, look_inside)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_entry(entry: Path, target: Path, leave_out: Callable[[Path], bool], look_inside: bool) -> None:
    try:
        mode = entry.lstat().st_mode
        if stat.S_ISLNK(mode):
            target.symlink_to(entry.readlink())
        elif stat.S_ISDIR(mode):
            copy(entry, target, leave_out=leave_out, look_inside=look_inside)
        elif stat.S_ISREG(mode) and mode & _OTHERS_READ and not (look_inside and _holds_credential(entry)):
            shutil.copyfile(entry, target)
            status = entry.stat()
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
            target.chmod(mode & 0o755)
    except (FileNotFoundError, PermissionError):
        return


def _holds_credential(path: Path) -> bool:
    if path.stat().st_size > _LARGEST_CONFIGURATION:
        return False
    content = path.read_bytes()
    return b"\0" not in content and _CREDENTIAL.search(content) is not None
