"""What a walk saw, kept small, to tell quickly whether all of it is still so.

A folder whose stamp is the same holds the same names, so none of them is listed or judged again: two calls for a folder
and one for a file. That makes the look that a lost event is bounded by cheap enough to be taken every minute.
"""

from __future__ import annotations

import hashlib
import marshal
import os
from typing import Dict, Iterable, List, Mapping, Tuple

from devpod_rp.agent.files.tree import Snapshot, Stamp

_NOTHING = b""

Folder = Tuple[int, int, int]
"""Inode, mtime and ctime of a folder before it was listed; see `tree.Walk`."""


class Picture:
    """A tree at one look: the folders of *root* ("" is itself), and the files in them.

    *proof* is False where a later change need not show: something was so fresh that a second change in the same tick
    of the clock would look the same, or could not be seen at all.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._folders: Dict[str, Tuple[Folder, str, bytes]] = {}
        self.proof = True

    @classmethod
    def of(cls, root: str, snapshot: Snapshot, folders: Mapping[str, Folder]) -> "Picture":
        """The picture of a whole walk; *folders* are those that it listed."""
        picture = cls(root)
        inside: Dict[str, List[Tuple[str, Stamp]]] = {folder: [] for folder in folders}
        for path, stamp in snapshot.stamps.items():
            folder, _, name = path.rpartition("/")
            inside[folder].append((name, stamp))
        for folder, stamp_of_folder in folders.items():
            picture.add(folder, stamp_of_folder, inside[folder])
        picture.proof = not (snapshot.fresh or snapshot.unknown)
        return picture

    def add(self, folder: str, stamp: Folder, files: Iterable[Tuple[str, Stamp]]) -> None:
        names: List[str] = []
        numbers: List[int] = []
        for name, (ino, size, mtime_ns, ctime_ns, mode) in files:
            names.append(name)
            numbers += (ino, size, mtime_ns, ctime_ns, mode)
        self._folders[folder] = (stamp, "\0".join(names), _digest(numbers) if names else _NOTHING)

    def holds(self) -> bool:
        """Whether everything is as it was seen."""
        lstat = os.lstat
        try:
            for folder, (stamp, names, digest) in self._folders.items():
                place = self._root + "/" + folder if folder else self._root
                status = lstat(place)
                if (status.st_ino, status.st_mtime_ns, status.st_ctime_ns) != stamp:
                    return False
                if not names:
                    continue
                numbers: List[int] = []
                prefix = place + "/"
                for name in names.split("\0"):
                    status = lstat(prefix + name)
                    numbers += (
                        status.st_ino,
                        status.st_size,
                        status.st_mtime_ns,
                        status.st_ctime_ns,
                        status.st_mode,
                    )
                if _digest(numbers) != digest:
                    return False
        except OSError:
            return False
        return True


def _digest(numbers: List[int]) -> bytes:
    # Version 2 of marshal writes equal integers alike, and no other way of writing a million of them is as quick.
    return hashlib.blake2b(marshal.dumps(numbers, 2), digest_size=16).digest()
