"""Saving files of the container disk to a volume: `<volume>/.devpod/rescue/<UTC time>/<original path>`, verified."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, Generator, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from devpod_rp.agent import manifest
from devpod_rp.agent.changes import Change, Stamp, look
from devpod_rp.agent.copying import CopyDiffers, copy_verified, keep_attributes
from devpod_rp.agent.digests import ChangedWhileRead
from devpod_rp.agent.earlier import Earlier, link_to
from devpod_rp.agent.exposure import survey_mounts
from devpod_rp.agent.manifest import Manifest, Saved, location
from devpod_rp.agent.mounts import Survey, lies_below
from devpod_rp.agent.shelf import alone_in, keep_interrupted, remains, unused
from devpod_rp.agent.wire import Handler, Refusal, Request

_FULL = (errno.ENOSPC, errno.EDQUOT)
_ATTEMPTS = 3
_NAMED_IN_REFUSAL = 5
_PROGRESS_SECONDS = 0.2
_PART = ".devpod-rescue.part"


class Step(NamedTuple):
    """How far a rescue is."""

    files: int
    size_bytes: int


def rescue(
    paths: Sequence[str], volume: str, survey: Survey, *, root: str = "/", now: Optional[float] = None
) -> Generator[Step, None, Manifest]:
    """Save *paths* to *volume*; yields steps and returns what was saved and what failed (path -> reason).

    Everything lies under one new directory, which gets its name when it is complete. A file that an earlier rescue
    holds unchanged is linked from there. A path that is gone since it was listed counts as failed: it may have
    moved, and then it was not saved.

    Raises:
        Refusal: "not-permitted" when *volume* is no mounted volume, "no-space" when not everything fits (nothing of
            this rescue is left then), "busy" when another rescue runs, "bad-request" for a path that is not plain.
    """
    _check(paths, volume, survey)
    created_at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    prefix = root.rstrip("/")
    folder = prefix + os.path.join(volume, manifest.RESCUES)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with alone_in(folder):
        keep_interrupted(folder, leave_out=_PART)
        work = _Rescue(prefix, prefix + volume, folder, created_at)
        return (yield from work.run(list(dict.fromkeys(paths))))


class _Rescue:
    def __init__(self, prefix: str, volume: str, folder: str, created_at: str) -> None:
        self._prefix = prefix
        self._volume = volume
        self._folder = folder
        self._created_at = created_at
        self._staging = os.path.join(folder, manifest.INCOMPLETE + created_at)
        self._earlier = Earlier(volume, prefix)
        self._directories = {self._staging}
        self._by_inode: Dict[Tuple[int, Stamp], str] = {}
        self._saved: List[Saved] = []
        self._failed: Dict[str, str] = {}
        self._bytes = 0

    def run(self, paths: List[str]) -> Generator[Step, None, Manifest]:
        changes = self._look_at(paths)
        self._check_space(changes)
        os.mkdir(self._staging, 0o700)
        try:
            for change in changes:
                yield from self._save(change)
                yield Step(len(self._saved) + len(self._failed), self._bytes)
            self._keep_directories()
            return self._publish()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            # The originals are all still there, so taking the unfinished copy back loses nothing.
            shutil.rmtree(self._staging)
            raise Refusal("no-space", self._what_did_not_fit(changes)) from error

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

    def _check_space(self, changes: Sequence[Change]) -> None:
        # Advisory: a network volume answers for its whole cluster, so ENOSPC may still come later.
        free = os.statvfs(self._volume)
        needed = sum(self._allocated(change) for change in changes if not self._earlier.may_hold(change))
        if needed > free.f_bavail * free.f_frsize:
            shortage = "needs {0}, the volume has {1} free. ".format(
                _readable(needed), _readable(free.f_bavail * free.f_frsize)
            )
            raise Refusal("no-space", shortage + self._what_did_not_fit(changes))

    def _allocated(self, change: Change) -> int:
        try:
            return os.lstat(self._prefix + change.path).st_blocks * 512
        except OSError:
            return change.stamp.size

    def _save(self, change: Change) -> Generator[Step, None, None]:
        destination = location(self._staging, change.path)
        for attempt in range(_ATTEMPTS):
            try:
                self._make_parents(destination)
                status = os.lstat(self._prefix + change.path)
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
                    raise
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
            copying = copy_verified(
                self._prefix + change.path, os.path.join(self._staging, _PART), destination, change.stamp
            )
            digest = yield from self._count(copying)
        if change.links > 1:
            self._by_inode[(change.device, change.stamp)] = change.path
        return digest

    def _count(self, copying: Generator[int, None, str]) -> Generator[Step, None, str]:
        before = self._bytes
        try:
            while True:
                try:
                    self._bytes += next(copying)
                except StopIteration as end:
                    return str(end.value)
                yield Step(len(self._saved) + len(self._failed), self._bytes)
        except ChangedWhileRead:
            self._bytes = before
            raise

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
        result = Manifest("", self._created_at, self._saved, self._failed)
        if not self._saved:
            shutil.rmtree(self._staging)
            return result
        part = os.path.join(self._staging, _PART)
        if os.path.lexists(part):
            os.unlink(part)
        manifest.write(self._staging, result)
        destination = unused(os.path.join(self._folder, self._created_at))
        os.rename(self._staging, destination)
        return result._replace(destination=destination[len(self._prefix) :])

    def _what_did_not_fit(self, changes: Sequence[Change]) -> str:
        done = {saved.path for saved in self._saved}
        left = sorted((change for change in changes if change.path not in done), key=lambda change: -change.stamp.size)
        named = ", ".join(
            "{0} ({1})".format(change.path, _readable(change.stamp.size)) for change in left[:_NAMED_IN_REFUSAL]
        )
        more = " and {0} more".format(len(left) - _NAMED_IN_REFUSAL) if len(left) > _NAMED_IN_REFUSAL else ""
        return "No room on the volume for {0} files, the largest: {1}{2}; nothing was saved".format(
            len(left), named, more
        )


def _check(paths: Sequence[str], volume: str, survey: Survey) -> None:
    if volume not in survey.volumes:
        reason = survey.disguised.get(volume, "nothing is mounted there")
        raise Refusal("not-permitted", "{0} is no volume that outlives a stop: {1}".format(volume, reason))
    for path in paths:
        if not path.startswith("/") or os.path.normpath(path) != path or "\0" in path:
            raise Refusal("bad-request", "not a plain absolute path: {0!r}".format(path))
        if lies_below(path, volume):
            raise Refusal("bad-request", "already on the volume: {0}".format(path))


def _readable(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return "{0:.4g} {1}".format(size, unit)
        size /= 1000
    return "{0:.4g} TB".format(size)


def operations(root: str = "/", proc: Path = Path("/proc")) -> Dict[str, Handler]:
    """The operations for the container whose disk is at *root* and whose kernel speaks through *proc*."""
    return {"rescue.copy": partial(_copy, root, proc), "rescue.list": partial(_list, root)}


def _copy(root: str, proc: Path, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Saves the paths of the body; progress frames ``files, bytes``, then destination, files, bytes, failed (body)."""
    volume = str(request.header.get("volume", ""))
    paths = json.loads(request.body)
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise Refusal("bad-request", "rescue.copy needs a list of paths")
    steps = rescue(paths, volume, survey_mounts([volume], proc=proc), root=root)
    shown_at = time.monotonic()
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: Manifest = end.value
            break
        if time.monotonic() - shown_at >= _PROGRESS_SECONDS:
            shown_at = time.monotonic()
            yield {"files": step.files, "bytes": step.size_bytes}, b""
    header = {"destination": result.destination, "files": len(result.saved), "bytes": result.size_bytes}
    yield header, json.dumps(result.failed).encode("ascii")


def _list(root: str, request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """The rescues on a volume, oldest first; *complete* is False for the remains of one that was cut off."""
    volume = str(request.header.get("volume", ""))
    rescues = []
    physical = root.rstrip("/") + volume
    for name in manifest.finished(physical):
        destination = os.path.join(volume, manifest.RESCUES, name)
        try:
            one = manifest.read(os.path.join(physical, manifest.RESCUES, name))
        except (OSError, ValueError):
            files, size = remains(os.path.join(physical, manifest.RESCUES, name))
            rescues.append(
                {"destination": destination, "created_at": name, "files": files, "bytes": size, "complete": False}
            )
            continue
        rescues.append(
            {
                "destination": destination,
                "created_at": one.created_at,
                "files": len(one.saved),
                "bytes": one.size_bytes,
                "complete": True,
            }
        )
    yield {"rescues": len(rescues)}, json.dumps(rescues).encode("ascii")


OPERATIONS = operations()
