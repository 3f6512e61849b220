"""Links on a volume that point to what a stop takes: the volume survives, and they then point to nothing."""

from __future__ import annotations

import os
import time
from typing import Collection, Iterator, List, NamedTuple, Set, Tuple

from devpod_rp.agent.machine.mounts import Survey, lies_below

_SECONDS = 5.0
_MOST = 1000


class Dangling(NamedTuple):
    links: List[Tuple[str, str]]  # path on the volume, what it points to
    complete: bool  # False: the volume is larger than the time for looking


def find(lost: Collection[str], survey: Survey, *, root: str = "/", seconds: float = _SECONDS) -> Dangling:
    """The links on the volumes of *survey* whose target is one of the *lost* paths, or a folder that holds one."""
    if not lost:
        return Dangling([], True)
    gone = _with_folders(lost)
    links: List[Tuple[str, str]] = []
    deadline = time.monotonic() + seconds
    prefix = root.rstrip("/")
    for volume in survey.volumes:
        borders = {prefix + point for point in survey.roles if lies_below(point, volume)}
        for path, target in _links(prefix + volume, borders):
            if time.monotonic() > deadline or len(links) >= _MOST:
                return Dangling(links, False)
            place = path[len(prefix) :]
            aim = os.path.normpath(os.path.join(os.path.dirname(place), target)) if target else ""
            if aim in gone and aim != volume and not lies_below(aim, volume):
                links.append((place, target))
    return Dangling(sorted(links), True)


def _with_folders(lost: Collection[str]) -> Set[str]:
    """*lost* and the folders above, without those that every image has: what is left of them stays."""
    gone = set(lost)
    for path in lost:
        folder = os.path.dirname(path)
        while folder.count("/") > 1 and folder not in gone:
            gone.add(folder)
            folder = os.path.dirname(folder)
    return gone


def _links(top: str, borders: Collection[str]) -> Iterator[Tuple[str, str]]:
    """Every link below *top*; an entry with an empty target for each folder, so that time can be looked at."""
    stack = [top]
    while stack:
        folder = stack.pop()
        yield folder, ""
        try:
            with os.scandir(folder) as entries:
                listed = list(entries)
        except OSError:
            continue  # what cannot be read is not the link's fault
        for entry in listed:
            if entry.is_symlink():
                try:
                    yield entry.path, os.readlink(entry.path)
                except OSError:
                    continue  # gone meanwhile
            elif entry.is_dir(follow_symlinks=False) and entry.path not in borders:
                stack.append(entry.path)
