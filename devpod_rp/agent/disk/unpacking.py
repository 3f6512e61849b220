"""Making one file or link of an archive appear on the disk: whole and dressed, in one step."""

from __future__ import annotations

import errno
import os
from typing import Mapping, Optional

from devpod_rp.agent.archive import chunks
from devpod_rp.agent.archive.index import Entry
from devpod_rp.agent.archive.signature import LINK
from devpod_rp.agent.disk.dressing import dress, dress_name
from devpod_rp.agent.disk.folders import Folders
from devpod_rp.agent.files.copying import write_all

_PART = ".devpod-restore.part"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Unpacking:
    """Takes contents from *reader*. *placed* says where below *root* what has several names was put first."""

    def __init__(self, root: str, reader: chunks.Unpacker, placed: Mapping[str, str]) -> None:
        self._root = root
        self._reader = reader
        self._placed = placed
        self.written_bytes = 0

    def put(self, entry: Entry, place: int, name: str) -> None:
        """Let *entry* be *name* in the open folder *place*, instead of what was there. Raises OSError, with nothing
        left behind."""
        if name_status(place, _PART) is not None:
            os.unlink(_PART, dir_fd=place)
        try:
            if entry.kind == LINK:
                os.symlink(entry.target or "", _PART, dir_fd=place)
                dress_name(place, _PART, entry)
            elif entry.twin is not None:
                self._link(entry.twin, place)
            else:
                self._write(entry, place)
            os.rename(_PART, name, src_dir_fd=place, dst_dir_fd=place)
        except BaseException:
            if name_status(place, _PART) is not None:
                os.unlink(_PART, dir_fd=place)
            raise

    def _write(self, entry: Entry, place: int) -> None:
        assert entry.content is not None
        descriptor = os.open(_PART, _NEW, 0o600, dir_fd=place)
        try:
            at = entry.content.at
            for start, size in entry.content.segments:
                for piece in self._reader.read(at, size):
                    write_all(descriptor, piece, start)
                    start += len(piece)
                    self.written_bytes += len(piece)
                at += size
            os.ftruncate(descriptor, entry.stamp.size)
            dress(descriptor, entry)
        finally:
            os.close(descriptor)

    def _link(self, twin: str, place: int) -> None:
        first = self._placed.get(twin)
        if first is None:
            raise FileNotFoundError(errno.ENOENT, "the file that it is another name of was not put back")
        other = Folders(self._root)
        try:
            folder, name = os.path.split(first)
            os.link(name, _PART, src_dir_fd=other.at(folder), dst_dir_fd=place, follow_symlinks=False)
        finally:
            other.close()


def name_status(place: int, name: str) -> Optional[os.stat_result]:
    """What lstat says of *name* in the open folder *place*; None when nothing is there."""
    try:
        return os.stat(name, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return None
