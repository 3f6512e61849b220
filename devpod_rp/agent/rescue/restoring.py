"""Putting rescued files back on a container disk: proved equal to what was rescued, and never over somebody's work."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Generator, Iterator, List, NamedTuple, Optional, Sequence

from devpod_rp.agent.exposure import baseline as baselines
from devpod_rp.agent.exposure import manifest
from devpod_rp.agent.exposure.examine import since_ns
from devpod_rp.agent.exposure.manifest import Saved, location
from devpod_rp.agent.files.changes import Change, Stamp, look
from devpod_rp.agent.files.copying import CopyDiffers, content, copy_verified, keep_attributes, set_attributes
from devpod_rp.agent.files.digests import ChangedWhileRead
from devpod_rp.agent.machine.mounts import lies_below
from devpod_rp.agent.wire import Handler, Refusal, Request

_PROGRESS_SECONDS = 0.2
_ANOTHER_SECONDS = 20.0
_PART = ".devpod-restore.part"
_READY = ".devpod-restore.ready"

Steps = Generator[int, None, "Restored"]


class Restored(NamedTuple):
    """What a restore did: *present* were there already with the same content, *kept* says why others were left."""

    restored: List[str]
    present: List[str]
    kept: Dict[str, str]
    size_bytes: int


def restore(
    destinations: Sequence[str],
    *,
    only: Sequence[str] = (),
    overwrite: bool = False,
    is_original: Callable[[Change], bool],
    root: str = "/",
) -> Steps:
    """Put back what the rescues in *destinations* hold; yields the bytes done so far.

    Where several hold the same path, the first counts. *only* names files or directories (their old paths). A file
    that is there and differs is replaced if *is_original* says that the image or the boot made it, or with *overwrite*;
    else it is kept. Each file gets its name when it is complete and verified, so that a restore that was cut off is
    taken up by running it again.

    Raises:
        Refusal: "not-found" when a destination holds no finished rescue, "no-space" when the disk is full (what was
            put back until then stays).
    """
    work = _Restore(root.rstrip("/"), overwrite, is_original)
    chosen: Dict[str, str] = {}
    entries: List[Saved] = []
    for destination in destinations:
        for saved in _read(work.prefix + destination).saved:
            if saved.path not in chosen and _is_wanted(saved.path, only):
                chosen[saved.path] = destination
                entries.append(saved)
    try:
        for saved in entries:
            yield from work.put_back(saved, work.prefix + chosen[saved.path])
            yield work.size_bytes
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        text = "The container disk is full; {0} of {1} files are back".format(len(work.restored), len(entries))
        raise Refusal("no-space", text) from error
    finally:
        work.keep_directories()
    return Restored(work.restored, work.present, work.kept, work.size_bytes)


class _Restore:
    def __init__(self, prefix: str, overwrite: bool, is_original: Callable[[Change], bool]) -> None:
        self.prefix = prefix
        self.restored: List[str] = []
        self.present: List[str] = []
        self.kept: Dict[str, str] = {}
        self.size_bytes = 0
        self._overwrite = overwrite
        self._is_original = is_original
        self._made: Dict[str, os.stat_result] = {}
        self._names: Dict[Stamp, str] = {}

    def put_back(self, saved: Saved, destination: str) -> Generator[int, None, None]:
        target = self.prefix + saved.path
        source = location(destination, saved.path)
        try:
            obstacle = self._obstacle(saved)
            if obstacle == "":
                self.present.append(saved.path)
                return
            if obstacle is None and self._make_parents(saved.path, destination):
                yield from self._place(saved, source, target)
                self.restored.append(saved.path)
                return
            self.kept[saved.path] = obstacle or "a folder of its path is a link or a file on this pod"
        except (ChangedWhileRead, CopyDiffers, FileNotFoundError):
            self.kept[saved.path] = "the rescued copy is damaged or gone"
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            self.kept[saved.path] = error.strerror or str(error)

    def keep_directories(self) -> None:
        # Deepest first: writing into a directory moves its mtime.
        for directory in sorted(self._made, key=len, reverse=True):
            keep_attributes(directory, self._made[directory])

    def _obstacle(self, saved: Saved) -> Optional[str]:
        """None: the way is free. Empty: it is there already. Else why the file that is there stays."""
        try:
            there = look(saved.path, root=self.prefix or "/")
        except (FileNotFoundError, NotADirectoryError):
            return None
        status = os.lstat(self.prefix + saved.path)
        if stat.S_ISDIR(status.st_mode):
            return "a directory has its name now"
        if saved.target is not None:
            same = there.target == saved.target
        else:
            same = (
                stat.S_ISREG(status.st_mode)
                and there.stamp.size == saved.stamp.size
                and content(self.prefix + saved.path, there.stamp.size) == saved.digest
            )
        if same:
            return ""
        if self._overwrite or self._is_original(there):
            return None
        return "another file is there, newer than this container"

    def _make_parents(self, path: str, destination: str) -> bool:
        """Make the directories above *path* as they were; False where something else than a directory is in the way."""
        parts = path.strip("/").split("/")[:-1]
        for end in range(1, len(parts) + 1):
            below = "/" + "/".join(parts[:end])
            directory = self.prefix + below
            try:
                if not stat.S_ISDIR(os.lstat(directory).st_mode):
                    return False
            except FileNotFoundError:
                os.mkdir(directory, 0o700)
                self._made[directory] = os.lstat(location(destination, below))
                keep_attributes(directory, self._made[directory])
        return True

    def _place(self, saved: Saved, source: str, target: str) -> Generator[int, None, None]:
        folder = os.path.dirname(target)
        part, ready = os.path.join(folder, _PART), os.path.join(folder, _READY)
        before = self.size_bytes
        try:
            if os.path.lexists(ready):
                os.unlink(ready)
            twin = self._names.get(saved.stamp)
            if saved.target is not None:
                os.symlink(saved.target, ready)
            elif twin is not None and os.stat(twin).st_dev == os.stat(folder).st_dev:
                os.link(twin, ready)
            else:
                copying = copy_verified(source, part, ready, look(source).stamp)
                while True:
                    try:
                        self.size_bytes += next(copying)
                    except StopIteration as end:
                        if end.value != saved.digest:
                            raise CopyDiffers(source) from None
                        break
                    yield self.size_bytes
                self._names[saved.stamp] = target
            # From the manifest, not from the copy: a network volume cannot keep every owner, mode and time.
            set_attributes(ready, saved.uid, saved.gid, saved.mode, saved.stamp.mtime_ns)
            os.rename(ready, target)
        except BaseException:
            self.size_bytes = before
            raise
        finally:
            for left in (part, ready):
                if os.path.lexists(left):
                    os.unlink(left)


def _read(destination: str) -> manifest.Manifest:
    try:
        found = manifest.read(destination)
    except (OSError, ValueError) as error:
        raise Refusal("not-found", "no finished rescue: {0} ({1})".format(destination, error)) from error
    for saved in found.saved:
        if not saved.path.startswith("/") or os.path.normpath(saved.path) != saved.path or "\0" in saved.path:
            raise Refusal("bad-request", "not a plain absolute path in {0}: {1!r}".format(destination, saved.path))
    return found


def _is_wanted(path: str, only: Sequence[str]) -> bool:
    return not only or any(path == one or lies_below(path, one) for one in only)


def operations(root: str = "/", proc: Path = Path("/proc")) -> Dict[str, Handler]:
    """The operation for the container whose disk is at *root* and whose kernel speaks through *proc*."""
    return {"rescue.restore": partial(_restore, root, proc)}


def _restore(root: str, proc: Path, request: Request) -> Iterator[Any]:
    """Op ``rescue.restore {overwrite}``, body ``{destinations, only}``: frames ``{bytes}``, then the outcome (body)."""
    asked = json.loads(request.body)
    try:
        boot = baselines.load(root)
    except ValueError as error:
        raise Refusal("unexpected", str(error)) from error
    oldest_new_ns = since_ns(boot, proc)

    def is_original(change: Change) -> bool:
        return change.stamp.ctime_ns < oldest_new_ns or (boot is not None and boot.covers(change))

    steps = restore(
        [str(one) for one in asked["destinations"]],
        only=[str(one).rstrip("/") for one in asked["only"]],
        overwrite=bool(request.header.get("overwrite", False)),
        is_original=is_original,
        root=root,
    )
    shown_at = time.monotonic()
    with _alone(root):
        while True:
            try:
                done = next(steps)
            except StopIteration as end:
                outcome: Restored = end.value
                break
            if time.monotonic() - shown_at >= _PROGRESS_SECONDS:
                shown_at = time.monotonic()
                yield {"bytes": done}, b""
    yield {"bytes": outcome.size_bytes}, json.dumps(outcome._asdict()).encode("ascii")


@contextmanager
def _alone(root: str) -> Iterator[None]:
    """Hold the container disk for one restore; that of a launcher which was killed takes a moment to notice."""
    folder = root.rstrip("/") + baselines.DIRECTORY
    os.makedirs(folder, mode=0o700, exist_ok=True)
    descriptor = os.open(folder + "/restore.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _ANOTHER_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Refusal("busy", "another restore is running on this pod") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


OPERATIONS = operations()
