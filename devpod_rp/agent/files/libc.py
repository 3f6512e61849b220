"""Calls of the C library that Python does not offer; each says whether it worked, and none is there without ctypes."""

from __future__ import annotations

import errno
import os
from typing import Any, Optional

_EXCHANGE = 2
_AT_FDCWD = -100
_NOT_HERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM)

_library: Optional[Any] = None
_tried = False


def syncfs(descriptor: int) -> bool:
    """Flush the file system that *descriptor* lies on; False where that cannot be done."""
    call = getattr(_loaded(), "syncfs", None)
    return call is not None and call(descriptor) == 0


def exchange(path: bytes, name: bytes, folder: int) -> bool:
    """Let *path* and *name* in the open *folder* change places in one step (renameat2(2)); False where that is unknown.

    Raises:
        OSError: it is known, and failed.
    """
    call = getattr(_loaded(), "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, path, folder, name, _EXCHANGE) == 0:
        return True
    number = _errno()
    if number in _NOT_HERE:
        return False
    raise OSError(number, os.strerror(number), os.fsdecode(name))


def _loaded() -> Optional[Any]:
    global _library, _tried
    if not _tried:
        _tried = True
        try:
            import ctypes

            _library = ctypes.CDLL(None, use_errno=True)
        except (ImportError, OSError, TypeError):
            _library = None  # a Python built without libffi, or a system without such a library
    return _library


def _errno() -> int:
    import ctypes

    return ctypes.get_errno()
