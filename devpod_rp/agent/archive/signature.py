"""What is known of a name without reading it: enough to tell whether two images bring the same there."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple, Tuple

FILE, LINK, FOLDER, OTHER = "f", "l", "d", "o"


class Signature(NamedTuple):
    """What the image brought under one name; *digest* is known for small files that people edit, else empty."""

    kind: str
    size: int
    mtime_ns: int
    mode: int
    uid: int
    gid: int
    digest: str = ""

    def agrees(self, other: "Signature") -> bool:
        """Whether both images bring the same thing: by content where it is known, else by size and time, which layers
        of an image keep on every host."""
        if self.kind != other.kind:
            return False
        if self.kind == FOLDER:
            return self.attributes == other.attributes
        if self.digest and other.digest:
            return self.digest == other.digest
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)

    @property
    def attributes(self) -> Tuple[int, int, int]:
        return self.mode, self.uid, self.gid


def signature(status: os.stat_result) -> Signature:
    mode = status.st_mode
    kind = FILE if stat.S_ISREG(mode) else LINK if stat.S_ISLNK(mode) else FOLDER if stat.S_ISDIR(mode) else OTHER
    size = 0 if kind == FOLDER else status.st_size
    return Signature(kind, size, status.st_mtime_ns, stat.S_IMODE(mode), status.st_uid, status.st_gid)
