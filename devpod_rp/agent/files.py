"""Changing files on the pod: stage outside the tree, verify, check what is there, keep the old version, rename.

At every instant a visible path holds its old content or its new content in full. Nothing is overwritten that is not
exactly what the launcher expects to be there, and what is replaced or deleted lies in the trash afterwards.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import time
from contextlib import suppress
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from devpod_rp.agent import durable
from devpod_rp.agent.batch import Item, count, inflated, unpacked
from devpod_rp.agent.roots import Area, Root, encode
from devpod_rp.agent.tree import digest_of, stamp_of
from devpod_rp.agent.wire import Refusal, Request

_STAGE_ID = re.compile(r"[0-9a-f]{8,64}")
_NO_LINKS = (errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

Reply = Iterator[Tuple[Dict[str, Any], bytes]]


class Found:
    """What lies at a name right now, hashed if it is a file."""

    def __init__(self, status: os.stat_result, kind: str, digest: str = "", target: str = ""):
        self.status, self.kind, self.digest, self.target = status, kind, digest, target
        self.executable = kind == "file" and bool(status.st_mode & stat.S_IXUSR)

    def is_version(self, version: Dict[str, Any]) -> bool:
        if self.kind != version.get("kind"):
            return False
        if self.kind == "file":
            return self.digest == version.get("digest") and self.executable == version.get("executable")
        return self.kind == "dir" or self.target == version.get("target")


def look(folder: int, name: bytes) -> Optional[Found]:
    """What *name* in the open *folder* is; None when nothing is there. Links are read, never followed."""
    try:
        status = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(status.st_mode):
        return Found(status, "symlink", target=os.readlink(name, dir_fd=folder).decode("utf-8", "surrogateescape"))
    if stat.S_ISDIR(status.st_mode):
        return Found(status, "dir")
    if not stat.S_ISREG(status.st_mode):
        return Found(status, "special")
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        before = os.fstat(descriptor)
        digest = digest_of(descriptor, before.st_size)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if stamp_of(before) != stamp_of(after) or not stat.S_ISREG(after.st_mode):
        raise Refusal("busy", "it is being written on the pod")
    return Found(after, "file", digest)


class Batch:
    """One ``files.apply`` request being carried out: items in order, each with its own result."""

    def __init__(self, area: Area, root: Root, items: List[Item], content: bytes):
        self.area, self.root, self.items = area, root, items
        self._content = content
        self._staged: Dict[int, bytes] = {}
        now = time.time()
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + ".%06dZ" % int(now % 1 * 1e6)
        self._trash = os.path.join(area.trash, encode(moment))

    def run(self) -> List[Dict[str, Any]]:
        """Carry everything out and make it durable; one result per item, in order."""
        failures = self._stage_all()
        try:
            results = [
                failures.get(position) or self._guarded(position, item) for position, item in enumerate(self.items)
            ]
        finally:
            for path in self._staged.values():
                _unlink_if_there(path)
        done = [(item, results[position]) for position, item in enumerate(self.items) if results[position]["ok"]]
        self._make_durable([item for item, _result in done])
        for item, result in done:
            if item.get("do") in ("file", "mode"):
                result["stamp"] = self._stamp(str(item["path"]))
        return results

    def _make_durable(self, done: List[Dict[str, Any]]) -> None:
        """An answer promises that a power cut changes nothing any more: the renames must be on disk too."""
        folders: Dict[str, str] = {}
        for item in done:
            folders[str(item["path"]).rpartition("/")[0]] = str(item["path"])
        descriptors: List[int] = []
        try:
            for path in folders.values():
                # A folder that went in this batch needs nothing: the one above it is in the list too.
                with suppress(FileNotFoundError, Refusal):
                    descriptors.append(os.dup(self.root.parent(path)[0]))
            durable.flush(descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _stamp(self, path: str) -> Optional[List[Any]]:
        try:
            folder, name = self.root.parent(path)
            return durable.stamp_row(os.lstat(name, dir_fd=folder))
        except (OSError, Refusal):
            return None

    # Staging: everything is on disk before the first visible name changes.

    def _stage_all(self) -> Dict[int, Dict[str, Any]]:
        failures: Dict[int, Dict[str, Any]] = {}
        offset, descriptors = 0, []
        try:
            for position, item in enumerate(self.items):
                if item.get("do") != "file":
                    continue
                size = count(item, "size")
                try:
                    if "staged" in item:
                        descriptors.append(self._take_staged(position, item, size))
                        continue
                    data = self._content[offset : offset + size]
                    offset += size
                    descriptors.append(self._stage(position, item, data))
                except (OSError, Refusal) as error:
                    failures[position] = failure(error)
            durable.flush(descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return failures

    def _stage(self, position: int, item: Item, data: bytes) -> int:
        if hashlib.blake2b(data, digest_size=16).hexdigest() != item.get("digest"):
            raise Refusal("changed", "the content does not match its digest")
        path = os.path.join(self.area.stage, b"%d-%d.new" % (os.getpid(), position))
        descriptor = os.open(path, _WRITE | os.O_TRUNC, 0o666)
        self._staged[position] = path
        try:
            _write(descriptor, data)
            _set_times(descriptor, item)
        except BaseException:
            os.close(descriptor)
            _unlink_if_there(self._staged.pop(position))  # what did not fit must not take the next one's room
            raise
        return descriptor

    def _take_staged(self, position: int, item: Item, size: int) -> int:
        path = staged_path(self.area, item["staged"])
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        self._staged[position] = path
        try:
            if os.fstat(descriptor).st_size != size or digest_of(descriptor, size) != item.get("digest"):
                raise Refusal("changed", "the content does not match its digest")
            _set_times(descriptor, item)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    # Committing.

    def _guarded(self, position: int, item: Item) -> Dict[str, Any]:
        try:
            self._commit(position, item)
        except (OSError, Refusal, OccupiedError) as error:
            return failure(error)
        return {"ok": True}

    def _commit(self, position: int, item: Item) -> None:
        do, path, old = item.get("do"), item.get("path"), item.get("old")
        wanted = {**item, "kind": "file" if do == "mode" else do}
        try:
            folder, name = self.root.parent(path)  # type: ignore[arg-type]
        except FileNotFoundError:
            if do == "remove":
                return
            raise
        found = look(folder, name)
        if found is None and do == "remove":
            return
        if found is not None and do != "remove" and found.is_version(wanted):
            return  # the same edit was made here, or an answer was lost: nothing to do
        if found is not None and not (isinstance(old, dict) and found.is_version(old)):
            raise Refusal("changed", "changed on the pod meanwhile" if old else "appeared on the pod meanwhile")
        if do == "remove":
            self._clear(folder, name, str(path), found)
        elif do == "dir":
            self._clear(folder, name, str(path), found)
            os.mkdir(name, dir_fd=folder)
        elif do == "symlink":
            self._symlink(folder, name, str(path), found, item)
        elif do == "mode":
            self._set_mode(folder, name, bool(item.get("executable")), found)
        elif do == "file":
            self._replace(folder, name, str(path), found, self._staged[position], bool(item.get("executable")))
        else:
            raise Refusal("bad-request", "unknown action %r" % (do,))

    def _replace(
        self, folder: int, name: bytes, path: str, found: Optional[Found], staged: bytes, executable: Optional[bool]
    ) -> None:
        if executable is not None:
            base = found.status.st_mode if found is not None and found.kind == "file" else os.lstat(staged).st_mode
            os.chmod(staged, _mode(base, executable))
        if found is not None and found.kind == "dir":
            self._clear(folder, name, path, found)
            found = None
        if found is None:
            # link() refuses an existing name: whoever created it in the meantime wins.
            if not _link(staged, name, folder):
                os.rename(staged, name, dst_dir_fd=folder)
            return
        kept = self._keep(folder, name, path, found)
        os.rename(staged, name, dst_dir_fd=folder)
        if kept is not None and _times(os.lstat(kept)) != _times(found.status):
            # Somebody wrote into the old version between the look and the rename: theirs goes back, ours is refused.
            os.rename(kept, name, dst_dir_fd=folder)
            raise Refusal("changed", "changed on the pod meanwhile")

    def _symlink(self, folder: int, name: bytes, path: str, found: Optional[Found], item: Item) -> None:
        target = item.get("target")
        if not isinstance(target, str) or not target or "\0" in target:
            raise Refusal("bad-request", "a link needs a target")
        staged = os.path.join(self.area.stage, b"%d.link" % os.getpid())
        _unlink_if_there(staged)
        os.symlink(encode(target), staged)
        try:
            self._replace(folder, name, path, found, staged, None)
        finally:
            _unlink_if_there(staged)

    def _set_mode(self, folder: int, name: bytes, executable: bool, found: Optional[Found]) -> None:
        if found is None:
            raise Refusal("changed", "deleted on the pod meanwhile")
        descriptor = os.open(name, _READ, dir_fd=folder)
        try:
            os.fchmod(descriptor, _mode(os.fstat(descriptor).st_mode, executable))
        finally:
            os.close(descriptor)

    def _clear(self, folder: int, name: bytes, path: str, found: Optional[Found]) -> None:
        """Free the name; a folder must be empty, anything else goes to the trash in one rename."""
        if found is None:
            return
        if found.kind == "dir":
            try:
                os.rmdir(name, dir_fd=folder)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise OccupiedError from error
                raise
            self.root.forget(path)
            return
        kept = self._trash_place(path)
        os.rename(name, kept, src_dir_fd=folder)
        if _times(os.lstat(kept)) != _times(found.status):
            if not _link(kept, name, folder):
                os.rename(kept, name, dst_dir_fd=folder)
            raise Refusal("changed", "changed on the pod meanwhile")

    def _keep(self, folder: int, name: bytes, path: str, found: Found) -> Optional[bytes]:
        """Give the old version a second name in the trash, so that the rename over it loses nothing."""
        kept = self._trash_place(path)
        try:
            os.link(name, kept, src_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A file system without hard links: for an instant the name is absent, but the old version is safe.
            os.rename(name, kept, src_dir_fd=folder)
            return None
        if os.lstat(kept).st_ino != found.status.st_ino:
            raise Refusal("changed", "replaced on the pod meanwhile")
        return kept

    def _trash_place(self, path: str) -> bytes:
        place = os.path.join(self._trash, encode(path))
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        return place


def apply(request: Request) -> Reply:
    """Op ``files.apply {root, state, ino, packed}``: carry out a batch; the answer's body lists one result per item.

    The body is ``u32 length of the JSON item list, item list, contents of the inline files in order``, as a whole
    zlib-compressed when *packed* gives its unpacked size. Items: ``{do: file|dir|symlink|mode|remove, path, old, …}``
    where *old* is the version that may be replaced (null: nothing may be there).
    """
    items, content = unpacked(request)
    area = Area(request.header)
    with Root(area, request.header.get("ino")) as root:
        results = Batch(area, root, items, content).run()
    yield {}, json.dumps(results).encode("ascii")


def stage(request: Request) -> Reply:
    """Op ``files.stage {root, state, staged, offset, packed}``: one part of a large file, outside the tree."""
    area = Area(request.header)
    path = staged_path(area, request.header.get("staged"))
    offset = count(request.header, "offset")
    descriptor = os.open(path, _WRITE, 0o666)
    try:
        os.lseek(descriptor, offset, os.SEEK_SET)
        _write(descriptor, inflated(request))
    except OSError:
        _unlink_if_there(path)  # a full disk must not stay full because of us
        raise
    finally:
        os.close(descriptor)
    yield {}, b""


def discard(request: Request) -> Reply:
    """Op ``files.discard {root, state, staged}``: give up a large file whose upload ended early."""
    _unlink_if_there(staged_path(Area(request.header), request.header.get("staged")))
    yield {}, b""


def staged_path(area: Area, identifier: Any) -> bytes:
    if not isinstance(identifier, str) or not _STAGE_ID.fullmatch(identifier):
        raise Refusal("bad-request", "not a staging id: %r" % (identifier,))
    return os.path.join(area.stage, encode(identifier) + b".part")


class OccupiedError(Exception):
    """A folder cannot go because it holds what is not synchronised (mutagen#114)."""


def failure(error: Exception) -> Dict[str, Any]:
    """An item's result when it could not be done: the protocol's codes, and "occupied"."""
    if isinstance(error, OccupiedError):
        return {
            "ok": False,
            "code": "occupied",
            "message": "the folder on the pod holds files that are not synchronised",
        }
    if isinstance(error, Refusal):
        return {"ok": False, "code": error.code, "message": error.message}
    number = getattr(error, "errno", None)
    codes = {
        errno.ENOSPC: "no-space", errno.EDQUOT: "no-space", errno.EACCES: "not-permitted", errno.EPERM: "not-permitted",
        errno.EROFS: "not-permitted", errno.ENOENT: "not-found", errno.EEXIST: "changed",
    }  # fmt: skip
    message = os.strerror(number) if number else str(error)
    return {"ok": False, "code": codes.get(number or 0, "unexpected"), "message": message}


def _mode(base: int, executable: bool) -> int:
    """Permission bits of *base* with the executable bits as asked, wherever reading is allowed; never setuid."""
    readable = base & 0o666
    return readable | ((readable & 0o444) >> 2 if executable else 0)


def _set_times(descriptor: int, item: Item) -> None:
    mtime = item.get("mtime_ns")
    if isinstance(mtime, int):
        os.utime(descriptor, ns=(time.time_ns(), mtime))


def _times(status: os.stat_result) -> Tuple[int, int, int]:
    # ctime is left out: our own link() to the trash changes it.
    return status.st_ino, status.st_size, status.st_mtime_ns


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _link(source: bytes, name: bytes, folder: int) -> bool:
    """Hard-link *source* to *name*, refusing an existing name; False where hard links do not exist."""
    try:
        os.link(source, name, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    os.unlink(source)
    return True


def _unlink_if_there(path: bytes) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


OPERATIONS: Dict[str, Callable[[Request], Reply]] = {
    "files.apply": apply,
    "files.stage": stage,
    "files.discard": discard,
}
