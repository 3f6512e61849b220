"""What a walk saw, kept small, to tell quickly whether all of it is still so.

A folder whose stamp is the same holds the same names, so none of them is listed or judged again: two calls for a folder
and one for a file. That makes the look that a lost event is bounded by cheap enough to be taken every minute.
"""

from __future__ import annotations

import hashlib
import os
import struct
from typing import Dict, Iterable, Mapping, Tuple

from devpod_rp.agent.files.stamps import LAYOUT

_NOTHING = b""


class Picture:
    """A tree at one look: the folders of *root* ("" is itself), and the files in them.

    *proof* is False where a later change need not show: something was so fresh that a second change in the same tick
    of the clock would look the same, or could not be seen at all.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._folders: Dict[str, Tuple[Tuple[int, int, int], str, bytes]] = {}
        self.proof = True

    def add(self, folder: str, status: os.stat_result, files: Mapping[str, bytes], is_proof: bool) -> None:
        """Take in a *folder*, with what lstat said of it before it was listed, and its *files* (name -> stamp)."""
        digest = _digest(files.values()) if files else _NOTHING
        self._folders[folder] = (_identity(status), "\0".join(files), digest)
        self.proof = self.proof and is_proof

    def holds(self) -> bool:
        """Whether everything is as it was seen."""
        # Once a minute for every file: no call of ours for each, and no object that could be spared.
        lstat, pack = os.lstat, LAYOUT.pack
        try:
            for folder, (identity, names, digest) in self._folders.items():
                place = self._root + "/" + folder if folder else self._root
                if _identity(lstat(place)) != identity:
                    return False
                prefix = place + "/"
                found = [lstat(prefix + name) for name in names.split("\0")] if names else ()
                stamps = [pack(s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_mode) for s in found]
                if names and _digest(stamps) != digest:
                    return False
        except (OSError, struct.error):  # what can be no stamp as it is has to be looked at with more care
            return False
        return True


def _identity(status: os.stat_result) -> Tuple[int, int, int]:
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def _digest(stamps: Iterable[bytes]) -> bytes:
    return hashlib.blake2b(b"".join(stamps), digest_size=16).digest()
