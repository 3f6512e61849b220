"""Removing trees that pods have written to: closed directories, immutable flags, other people's ids."""

from __future__ import annotations

import array
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from devpod_rp.localcloud.sandbox import users

# linux/fs.h: the attributes of chattr(1) that forbid even root to remove a file.
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def erase(path: Path) -> None:
    """Remove *path* with everything in it; gone already is fine.

    Raises:
        OSError: something in it cannot be removed, not even from inside a user namespace like the pod's.
    """
    if not os.path.lexists(path):
        return
    try:
        _remove(path)
    except PermissionError:
        if users.is_privileged() or users.subordinate_ids() is None:
            raise
        # A pod with subordinate ids has given files away; only root of such a namespace may remove them.
        command = [sys.executable, "-m", __name__, str(path)]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if os.path.lexists(path):
            raise


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        _unlink(path.parent, path.name)
        return
    # Depth first without recursion: a pod may have made a tree deeper than Python's stack.
    stack = [path]
    while stack:
        directory = stack[-1]
        _open_up(directory)
        children = []
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    children.append(directory / entry.name)
                else:
                    _unlink(directory, entry.name)
        if children:
            stack.extend(children)
            continue
        _rmdir(directory)
        stack.pop()


def _open_up(directory: Path) -> None:
    mode = directory.lstat().st_mode
    if stat.S_IMODE(mode) & stat.S_IRWXU != stat.S_IRWXU:
        _despite_flags(directory, lambda: directory.chmod(stat.S_IRWXU))


def _unlink(directory: Path, name: str) -> None:
    _despite_flags(directory / name, (directory / name).unlink)


def _rmdir(directory: Path) -> None:
    _despite_flags(directory, directory.rmdir)


def _despite_flags(path: Path, act: Callable[[], object]) -> None:
    try:
        act()
    except PermissionError:
        if not (_clear_flags(path) | _clear_flags(path.parent)):
            raise
        act()


def _clear_flags(path: Path) -> bool:
    """Take ``chattr +i`` and ``+a`` away; whether there was one."""
    if path.is_symlink() or not (path.is_dir() or path.is_file()):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        flags = array.array("l", [0])
        fcntl.ioctl(descriptor, _GET_FLAGS, flags, True)
        if not flags[0] & (_IMMUTABLE | _APPEND_ONLY):
            return False
        flags[0] &= ~(_IMMUTABLE | _APPEND_ONLY)
        fcntl.ioctl(descriptor, _SET_FLAGS, flags, True)
    except OSError:
        return False  # a file system without attributes has none to clear
    finally:
        os.close(descriptor)
    return True


if __name__ == "__main__":
    users.enter_user_namespace()
    _remove(Path(sys.argv[1]))
