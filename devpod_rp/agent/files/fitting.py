"""What of a rescue fits where there is not room for all of it, and how much room there is."""

from __future__ import annotations

import os
import time
from typing import Hashable, List, NamedTuple, Optional, Sequence, Set

# What a file costs beside its content: its entry in the list, and its name and inode.
OVERHEAD_BYTES = 1536
_MEASURING_SECONDS = 20.0
# A file system this much larger than the volume is the cluster that the volume is a part of.
_CLUSTER_FACTOR = 2


class Piece(NamedTuple):
    """Something to save. *content* tells which pieces are the same bytes, *size_bytes* what they take on the volume."""

    content: Hashable
    size_bytes: int


def choose(pieces: Sequence[Piece], room_bytes: int) -> List[bool]:
    """Which of *pieces*, most precious first, fit into *room_bytes*: each is taken that leaves no earlier one out."""
    taken: Set[Hashable] = set()
    left = room_bytes
    chosen = []
    for piece in pieces:
        needed = OVERHEAD_BYTES + (0 if piece.content in taken else piece.size_bytes)
        fits = needed <= left
        chosen.append(fits)
        if fits:
            taken.add(piece.content)
            left -= needed
    return chosen


def room(volume: str, size_bytes: Optional[int] = None, *, seconds: float = _MEASURING_SECONDS) -> int:
    """Bytes that can still be written to *volume*, which has *size_bytes* if the caller knows.

    A network volume answers for its whole cluster; then what is on it is counted and compared with its own size. If
    that takes longer than *seconds*, the cluster's answer counts, and a write may still find the volume full.
    """
    status = os.statvfs(volume)
    free = status.f_bavail * status.f_frsize
    if size_bytes is None or status.f_blocks * status.f_frsize < _CLUSTER_FACTOR * size_bytes:
        return free
    used = _used(volume, time.monotonic() + seconds)
    return free if used is None else max(0, min(free, size_bytes - used))


def _used(volume: str, deadline: float) -> Optional[int]:
    device = os.lstat(volume).st_dev
    seen: Set[int] = set()
    used = 0
    waiting = [volume]
    while waiting:
        if time.monotonic() > deadline:
            return None
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if status.st_dev != device or (status.st_nlink > 1 and status.st_ino in seen):
                        continue
                    seen.add(status.st_ino)
                    used += status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            continue  # gone meanwhile, or not ours to read: then it counts as nothing
    return used
