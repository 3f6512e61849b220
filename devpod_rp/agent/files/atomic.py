"""Writing a file so that a crash leaves the old content or the new, never a mixture."""

from __future__ import annotations

import os
import time
from typing import Union

_WINDOWS_RETRIES = 20


def write_atomically(path: Union[str, "os.PathLike[str]"], data: bytes, mode: int = 0o600) -> None:
    """Replace *path* with *data* by temp file, fsync and rename; missing parents are made with mode 0700.

    The file never exists with wider permissions than *mode*. A symlink at *path* is replaced, not followed: callers
    that must keep a link pass its real path.
    """
    target = os.fspath(path)
    folder, name = os.path.split(target)
    folder = folder or os.curdir
    _make_private(folder)
    temporary = os.path.join(folder, ".{0}.{1}.tmp".format(name[:100], os.urandom(6).hex()))
    try:
        with open(temporary, "xb", opener=_private) as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, mode)
        _replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    _sync_directory(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _make_private(folder: str) -> None:
    # Not os.makedirs: that gives the parents it makes the default mode.
    if not os.path.isdir(folder):
        _make_private(os.path.dirname(folder) or os.curdir)
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise


def _replace(temporary: str, target: str) -> None:
    for attempt in range(_WINDOWS_RETRIES):
        try:
            os.replace(temporary, target)
        except PermissionError:
            # Windows refuses while a virus scanner or an editor holds the file; elsewhere this is final.
            if os.name != "nt" or attempt == _WINDOWS_RETRIES - 1:
                raise
            time.sleep(0.05)
        else:
            return


def _sync_directory(folder: str) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
