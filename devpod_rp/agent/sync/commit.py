"""Carrying out a batch of changes: check what is there, keep the old version, let the new one appear.

At every instant a visible path holds its old content or its new content in full. Nothing is overwritten that is not
exactly what the launcher expects to be there, and what is replaced or deleted lies in the trash afterwards.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from typing import Dict, Iterable, List, Optional, Set, Tuple

from devpod_rp.agent.files import content, durable, libc
from devpod_rp.agent.files.content import Data
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.agent.files.versions import READ, Found, look, permissions
from devpod_rp.agent.sync import trash
from devpod_rp.agent.sync.arrivals import Arrivals
from devpod_rp.agent.sync.batch import NO_FILES, Item, NewFiles, OccupiedError, Result, count, failure, is_inline
from devpod_rp.agent.sync.own import OWN
from devpod_rp.agent.sync.parts import PARTS, part_path
from devpod_rp.agent.sync.roots import Area, Root, encode
from devpod_rp.agent.sync.staging import NO_LINKS, Staged, Staging
from devpod_rp.agent.wire import Refusal

LARGEST_COPY = 1 << 20
"""A larger file is copied piece by piece (``files.reuse``)."""

_WORTH_WAITING = 64 << 20
"""A file of this size is hashed again in more time than its stamp takes to settle (see `durable.is_settled`)."""


class Batch:
    """One ``files.apply`` request being carried out: items in order, then new files, each with its own result.

    With *durable_at_once* everything survives a power cut when :meth:`run` returns; without, the caller syncs later,
    and tidies the trash. Batches of one *plan* share a moment there.
    """

    def __init__(
        self,
        area: Area,
        root: Root,
        items: List[Item],
        content: Data,
        durable_at_once: bool,
        plan: Optional[str] = None,
        new: NewFiles = NO_FILES,
    ):
        self._area, self._root, self._items, self._content = area, root, items, content
        self._durable_at_once = durable_at_once
        self._staging = Staging(area.stage)
        theirs = memoryview(content)[len(content) - sum(new.sizes) :]
        self._arrivals = Arrivals(area, root, self._staging, new, theirs)
        self._staged: Dict[int, Staged] = {}
        self._written: Dict[int, os.stat_result] = {}
        self._trash = os.path.join(area.trash, encode(trash.moment(area.trash, plan)))
        self._trash_folders: Set[bytes] = set()
        self._trashed_bytes = 0

    def run(self) -> List[Result]:
        """One result per item, and per new file."""
        try:
            trash.tidy(self._area.trash)  # of what the batches before put there
            failures = self._stage_all()
            with trash.LOCK:
                results = [failures.get(at) or self._guarded(at, item) for at, item in enumerate(self._items)]
                results += self._arrive()
            if self._durable_at_once:
                paths = [*(str(item.get("path")) for item in self._items), *self._arrivals.files.paths]
                self._sync_folders(path for path, result in zip(paths, results) if result["ok"])  # noqa: B905 - 3.8
            now_ns = self._area.now_ns() if self._written else 0
            for number, status in self._written.items():
                settled = durable.is_settled(status, now_ns)
                if not settled and status.st_size >= _WORTH_WAITING:
                    time.sleep(durable.SETTLING_SECONDS)
                    settled = durable.is_settled(status, self._area.now_ns())
                if settled:
                    results[number]["stamp"] = Stamp.of(status)
        finally:
            self._arrivals.close()
            for staged in self._staged.values():
                staged.close()
            trash.put(self._area.trash, self._trashed_bytes)
            if self._durable_at_once:
                trash.tidy(self._area.trash)
        return results

    def _arrive(self) -> List[Result]:
        """Put the new files where nothing is. Where something is, one goes the way of all other items."""
        results: List[Result] = []
        for number, arrived in enumerate(self._arrivals.appear()):
            of_all = len(self._items) + number
            if arrived is None:
                self._staged[of_all] = self._arrivals.take(number)
                results.append(self._guarded(of_all, self._arrivals.files.item(number)))
            elif isinstance(arrived, Exception):
                results.append(failure(arrived))
            else:
                self._written[of_all] = arrived
                results.append({"ok": True})
        return results

    # Staging: everything is complete before the first visible name changes.

    def _stage_all(self) -> Dict[int, Result]:
        failures: Dict[int, Result] = {}
        offset = 0
        for number, item in enumerate(self._items):
            if item.get("do") != "file":
                continue
            size = count(item, "size")
            data: Optional[Data] = None
            if is_inline(item):
                data = self._content[offset : offset + size]
                offset += size
            try:
                self._stage(number, item, size, data)
            except (OSError, Refusal) as error:
                failures[number] = failure(error)
        staged_files = [*self._staged.values(), *self._arrivals.stage()]
        if self._durable_at_once and len(staged_files) <= durable.FEW:
            # Otherwise a power cut could leave the new name with nothing behind it. For many files that moment is left
            # open: they are not acknowledged before everything is synced, and are compared again after a crash.
            durable.flush([staged.descriptor for staged in staged_files])
        return failures

    def _stage(self, number: int, item: Item, size: int, data: Optional[Data]) -> None:
        if "copy" in item:
            data = self._copied(item, size)
        if data is None:
            path = part_path(self._area, item["staged"])
            if not os.path.lexists(path):
                raise Refusal("not-found", "the parts of the file are gone")
            digest = content.name(PARTS.complete(path, size))
            self._staged[number] = self._staging.adopt(path)
        else:
            digest = content.digest(data)
        if digest != item.get("digest"):
            raise Refusal("changed", "the content does not match its digest")
        if data is not None:
            self._staged[number] = self._staging.create(data)
        self._staged[number].set_mtime(item.get("mtime_ns"))

    def _copied(self, item: Item, size: int) -> bytes:
        """The content that another path of the folder is believed to hold; "no-copy" when it does not (any more)."""
        if size > LARGEST_COPY:
            raise Refusal("bad-request", "a file of this size is not copied at once")
        try:
            folder, name = self._root.parent(item["copy"])
            descriptor = os.open(name, READ, dir_fd=folder)
        except (OSError, Refusal) as error:
            raise Refusal("no-copy", "the file to copy cannot be opened") from error
        with os.fdopen(descriptor, "rb") as source:
            data = source.read(size + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
        if content.digest(data) != item.get("digest"):
            raise Refusal("no-copy", "the file to copy holds something else now")
        return data

    # Committing.

    def _guarded(self, number: int, item: Item) -> Result:
        try:
            self._commit(number, item)
        except (OSError, Refusal, OccupiedError) as error:
            return failure(error)
        path = self._area.root + b"/" + encode(str(item["path"]))
        if item.get("do") in ("file", "remove"):
            staged = self._staged.get(number)
            if staged is not None:
                self._written[number] = os.fstat(staged.descriptor)
            OWN.note(path, self._written.get(number))
        else:
            OWN.forget(path)
        return {"ok": True}

    def _commit(self, number: int, item: Item) -> None:
        do, path, old = item.get("do"), str(item.get("path")), item.get("old")
        try:
            folder, name = self._root.parent(item.get("path"))
        except FileNotFoundError:
            if do == "remove":
                return
            raise
        if old is None and do in ("file", "dir") and self._appears(number, folder, name, item):
            return
        found = look(folder, name, old if isinstance(old, dict) else {})
        if found is not None and not self._area.abilities().keeps_executable:
            # What such a disk says of the bit is nobody's change: it is as the one who asks believes it to be.
            found.executable = bool((old if isinstance(old, dict) else item).get("executable"))
        if do == "remove":
            if found is None:
                return
        elif found is not None and found.is_version({**item, "kind": "file" if do == "mode" else do}):
            return  # the same edit was made here, or an answer was lost: nothing to do
        if found is not None and not (isinstance(old, dict) and found.is_version(old)):
            raise Refusal("changed", "changed on the pod meanwhile" if old else "appeared on the pod meanwhile")
        if do == "remove":
            self._clear(folder, name, path, found)
        elif do == "dir":
            self._clear(folder, name, path, found)
            os.mkdir(name, dir_fd=folder)
        elif do == "symlink":
            self._link(folder, name, path, found, _target(item))
        elif do == "mode":
            self._set_mode(folder, name, found, item)
        elif do == "file":
            self._place(folder, name, path, found, self._staged[number], bool(item.get("executable")))
        else:
            raise Refusal("bad-request", "unknown action %r" % (do,))

    def _appears(self, number: int, folder: int, name: bytes, item: Item) -> bool:
        """Put a new file or folder where nothing is, which the kernel makes sure of; False when something is there."""
        try:
            if item["do"] == "dir":
                os.mkdir(name, dir_fd=folder)
                return True
            staged = self._staged[number]
            if staged.path is not None:
                return False
            self._place(folder, name, str(item["path"]), None, staged, bool(item.get("executable")))
        except FileExistsError:
            return False
        return True

    def _place(
        self, folder: int, name: bytes, path: str, found: Optional[Found], staged: Staged, executable: bool
    ) -> None:
        replaces_file = found is not None and found.kind == "file"
        if executable or replaces_file:
            staged.set_executable(executable, found.status.st_mode if found is not None and replaces_file else None)
        if found is None or found.kind == "dir":
            self._clear(folder, name, path, found)
            staged.appear(folder, name)
            return
        if self._exchange(folder, name, path, found, staged):
            return
        kept = self._keep(folder, name, path, found)
        staged.replace(folder, name)
        if kept is not None and _times(os.lstat(kept)) != _times(found.status):
            # Somebody wrote into the old version between the look and the rename: theirs goes back, ours is refused.
            os.rename(kept, name, dst_dir_fd=folder)
            raise Refusal("changed", "changed on the pod meanwhile")

    def _exchange(self, folder: int, name: bytes, path: str, found: Found, staged: Staged) -> bool:
        """Let the new version and the old one in the trash change places in one step; False where the system cannot.

        Whatever was there at that instant lies in the trash, also if somebody put it there since it was looked at.
        """
        kept = self._trash_place(path, found)
        ours = _times(os.fstat(staged.descriptor))
        if not staged.exchange(kept, folder, name):
            return False
        if _times(os.lstat(kept)) != _times(found.status):
            # Theirs goes back, ours is refused; unless somebody wrote into ours, too.
            libc.exchange(kept, name, folder)
            if _times(os.lstat(kept)) == ours:
                os.unlink(kept)
            raise Refusal("changed", "changed on the pod meanwhile")
        # The last thing that watchers of the folder are told is that the old version left; the name is still there.
        status = os.fstat(staged.descriptor)
        os.utime(staged.descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
        return True

    def _link(self, folder: int, name: bytes, path: str, found: Optional[Found], target: bytes) -> None:
        if found is None or found.kind == "dir":
            self._clear(folder, name, path, found)
            os.symlink(target, name, dir_fd=folder)
            return
        staged = self._staging.next_name()
        os.symlink(target, staged)
        try:
            self._keep(folder, name, path, found)
            os.rename(staged, name, dst_dir_fd=folder)
        except BaseException:
            os.unlink(staged)
            raise

    def _set_mode(self, folder: int, name: bytes, found: Optional[Found], item: Item) -> None:
        if found is None:
            raise Refusal("changed", "deleted on the pod meanwhile")
        descriptor = os.open(name, READ, dir_fd=folder)
        try:
            os.fchmod(descriptor, permissions(os.fstat(descriptor).st_mode, bool(item.get("executable"))))
        finally:
            os.close(descriptor)

    def _clear(self, folder: int, name: bytes, path: str, found: Optional[Found]) -> None:
        """Free the name; a folder must be empty, anything else goes to the trash in one rename."""
        if found is None:
            return
        if found.kind == "dir":
            self._remove_folder(folder, name, path)
            return
        kept = self._trash_place(path, found)
        os.rename(name, kept, src_dir_fd=folder)
        if _times(os.lstat(kept)) != _times(found.status):
            _put_back(kept, name, folder)
            raise Refusal("changed", "changed on the pod meanwhile")

    def _remove_folder(self, folder: int, name: bytes, path: str) -> None:
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise OccupiedError from error
            raise
        self._root.forget(path)

    def _keep(self, folder: int, name: bytes, path: str, found: Found) -> Optional[bytes]:
        """Give the old version a second name in the trash, so that the rename over it loses nothing."""
        kept = self._trash_place(path, found)
        try:
            os.link(name, kept, src_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            # A file system without hard links: for an instant the name is absent, but the old version is safe.
            os.rename(name, kept, src_dir_fd=folder)
            return None
        if os.lstat(kept).st_ino != found.status.st_ino:
            raise Refusal("changed", "replaced on the pod meanwhile")
        return kept

    def _trash_place(self, path: str, found: Found) -> bytes:
        place = os.path.join(self._trash, encode(path))
        folder = os.path.dirname(place)
        if folder not in self._trash_folders:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            self._trash_folders.add(folder)
        self._trashed_bytes += trash.held(found.status)
        return place

    def _sync_folders(self, done: Iterable[str]) -> None:
        """An answer promises that a power cut changes nothing any more: the new names must be on disk too."""
        one_in_each = {path.rpartition("/")[0]: path for path in done}
        descriptors: List[int] = []
        try:
            for path in one_in_each.values():
                # A folder that went in this batch needs nothing: the one above it is in the list too.
                with suppress(FileNotFoundError, Refusal):
                    descriptors.append(os.dup(self._root.parent(path)[0]))
            durable.flush(descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def _target(item: Item) -> bytes:
    target = item.get("target")
    if not isinstance(target, str) or not target or "\0" in target:
        raise Refusal("bad-request", "a link needs a target")
    return encode(target)


def _put_back(kept: bytes, name: bytes, folder: int) -> None:
    """Undo a move to the trash, unless the name was taken meanwhile: then the moved version stays in the trash."""
    try:
        os.link(kept, name, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        os.rename(kept, name, dst_dir_fd=folder)
    else:
        os.unlink(kept)


def _times(status: os.stat_result) -> Tuple[int, int, int]:
    # ctime is left out: our own link() to the trash changes it.
    return status.st_ino, status.st_size, status.st_mtime_ns
