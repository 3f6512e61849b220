"""Putting a kept disk back on the container disk of a later pod, over nobody's work and over no other image's files.

What the archive has may replace what this image brought only if the image it was kept from brought the same there. It
never replaces what somebody made since this container began. What it may not replace is put beside it, and named.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Callable, Dict, Generator, List, NamedTuple, Optional, Sequence

from devpod_rp.agent.archive import chunks, index, racks, restored
from devpod_rp.agent.archive.index import Entry
from devpod_rp.agent.archive.racks import Archive
from devpod_rp.agent.archive.signature import FOLDER, LINK, Signature, signature
from devpod_rp.agent.disk import census
from devpod_rp.agent.disk.census import Census
from devpod_rp.agent.disk.dressing import dress, dress_name, set_time
from devpod_rp.agent.disk.folders import Folders, InTheWay
from devpod_rp.agent.disk.judging import Judge
from devpod_rp.agent.disk.unpacking import Unpacking, name_status
from devpod_rp.agent.exposure import baseline as baselines
from devpod_rp.agent.exposure.baseline import Baseline
from devpod_rp.agent.exposure.examine import since_ns
from devpod_rp.agent.files.changes import Stamp
from devpod_rp.agent.files.copying import CopyDiffers, content
from devpod_rp.agent.files.digests import ChangedWhileRead, stamp_of
from devpod_rp.agent.machine.mounts import lies_below
from devpod_rp.agent.wire import Refusal

_FULL = (errno.ENOSPC, errno.EDQUOT)
_BESIDE = ".devpod-kept"
_LOGGED_EVERY = 200
# Where another image has files of its own that belong together; whatever lies elsewhere is people's.
_SYSTEM = (
    "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "tmp", "usr", "var"
)  # fmt: skip


class Step(NamedTuple):
    files: int
    size_bytes: int


class PutBack(NamedTuple):
    """What came of it. *conflicts* maps paths to what was done instead, *left* names stay in the archive because this
    image is another one; *present* were there already as they were kept."""

    files: int
    size_bytes: int
    present: int
    deleted: int
    conflicts: Dict[str, str]
    left: int


class Wish(NamedTuple):
    """*only*: paths, or folders with all below; *image* is what this pod is made of. With *everything* also what
    belongs to another image; with *overwrite* also over what somebody made since."""

    image: str
    only: Sequence[str] = ()
    everything: bool = False
    overwrite: bool = False


def is_due(directory: str, root: str = "/") -> bool:
    """Whether the archive in *directory* (as the pod sees it) was not yet put back on this disk as far as it goes."""
    note = restored.load(root)
    return note is None or note.archive != directory or not note.done


def put_back(
    archive: Archive, directory: str, wish: Wish, *, root: str = "/", proc: Path = Path("/proc")
) -> Generator[Step, None, PutBack]:
    """Put back what *archive* holds. Cut off at any point, it is taken up by running it again; done twice, it does
    nothing the second time.

    Raises:
        Refusal: "not-found" when the archive cannot be read, "no-space" when the container disk is full, "unexpected"
            when the archive is damaged. What was put back until then stays.
    """
    try:
        held = index.read(archive.directory)
        packing = chunks.named(archive.about.packing)
        boot = baselines.load(root)
        here = census.load(root)
    except (OSError, ValueError) as error:
        raise Refusal("not-found", "the kept disk {0} cannot be read: {1}".format(directory, error)) from error
    before = restored.load(root)
    if before is not None and before.archive != directory:
        before = None
    descriptor = os.open(index.data_file(archive.directory, archive.about), os.O_RDONLY | os.O_CLOEXEC)
    try:
        work = _Work(archive, wish, boot, here, before, root=root, proc=proc)
        # A part of an archive changes nothing about what is known of this disk; of another one it is not noted at all.
        log = None if wish.only and before is None else restored.Log(directory, root, goes_on=bool(wish.only))
        reader = chunks.Unpacker(descriptor, packing, held.chunks)
        try:
            yield from work.run(held, reader, log)
        finally:
            reader.close()
            if log is not None:
                log.close()
            work.close()
        done = work.outcome()
        if not (wish.only or done.left):
            racks.release(archive)
        return done
    except CopyDiffers as error:
        raise Refusal("unexpected", "the kept disk {0} is damaged: {1}".format(directory, error)) from error
    except OSError as error:
        if error.errno in _FULL:
            raise Refusal("no-space", "the container disk is full; what was put back until then stays") from error
        raise
    finally:
        os.close(descriptor)


class _Work:
    def __init__(
        self,
        archive: Archive,
        wish: Wish,
        boot: Optional[Baseline],
        here: Optional[Census],
        before: Optional[restored.Restored],
        *,
        root: str,
        proc: Path,
    ) -> None:
        self._wish = wish
        self._same_image = archive.about.image == wish.image
        self._knows_image = here is not None
        self._stamps: Dict[str, Stamp] = before.stamps if before is not None else {}
        self._goes_on = before is not None and not before.done
        self._prefix = root.rstrip("/")
        self._judge = Judge(
            archive.about,
            here,
            boot,
            since_ns(boot, proc),
            self._stamps,
            same_image=self._same_image,
            overwrite=wish.overwrite,
        )
        self._folders = Folders(self._prefix or "/")
        self._placed: Dict[str, str] = {}  # path in the archive -> where it was put
        self._made: List[Entry] = []
        self._times: Dict[str, int] = {}  # of folders that were there, before anything in them was touched
        self._conflicts: Dict[str, str] = {}
        self._left = 0
        self._files = 0
        self._bytes = 0
        self._present = 0
        self._deleted = 0

    def close(self) -> None:
        self._folders.close()

    def outcome(self) -> PutBack:
        return PutBack(self._files, self._bytes, self._present, self._deleted, self._conflicts, self._left)

    def run(
        self, held: index.Index, reader: chunks.Unpacker, log: Optional[restored.Log]
    ) -> Generator[Step, None, None]:
        wanted = [entry for entry in held.entries if self._is_wanted(entry.path)]
        self._delete(held)
        for entry in wanted:
            if entry.kind == FOLDER:
                self._guarded(entry, self._make_folder)
        contents = sorted((entry for entry in wanted if entry.content is not None), key=_position)
        rest = [entry for entry in wanted if entry.kind == LINK] + [entry for entry in wanted if entry.twin is not None]
        unpacking = Unpacking(self._prefix or "/", reader, self._placed)
        for number, entry in enumerate(contents + rest):
            self._guarded(entry, lambda each: self._place(each, unpacking))
            self._note(entry.path, log)
            if log is not None and number % _LOGGED_EVERY == 0:
                log.flush()
            self._bytes = unpacking.written_bytes
            yield Step(self._files, self._bytes)
        self._settle_folders()
        # A second name changes what is noted of the first one: once more, when all have theirs.
        for path in list(self._placed):
            self._note(path, log)
        if log is not None and not self._wish.only:
            is_exact = not (self._conflicts or self._left)
            log.done(exact=is_exact, left=self._left)

    def _is_wanted(self, path: str) -> bool:
        only = self._wish.only
        if only and not any(path == one or lies_below(path, one) for one in only):
            return False
        if self._same_image or self._wish.everything or path.split("/")[1] not in _SYSTEM:
            return True
        self._left += 1
        return False

    def _guarded(self, entry: Entry, act: Callable[[Entry], None]) -> None:
        try:
            act(entry)
        except InTheWay:
            self._conflicts[entry.path] = "not put back: a folder of its path is a link or a file here"
        except ChangedWhileRead:
            self._conflicts[entry.path] = "not put back: it is being written"
        except OSError as error:
            if error.errno in _FULL:
                raise
            if error.errno == errno.EBUSY:
                self._conflicts[entry.path] = "not put back: something is mounted there"
            else:
                self._conflicts[entry.path] = "not put back: " + (error.strerror or str(error))

    # What was deleted.

    def _delete(self, held: index.Index) -> None:
        if not (self._same_image or self._wish.everything) or not self._knows_image:
            self._left += len(held.deleted)
            return
        # Deepest first, so that a folder is empty when its turn comes.
        for path, before in sorted(held.deleted.items(), key=lambda each: -each[0].count("/")):
            if self._wish.only and not any(path == one or lies_below(path, one) for one in self._wish.only):
                continue
            try:
                self._delete_one(path, before)
            except (InTheWay, FileNotFoundError):
                continue  # another thing is there, or it is gone already
            except OSError as error:
                self._conflicts[path] = "not deleted: " + (error.strerror or str(error))

    def _delete_one(self, path: str, before: Signature) -> None:
        folder, name = os.path.split(path)
        place = self._enter(folder)
        status = os.stat(name, dir_fd=place, follow_symlinks=False)
        if not self._judge.may_delete(path, before, status):
            self._conflicts[path] = "not deleted: it is another one here"
            return
        if before.kind == FOLDER:
            os.rmdir(name, dir_fd=place)
        else:
            os.unlink(name, dir_fd=place)
        self._deleted += 1

    # Folders.

    def _make_folder(self, entry: Entry) -> None:
        folder, name = os.path.split(entry.path)
        place = self._enter(folder, make=True)
        try:
            status = os.stat(name, dir_fd=place, follow_symlinks=False)
        except FileNotFoundError:
            os.mkdir(name, 0o700, dir_fd=place)
            self._made.append(entry)
            return
        if not stat.S_ISDIR(status.st_mode):
            if not self._judge.may_replace(entry, status):
                raise InTheWay(entry.path)
            os.unlink(name, dir_fd=place)
            os.mkdir(name, 0o700, dir_fd=place)
            self._made.append(entry)
            return
        if self._judge.may_dress(entry):
            self._made.append(entry)
        elif signature(status).attributes != (entry.mode, entry.uid, entry.gid):
            self._conflicts[entry.path] = "its mode and owner stay: this image brings the folder with others"

    def _enter(self, folder: str, *, make: bool = False) -> int:
        """The descriptor of a folder in which something is about to be changed."""
        place = self._folders.at(folder, make=make)
        if folder not in self._times:
            brought = self._judge.brought(folder) if self._goes_on else None
            # A try that was cut off has moved the folder's time already.
            self._times[folder] = os.fstat(place).st_mtime_ns if brought is None else brought.mtime_ns
        return place

    def _settle_folders(self) -> None:
        """Give folders their attributes, and the image's their time back, now that nothing in them changes any more."""
        made = {entry.path: entry for entry in self._made}
        for path in sorted({*made, *self._times}, key=len, reverse=True):
            try:
                descriptor = self._folders.at(path)
            except (InTheWay, FileNotFoundError):
                continue  # named already, with what lies in it; or deleted
            entry = made.get(path)
            if entry is not None:
                dress(descriptor, entry)
            else:
                set_time(descriptor, self._times[path])

    # Files and links.

    def _place(self, entry: Entry, unpacking: Unpacking) -> None:
        folder, name = os.path.split(entry.path)
        place = self._enter(folder, make=True)
        status = name_status(place, name)
        target = name
        if status is None:
            if entry.path in self._stamps and not self._wish.overwrite:
                return  # it was put back before, and somebody deleted it since
        elif self._is_same(entry, place, name, status):
            if self._judge.is_ours(entry, status):
                dress_name(place, name, entry)
            self._placed[entry.path] = entry.path
            self._present += 1
            return
        elif not self._makes_room(entry, place, name, status) and not self._judge.may_replace(entry, status):
            beside = self._beside(entry, place, name)
            if beside is None:
                return
            target = beside
        unpacking.put(entry, place, target)
        self._placed[entry.path] = os.path.join(folder, target)
        self._files += 1

    def _makes_room(self, entry: Entry, place: int, name: str, status: os.stat_result) -> bool:
        """Remove the image's folder that a file or link took the place of, if nothing but the image's was in it."""
        if not stat.S_ISDIR(status.st_mode) or entry.base is None or entry.base.kind != FOLDER:
            return False
        if not self._judge.is_original(entry.path, status):
            return False
        try:
            os.rmdir(name, dir_fd=place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        return True

    def _beside(self, entry: Entry, place: int, name: str) -> Optional[str]:
        """A free name beside the one that is taken; None if what is kept lies there already."""
        number, beside = 1, name + _BESIDE
        while True:
            status = name_status(place, beside)
            path = os.path.join(os.path.dirname(entry.path), beside)
            self._conflicts[entry.path] = "another one is here; what was kept lies beside it as " + beside
            if status is None:
                return beside
            if self._is_same(entry, place, beside, status):
                self._placed[entry.path] = path
                return None
            number += 1
            beside = "{0}{1}-{2}".format(name, _BESIDE, number)

    def _is_same(self, entry: Entry, place: int, name: str, status: os.stat_result) -> bool:
        if entry.kind == LINK:
            return stat.S_ISLNK(status.st_mode) and os.readlink(name, dir_fd=place) == entry.target
        if not stat.S_ISREG(status.st_mode) or status.st_size != entry.stamp.size:
            return False
        if self._stamps.get(entry.path) == stamp_of(status):
            return True
        return self._twin_fits(entry, status) and content(name, status.st_size, place) == entry.digest

    def _twin_fits(self, entry: Entry, status: os.stat_result) -> bool:
        """Whether a second name is one of the very file that the first one is."""
        first = self._placed.get(entry.twin) if entry.twin is not None else None
        if first is None:
            return entry.twin is None
        there = os.lstat(self._prefix + first)
        return (there.st_dev, there.st_ino) == (status.st_dev, status.st_ino)

    def _note(self, path: str, log: Optional[restored.Log]) -> None:
        placed = self._placed.get(path)
        if placed is not None and log is not None:
            log.put_back(placed, stamp_of(os.lstat(self._prefix + placed)))


def _position(entry: Entry) -> int:
    return entry.content.at if entry.content is not None else 0
