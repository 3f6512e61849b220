"""Extended attributes of a file: capabilities, access lists, what a user noted. As far as the file system has them."""

from __future__ import annotations

import errno
import os
from typing import Sequence, Tuple, Union

_NOT_KEPT = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.ENODATA, errno.ERANGE)
# overlayfs's own, and labels that belong to the host's policy.
_NOT_OURS = ("trusted.", "security.selinux", "security.ima", "security.evm")


def read_traits(path: str) -> Tuple[Tuple[str, str], ...]:
    """(name, value in hexadecimal digits) of each, of *path* itself, never of what it points to."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NOT_KEPT:
            return ()
        raise
    found = []
    for name in sorted(names):
        if name.startswith(_NOT_OURS):
            continue
        try:
            found.append((name, os.getxattr(path, name, follow_symlinks=False).hex()))
        except OSError as error:
            if error.errno not in _NOT_KEPT:
                raise
    return tuple(found)


def write_traits(place: Union[int, str], traits: Sequence[Tuple[str, str]]) -> None:
    """Give them to an open file; what its file system cannot keep is left out."""
    for name, value in traits:
        try:
            os.setxattr(place, name, bytes.fromhex(value))
        except OSError as error:
            if error.errno not in _NOT_KEPT:
                raise
