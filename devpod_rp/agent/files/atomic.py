"""Writing a file so that a crash leaves the old content or the new, never a mixture."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Union

_WINDOWS_RETRIES = 20


def write_atomically(path: Union[str, Path], data: bytes, mode: int = 0o600) -> None:
    """Replace *path* with *data* by temp file, fsync and rename; missing parents are made with mode 0700.

    The file never exists with wider permissions than *mode*. A symlink at *path* is replaced, not followed: callers
    that must keep a link pass its real path.
    """
    target = Path(path)
    _make_private(target.parent)
    handle, temporary = tempfile.mkstemp(prefix="." + target.name[:100] + ".", suffix=".tmp", dir=str(target.parent))
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, mode)
        _replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    _sync_directory(target.parent)


def _make_private(directory: Path) -> None:
    # Not mkdir(parents=True): that gives the parents it makes the default mode.
    if not directory.is_dir():
        _make_private(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def _replace(temporary: str, target: Path) -> None:
    for attempt in range(_WINDOWS_RETRIES):
        try:
            os.replace(temporary, str(target))
        except PermissionError:
            # Windows refuses while a virus scanner or an editor holds the file; elsewhere this is final.
            if os.name != "nt" or attempt == _WINDOWS_RETRIES - 1:
                raise
            time.sleep(0.05)
        else:
            return


def _sync_directory(directory: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(str(directory), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
