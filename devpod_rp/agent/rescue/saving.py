"""Saving files of the container disk to a volume: `<volume>/.devpod/rescue/<UTC time>/<original path>`, verified."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from typing import Dict, Generator, List, NamedTuple, Optional, Sequence, Set, Tuple

from devpod_rp.agent.exposure import manifest
from devpod_rp.agent.exposure.manifest import Manifest, Saved, location
from devpod_rp.agent.files import fitting, handles
from devpod_rp.agent.files.changes import Change, Stamp, look
from devpod_rp.agent.files.copying import CopyDiffers, copy_verified, keep_attributes
from devpod_rp.agent.files.digests import ChangedWhileRead
from devpod_rp.agent.files.naming import unused
from devpod_rp.agent.machine.mounts import Survey, lies_below
from devpod_rp.agent.rescue.earlier import Earlier, link_to
from devpod_rp.agent.rescue.shelf import Parts, alone_in, keep_interrupted
from devpod_rp.agent.wire import Refusal

_FULL = (errno.ENOSPC, errno.EDQUOT)
_ATTEMPTS = 3
_NO_ROOM = "there is no room for it on the volume"
_NO_TIME = "there was no time for it"


class OutOfTime(Exception):
    """Thrown into a rescue that is to end now."""


class Step(NamedTuple):
    """How far a rescue is."""

    files: int
    size_bytes: int


def rescue(
    paths: Sequence[str],
    volume: str,
    survey: Survey,
    *,
    root: str = "/",
    now: Optional[float] = None,
    size_bytes: Optional[int] = None,
    container: str = "",
    durable: bool = True,
) -> Generator[Step, None, Manifest]:
    """Save *paths*, most precious first, to *volume*; yields steps and returns what was saved and what failed.

    Everything lies under one new directory, which gets its name when it is complete. A file that an earlier rescue
    holds unchanged is linked from there; one whose copy was cut off is continued. Where the volume, which has
    *size_bytes* if that is known, has not room for all, the first of *paths* that fit are saved. A path that is gone
    since it was listed counts as failed: it may have moved, and then it was not saved. *container* is noted as the run
    of the container that this is the disk of. `OutOfTime` thrown in ends it with what is saved by then. *durable*: each
    file is flushed to the volume before it counts.

    Raises:
        Refusal: "not-permitted" when *volume* is no mounted volume, "busy" when another rescue runs, "bad-request"
            for a path that is not plain.
    """
    _check(paths, volume, survey)
    created_at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    prefix = root.rstrip("/")
    folder = prefix + os.path.join(volume, manifest.RESCUES)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with alone_in(folder):
            keep_interrupted(folder)
            work = _Rescue(prefix, prefix + volume, folder, created_at, container, durable)
            return (yield from work.run(list(dict.fromkeys(paths)), size_bytes))
    except OSError as error:
        if error.errno not in _FULL:
            raise
        # Not even a directory could be made.
        return Manifest("", created_at, [], dict.fromkeys(paths, _NO_ROOM), frozenset(paths))


class _Rescue:
    def __init__(self, prefix: str, volume: str, folder: str, created_at: str, container: str, durable: bool) -> None:
        self._durable = durable
        self._prefix = prefix
        self._volume = volume
        self._folder = folder
        self._created_at = created_at
        self._container = container
        self._staging = os.path.join(folder, manifest.INCOMPLETE + created_at)
        self._earlier = Earlier(volume, prefix)
        self._directories = {self._staging}
        self._by_inode: Dict[Tuple[int, Stamp], str] = {}
        self._saved: List[Saved] = []
        self._failed: Dict[str, str] = {}
        self._no_room: Set[str] = set()
        self._parts = Parts(volume)
        self._bytes = 0

    def run(self, paths: List[str], size_bytes: Optional[int]) -> Generator[Step, None, Manifest]:
        changes = self._look_at(paths)
        self._parts.keep_only(self._parts.of(change.path, change.stamp) for change in changes)
        changes = self._fitting(changes, size_bytes)
        os.mkdir(self._staging, 0o700)
        try:
            for change in changes:
                yield from self._save(change)
                yield Step(len(self._saved) + len(self._failed), self._bytes)
        except OutOfTime:
            done = {saved.path for saved in self._saved}
            self._failed.update({each.path: _NO_TIME for each in changes if each.path not in done})
        return self._publish()

    def _look_at(self, paths: List[str]) -> List[Change]:
        changes = []
        for path in paths:
            try:
                changes.append(look(path, root=self._prefix or "/"))
            except FileNotFoundError:
                self._failed[path] = "it is gone: deleted or moved since the scan"
            except OSError as error:
                self._failed[path] = error.strerror or str(error)
        return changes

    def _fitting(self, changes: Sequence[Change], size_bytes: Optional[int]) -> List[Change]:
        room = fitting.room(self._volume, size_bytes)
        pieces = [fitting.Piece((change.device, change.stamp), self._needed(change)) for change in changes]
        chosen = fitting.choose(pieces, room)
        for number, change in enumerate(changes):
            if not chosen[number]:
                self._found_no_room(change)
        return [change for number, change in enumerate(changes) if chosen[number]]

    def _needed(self, change: Change) -> int:
        """Bytes that the copy takes on the volume beyond what is there of it."""
        if self._earlier.may_hold(change):
            return 0
        try:
            there = os.lstat(self._parts.of(change.path, change.stamp)).st_blocks
        except OSError:
            there = 0
        try:
            return max(0, handles.status(self._original(change)).st_blocks - there) * 512
        except OSError:
            return change.stamp.size

    def _found_no_room(self, change: Change) -> None:
        self._parts.drop(self._parts.of(change.path, change.stamp))
        self._failed[change.path] = _NO_ROOM
        self._no_room.add(change.path)

    def _save(self, change: Change) -> Generator[Step, None, None]:
        destination = location(self._staging, change.path)
        for attempt in range(_ATTEMPTS):
            try:
                self._make_parents(destination)
                status = handles.status(self._original(change))
                digest = yield from self._place(change, destination)
                mode = stat.S_IMODE(status.st_mode)
                saved = Saved(
                    change.path, change.stamp, mode, status.st_uid, status.st_gid, digest, target=change.target
                )
                self._saved.append(saved)
                return
            except ChangedWhileRead:
                self._failed[change.path] = "it kept changing while it was copied"
                if attempt + 1 < _ATTEMPTS:
                    again = self._look_at([change.path])
                    if not again:
                        return
                    del self._failed[change.path]
                    change = again[0]
            except CopyDiffers:
                self._failed[change.path] = "the volume gave back other bytes than were written"
                return
            except OSError as error:
                if error.errno in _FULL:
                    self._found_no_room(change)
                else:
                    self._failed[change.path] = error.strerror or str(error)
                return

    def _place(self, change: Change, destination: str) -> Generator[Step, None, Optional[str]]:
        if change.target is not None:
            os.symlink(change.target, destination)
            keep_attributes(destination, os.lstat(self._prefix + change.path))
            return None
        twin = self._by_inode.get((change.device, change.stamp)) if change.links > 1 else None
        if twin is not None and link_to(location(self._staging, twin), destination):
            return next(saved.digest for saved in self._saved if saved.path == twin)
        digest = self._earlier.link(change, destination)
        if digest is not None:
            self._bytes += change.stamp.size
        else:
            part = self._parts.of(change.path, change.stamp)
            copying = copy_verified(
                self._original(change), part, destination, change.stamp, resume=True, durable=self._durable
            )
            digest = yield from self._count(copying, part)
        if change.links > 1:
            self._by_inode[(change.device, change.stamp)] = change.path
        return digest

    def _count(self, copying: Generator[int, None, str], part: str) -> Generator[Step, None, str]:
        before = self._bytes
        try:
            while True:
                try:
                    self._bytes += next(copying)
                except StopIteration as end:
                    return str(end.value)
                yield Step(len(self._saved) + len(self._failed), self._bytes)
        except (ChangedWhileRead, CopyDiffers, OSError):
            self._bytes = before
            self._parts.drop(part)
            raise

    def _original(self, change: Change) -> str:
        return handles.physical(self._prefix, change.path)

    def _make_parents(self, destination: str) -> None:
        missing = []
        directory = os.path.dirname(destination)
        while directory not in self._directories:
            missing.append(directory)
            directory = os.path.dirname(directory)
        for directory in reversed(missing):
            # Made one by one: a rescued link must never be walked through on the way to a rescued file.
            os.mkdir(directory, 0o700)
            self._directories.add(directory)

    def _keep_directories(self) -> None:
        # Deepest first: writing into a directory moves its mtime, and a read-only one could not be written any more.
        for directory in sorted(self._directories - {self._staging}, key=len, reverse=True):
            try:
                status = os.lstat(self._prefix + directory[len(self._staging) :])
            except OSError:
                continue  # the original directory is gone; the files in it were saved before
            if stat.S_ISDIR(status.st_mode):
                keep_attributes(directory, status)

    def _publish(self) -> Manifest:
        while self._saved:
            result = Manifest(
                "", self._created_at, self._saved, self._failed, frozenset(self._no_room), self._container
            )
            try:
                manifest.write(self._staging, result)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                # Without its list a rescue cannot be put back: the least precious file makes room for it.
                last = self._saved.pop()
                os.unlink(location(self._staging, last.path))
                self._failed[last.path] = _NO_ROOM
                self._no_room.add(last.path)
                continue
            self._keep_directories()
            destination = unused(os.path.join(self._folder, self._created_at))
            os.rename(self._staging, destination)
            return result._replace(destination=destination[len(self._prefix) :])
        shutil.rmtree(self._staging)
        return Manifest("", self._created_at, [], self._failed, frozenset(self._no_room))


def _check(paths: Sequence[str], volume: str, survey: Survey) -> None:
    if volume not in survey.volumes:
        reason = survey.disguised.get(volume, "nothing is mounted there")
        raise Refusal("not-permitted", "{0} is no volume that outlives a stop: {1}".format(volume, reason))
    for path in paths:
        if not path.startswith("/") or os.path.normpath(path) != path or "\0" in path:
            raise Refusal("bad-request", "not a plain absolute path: {0!r}".format(path))
        if lies_below(path, volume) and not handles.is_name(path):
            raise Refusal("bad-request", "already on the volume: {0}".format(path))
