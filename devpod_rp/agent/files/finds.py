"""What a look finds, entry by entry: the one place where files are read, hashed and recorded."""

from __future__ import annotations

import os
import stat
import time
from typing import Callable, Optional, Tuple

from devpod_rp.agent.files import content
from devpod_rp.agent.files.contents import Contents
from devpod_rp.agent.files.entries import FILE, FOLDER, LINK, Entry, Snapshot
from devpod_rp.agent.files.places import Place
from devpod_rp.agent.files.stamps import LAYOUT, Stamp

Recall = Callable[[str], Optional[Tuple[Stamp, str]]]
"""The digest of the file at a path, and the stamp that it had when it was hashed, if that is known."""

Progress = Callable[[int, int], None]

AT_ONCE_BYTES = 1 << 20
"""A file of this size is read in a moment."""

_LONG_BYTES = 64 << 20
"""Reading a file of this size twice takes longer than waiting until it need not be."""

_SECOND_NS = 1_000_000_000
# Two ticks: kernels stamp with the time of the last timer interrupt (at most 10 ms apart, 16 ms on Windows), file
# systems without fractions of a second with one or two seconds (ext3, vfat).
FRESH_NS = 40_000_000
FRESH_COARSE_NS = 4 * _SECOND_NS
_PROGRESS_SECONDS = 0.1
_SPECIAL = {
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}
A_FOLDER = Entry(FOLDER, 0, False, "", "", 0)


class Finds:
    """What was found since it was last taken.

    Digests are taken from *recall* where the stamp is the same. *contents* gets what was read. *progress* is told
    entries *seen* and *hashed_bytes*, at most ten times a second. *now_ns* is the file system's clock when it is not
    ours (a network volume).
    """

    def __init__(
        self,
        recall: Optional[Recall] = None,
        contents: Optional[Contents] = None,
        progress: Optional[Progress] = None,
        now_ns: Optional[int] = None,
    ) -> None:
        self.recall: Recall = _nothing_known if recall is None else recall
        self._contents = contents
        self._progress = progress
        self._told_at = 0.0
        self._now_ns = now_ns
        self.seen = 0
        self.hashed_bytes = 0
        self.present = _nothing()

    def take(self) -> Snapshot:
        found, self.present = self.present, _nothing()
        return found

    def now(self) -> int:
        return time.time_ns() if self._now_ns is None else self._now_ns

    def tell(self, listed: int) -> None:
        """So many entries more were seen."""
        self.seen += listed
        if self._progress is not None and time.monotonic() - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = time.monotonic()
            self._progress(self.seen, self.hashed_bytes)

    def file(self, path: str, stamp: Stamp, digest: str) -> None:
        _ino, size, mtime_ns, _ctime_ns, mode = LAYOUT.unpack(stamp)
        # What Entry(...) does, less one Python call for each of a hundred thousand files.
        entry = tuple.__new__(Entry, (FILE, size, mode & stat.S_IXUSR != 0, digest, "", mtime_ns))
        self.present.entries[path] = entry
        self.present.stamps[path] = stamp

    def link(self, path: str, target: str, mtime_ns: int) -> None:
        self.present.entries[path] = Entry(LINK, 0, False, "", target, mtime_ns)

    def special(self, path: str, form: int) -> None:
        """What *path* is, whose *form* is that of no file, folder or link."""
        self.present.special[path] = _SPECIAL.get(form, "no file")

    def unknown(self, path: str, error: OSError) -> None:
        self.present.unknown[path] = reason(error)

    def at(self, place: Place, path: str) -> None:
        """Look at *path*, which is in the folder *place*, and read it if need be. Raises OSError, also where nothing is
        there."""
        name = path.rpartition("/")[2]
        status = place.status(name)
        form = stat.S_IFMT(status.st_mode)
        if form == stat.S_IFDIR:
            self.present.entries[path] = A_FOLDER
        elif form == stat.S_IFLNK:
            self.link(path, place.target(name), status.st_mtime_ns)
        elif form != stat.S_IFREG:
            self.special(path, form)
        else:
            known, stamp = self.recall(path), Stamp.of(status)
            if known is not None and known[0] == stamp:
                self.file(path, *known)
            else:
                self.read(place, name, path, stamp, self.now())

    def read(self, place: Place, name: str, path: str, stamp: Stamp, now_ns: int, again: bool = True) -> None:
        """Read the file that had *stamp* a moment ago; *now_ns* is not later than the reading. A small one that has
        another by now is read *again*, once."""
        try:
            descriptor = place.open(name)
            try:
                if stamp.size >= _LONG_BYTES and self._now_ns is None:
                    digest, now_ns = self._digest_of_long(path, descriptor, stamp)
                else:
                    digest = self._digest(path, descriptor, stamp.size)
                after = os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.unknown(path, error)
            return
        if digest is not None and Stamp.bytes_of(after) == stamp:
            self.file(path, stamp, digest)
            if after.st_nlink > 1:
                self.present.linked.add(path)
            if is_fresh(after.st_ctime_ns, now_ns):
                self.present.fresh.add(path)
        elif again and stat.S_ISREG(after.st_mode) and after.st_size <= AT_ONCE_BYTES >= stamp.size:
            self.read(place, name, path, Stamp.of(after), now_ns, again=False)
        else:
            self.present.unknown[path] = "it was written while it was read"

    def _digest(self, path: str, descriptor: int, size: int) -> str:
        contents = self._contents
        if contents is None:
            return content.digest_of(descriptor, size, self._count)
        if not contents.wants(size):
            return contents.hold_blocks(path, content.blocks_of(descriptor, size, self._count))
        data = os.read(descriptor, size + 1)
        self.hashed_bytes += len(data)
        return contents.hold(path, data)

    def _digest_of_long(self, path: str, descriptor: int, stamp: Stamp) -> Tuple[Optional[str], int]:
        """The digest, and when reading began: not before the file can be remembered, if that is soon. None if the file
        is still being written, which is not read."""
        rest_ns = stamp.ctime_ns + FRESH_NS - time.time_ns()
        if 0 <= rest_ns <= FRESH_NS:
            time.sleep((rest_ns + FRESH_NS // 10) / _SECOND_NS)
        now_ns = time.time_ns()
        if Stamp.bytes_of(os.fstat(descriptor)) != stamp:
            return None, now_ns
        return self._digest(path, descriptor, stamp.size), now_ns

    def _count(self, count: int) -> None:
        self.hashed_bytes += count
        self.tell(0)


def is_fresh(ctime_ns: int, now_ns: int) -> bool:
    """Whether another write need not show in the stamp of a file of this ctime."""
    return ctime_ns > now_ns - (FRESH_NS if ctime_ns % _SECOND_NS else FRESH_COARSE_NS)


def reason(error: OSError) -> str:
    return error.strerror or str(error)


def _nothing_known(_path: str) -> None:
    return None


def _nothing() -> Snapshot:
    return Snapshot({}, {}, {}, {}, set(), [], set())
