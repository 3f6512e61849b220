"""Which files of the container disk also exist, byte for byte, on a volume, as far as a budget lets one look."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Collection, Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple

from devpod_rp.agent.archive.covering import archived
from devpod_rp.agent.exposure import manifest
from devpod_rp.agent.files import handles
from devpod_rp.agent.files.changes import Change, Stamp, look
from devpod_rp.agent.files.digests import ChangedWhileRead, content_digest, stamp_of

# Our own stage and trash are emptied without asking, so a file there is no safe copy of anything.
_PASSING = ".devpod_rp"


class Budget(NamedTuple):
    """How long to look and how many bytes to read; beyond it a copy counts as absent, which errs to the safe side."""

    seconds: float
    size_bytes: int


class Copies(NamedTuple):
    paths: Set[str]
    complete: bool  # False: the budget ran out, more copies may exist


def find(
    paths: Sequence[str],
    volumes: Sequence[str],
    budget: Budget,
    *,
    borders: Collection[str] = (),
    root: str = "/",
    proc: Path = Path("/proc"),
) -> Copies:
    """The *paths* whose content is also on one of *volumes*.

    A file that a rescue saved, or that an archive of the disk holds, and that has not changed since, is known from the
    list of what was saved, without reading it.
    Others are compared with volume files of the same size. *borders* are mount points below the volumes that are not
    entered: what is mounted there need not be on the volume.
    """
    wanted = _present(paths, root)
    found = {path for volume in volumes for path in _rescued(wanted, root.rstrip("/") + volume)}
    found |= archived(wanted, volumes, root=root, proc=proc)
    hunt = _Hunt({path: change for path, change in wanted.items() if path not in found}, budget, root)
    for volume in volumes:
        hunt.search(volume, borders)
    return Copies(found | hunt.found, hunt.complete)


def _present(paths: Sequence[str], root: str) -> Dict[str, Change]:
    present = {}
    for path in paths:
        try:
            present[path] = look(path, root=root)
        except OSError:
            continue  # gone meanwhile: then nothing is known about it, which means no copy
    return present


def _rescued(wanted: Dict[str, Change], volume: str) -> Iterator[str]:
    for rescue in manifest.every(volume):
        for saved in rescue.saved:
            change = wanted.get(saved.path)
            if change is not None and _same_without_reading(change, saved) and _still_there(rescue, saved):
                yield saved.path


def _same_without_reading(change: Change, saved: manifest.Saved) -> bool:
    if change.stamp == saved.stamp:
        return True
    # A file that was restored has another inode and ctime. A link and an empty file hold nothing that need be read.
    if change.target is not None or saved.target is not None:
        return change.target == saved.target
    return change.stamp.size == saved.stamp.size == 0


def _still_there(rescue: manifest.Manifest, saved: manifest.Saved) -> bool:
    try:
        copy = manifest.location(rescue.destination, saved.path)
        status = os.lstat(copy)
        if saved.target is not None:
            return os.readlink(copy) == saved.target
    except OSError:
        return False
    # A copy that was edited on the volume has another mtime than the one the rescue gave it.
    same = status.st_size == saved.stamp.size and status.st_mtime_ns == saved.stamp.mtime_ns
    return stat.S_ISREG(status.st_mode) and same


class _Hunt:
    """Walks volumes for files as large as the wanted ones and compares their contents."""

    def __init__(self, wanted: Dict[str, Change], budget: Budget, root: str) -> None:
        self._root = root.rstrip("/")
        self._deadline = time.monotonic() + budget.seconds
        self._bytes_left = budget.size_bytes
        self._digests: Dict[str, str] = {}
        self._by_size: Dict[int, List[Change]] = {}
        for change in wanted.values():
            if change.target is None and change.stamp.size > 0:
                self._by_size.setdefault(change.stamp.size, []).append(change)
        self.found: Set[str] = set()
        self.complete = True

    def search(self, volume: str, borders: Collection[str]) -> None:
        for path, stamp in self._candidates(volume, borders):
            for change in self._by_size.get(stamp.size, ()):
                if change.path not in self.found and self._same(change, path, stamp):
                    self.found.add(change.path)

    def _candidates(self, volume: str, borders: Collection[str]) -> Iterator[Tuple[str, Stamp]]:
        waiting = [self._root + volume] if self._by_size else []
        top = self._root + volume.rstrip("/") + "/"
        avoided = {self._root + border for border in borders} | {top + _PASSING, *self._without_list(top)}
        while waiting:
            if self._spent():
                self.complete = False
                return
            try:
                with os.scandir(waiting.pop()) as entries:
                    listed = list(entries)
            except OSError:
                continue  # what cannot be read holds no copy we can vouch for
            for entry in listed:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.path not in avoided:
                            waiting.append(entry.path)
                        continue
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode) and status.st_size in self._by_size:
                    yield entry.path, stamp_of(status)

    @staticmethod
    def _without_list(top: str) -> Iterator[str]:
        """Rescues that were cut off: no restore puts their files back, so what is only there is saved again."""
        folder = top + manifest.RESCUES
        try:
            names = os.listdir(folder)
        except OSError:
            return
        for name in names:
            if not manifest.is_there(os.path.join(folder, name)):
                yield os.path.join(folder, name)

    def _same(self, change: Change, path: str, stamp: Stamp) -> bool:
        try:
            original = handles.physical(self._root, change.path)
            if original not in self._digests:
                self._digests[original] = content_digest(original, change.stamp, self._count)
            if path not in self._digests:
                self._digests[path] = content_digest(path, stamp, self._count)
        except _Spent:
            self.complete = False
            return False
        except (OSError, ChangedWhileRead):
            return False
        return self._digests[original] == self._digests[path]

    def _count(self, size_bytes: int) -> None:
        self._bytes_left -= size_bytes
        if self._spent():
            raise _Spent

    def _spent(self) -> bool:
        return self._bytes_left < 0 or time.monotonic() > self._deadline


class _Spent(Exception):
    """The budget ran out in the middle of a file."""
