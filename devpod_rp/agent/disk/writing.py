"""Writing names of the container disk into an archive, each in one state that it really had."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import Dict, Generator, List, Tuple

from devpod_rp.agent.archive import chunks, tarring
from devpod_rp.agent.archive.index import Content, Entry
from devpod_rp.agent.archive.signature import FOLDER, LINK
from devpod_rp.agent.disk.delta import Item, present
from devpod_rp.agent.disk.traits import read_traits
from devpod_rp.agent.files.changes import Stamp
from devpod_rp.agent.files.copying import blocks
from devpod_rp.agent.files.digests import ChangedWhileRead, stamp_of
from devpod_rp.agent.files.versions import READ

FULL = (errno.ENOSPC, errno.EDQUOT)
_ATTEMPTS = 3
# Up to this size a file is read before its header is written, so that one that changes meanwhile leaves no trace.
_READ_AT_ONCE = 4 << 20


class Writer:
    """Adds names to *packer*; *entries* are those that are in it as they are, *failed* says why others are not."""

    def __init__(self, packer: chunks.Packer, root: str) -> None:
        self._packer = packer
        self._root = root
        self._prefix = root.rstrip("/")
        self._names: Dict[Tuple[int, Stamp], str] = {}
        self.entries: Dict[str, Entry] = {}
        self.failed: Dict[str, str] = {}
        self.size_bytes = 0

    def lacks(self, item: Item) -> bool:
        """Whether *item* is not in the archive in its present state."""
        entry = self.entries.get(item.path)
        if entry is None or entry.kind != item.kind:
            return True
        if item.kind == FOLDER:
            # A folder has no content, so that a later state of it costs nothing.
            self.entries[item.path] = entry_of(item)._replace(traits=entry.traits)
            return False
        return entry.stamp != item.stamp

    def keep_only(self, paths: "set[str]") -> None:
        """Forget what is not on the disk any more."""
        self.entries = {path: entry for path, entry in self.entries.items() if path in paths}
        self.failed = {path: why for path, why in self.failed.items() if path in paths}

    def add(self, item: Item) -> Generator[None, None, None]:
        """Add *item*, in the state it is in now; yields now and then.

        Raises:
            OSError: the volume is full.
        """
        for _ in range(_ATTEMPTS):
            try:
                yield from self._add(item)
                self.failed.pop(item.path, None)
                return
            except ChangedWhileRead:
                self.failed[item.path] = "it kept changing while it was read"
            except OSError as error:
                if error.errno in FULL:
                    raise
                self.failed[item.path] = error.strerror or str(error)
            again = present(self._root, item.path, item.base)
            if again is None:
                self.failed.pop(item.path, None)
                return
            item = again

    def _add(self, item: Item) -> Generator[None, None, None]:
        traits = read_traits(self._prefix + item.path)
        entry = entry_of(item)._replace(traits=traits)
        head = tarring.Head(item.path, item.mode, item.uid, item.gid, item.stamp.mtime_ns, traits)
        twin = self._names.get((item.device, item.stamp)) if item.links > 1 else None
        if item.kind == FOLDER:
            self._packer.write(head.folder())
        elif item.kind == LINK:
            self._packer.write(head.symbolic(item.target or ""))
        elif twin is not None and twin != item.path:
            self._packer.write(head.hard(twin))
            entry = entry._replace(twin=twin, digest=self.entries[twin].digest)
        else:
            content, digest = yield from self._add_content(item, head)
            entry = entry._replace(content=content, digest=digest)
            if item.links > 1:
                self._names[item.device, item.stamp] = item.path
        self.entries[item.path] = entry

    def _add_content(self, item: Item, head: tarring.Head) -> Generator[None, None, Tuple[Content, str]]:
        descriptor = os.open(self._prefix + item.path, READ)
        try:
            status = os.fstat(descriptor)
            if stamp_of(status) != item.stamp or not stat.S_ISREG(status.st_mode):
                raise ChangedWhileRead(item.path)
            if status.st_size <= _READ_AT_ONCE and not _has_holes(status):
                return self._add_small(item, head, descriptor)
            return (yield from self._add_large(item, head, descriptor, status))
        finally:
            os.close(descriptor)

    def _add_small(self, item: Item, head: tarring.Head, descriptor: int) -> Tuple[Content, str]:
        raw = os.read(descriptor, _READ_AT_ONCE + 1)
        while len(raw) < item.stamp.size:
            piece = os.read(descriptor, _READ_AT_ONCE + 1)
            if not piece:
                break
            raw += piece
        if stamp_of(os.fstat(descriptor)) != item.stamp or len(raw) != item.stamp.size:
            raise ChangedWhileRead(item.path)
        header = head.file(len(raw))
        content = Content(self._packer.at + len(header), ((0, len(raw)),) if raw else ())
        self._packer.write(header + raw + tarring.padding(len(raw)))
        self.size_bytes += len(raw)
        return content, hashlib.blake2b(raw, digest_size=32).hexdigest()

    def _add_large(
        self, item: Item, head: tarring.Head, descriptor: int, status: os.stat_result
    ) -> Generator[None, None, Tuple[Content, str]]:
        size = status.st_size
        segments = _segments(descriptor, size) if _has_holes(status) else ((0, size),)
        is_plain = segments == ((0, size),)
        self._packer.write(head.file(size) if is_plain else head.sparse(segments, size))
        content = Content(self._packer.at, segments)
        stored = sum(length for _, length in segments)
        digest = hashlib.blake2b(digest_size=32)
        written = 0
        before = self.size_bytes
        try:
            for block, is_hole in blocks(descriptor, size):
                digest.update(block)
                self.size_bytes += len(block)
                if not is_hole:
                    if written + len(block) > stored:
                        raise ChangedWhileRead(item.path)
                    self._packer.write(block)
                    written += len(block)
                yield
            if written != stored or stamp_of(os.fstat(descriptor)) != item.stamp:
                raise ChangedWhileRead(item.path)
        except ChangedWhileRead:
            # The header has promised so many bytes; a later member of the same name counts instead of this one.
            for start in range(written, stored, chunks.CHUNK):
                self._packer.write(bytes(min(chunks.CHUNK, stored - start)))
            self._packer.write(tarring.padding(stored))
            self.size_bytes = before
            raise
        self._packer.write(tarring.padding(stored))
        return content, digest.hexdigest()


def entry_of(item: Item) -> Entry:
    return Entry(item.path, item.kind, item.stamp, item.mode, item.uid, item.gid, target=item.target, base=item.base)


def _has_holes(status: os.stat_result) -> bool:
    return status.st_blocks * 512 < status.st_size


def _segments(descriptor: int, size: int) -> Tuple[Tuple[int, int], ...]:
    """The parts of a file that hold data."""
    found: List[Tuple[int, int]] = []
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break  # a hole to the end
            if error.errno in (errno.EINVAL, errno.ENOTSUP):
                return ((0, size),)
            raise
        end = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        if start >= size or end <= start:
            break
        found.append((start, end - start))
        at = end
    os.lseek(descriptor, 0, os.SEEK_SET)
    return tuple(found)
