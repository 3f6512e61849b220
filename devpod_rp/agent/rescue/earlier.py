"""What rescues before this one hold, so that the same bytes are not stored on the volume twice."""

from __future__ import annotations

import errno
import os
import stat
from typing import Dict, Iterator, Optional, Tuple

from devpod_rp.agent.exposure import manifest
from devpod_rp.agent.exposure.manifest import Saved, location
from devpod_rp.agent.files import handles
from devpod_rp.agent.files.changes import Change
from devpod_rp.agent.files.copying import content
from devpod_rp.agent.files.digests import ChangedWhileRead, content_digest

_NO_LINKS = (errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV)


class Earlier:
    """The saved files of all earlier rescues on *volume*, also of one that was cut off."""

    def __init__(self, volume: str, prefix: str) -> None:
        self._prefix = prefix
        self._directories = [
            os.path.join(volume, manifest.RESCUES, name) for name in reversed(manifest.finished(volume))
        ]
        self._known: Dict[str, Saved] = {}
        for one in manifest.every(volume):
            for saved in one.saved:
                self._known[location(one.destination, saved.path)] = saved

    def may_hold(self, change: Change) -> bool:
        return any(True for _copy in self._copies(change))

    def link(self, change: Change, destination: str) -> Optional[str]:
        """Link an equal earlier copy, read and compared now, to *destination*; its digest, or None if there is none.

        Raises:
            ChangedWhileRead: the original changed while it was compared.
        """
        for copy in self._copies(change):
            known = self._known.get(copy)
            # An original in the very state that was saved needs no second reading.
            same_state = known is not None and known.stamp == change.stamp
            original = known.digest if known and same_state else content_digest(self._original(change), change.stamp)
            try:
                equal = content(copy, change.stamp.size) == original
            except (OSError, ChangedWhileRead):
                continue  # a copy that cannot be read is none
            if equal and link_to(copy, destination):
                return original
        return None

    def _copies(self, change: Change) -> Iterator[str]:
        if change.target is not None:
            return
        for directory in self._directories:
            copy = location(directory, change.path)
            try:
                status, original = os.lstat(copy), handles.status(self._original(change))
            except OSError:
                continue
            # Links share owner, mode and time, so these must be the same too.
            if stat.S_ISREG(status.st_mode) and _attributes(status) == _attributes(original):
                yield copy

    def _original(self, change: Change) -> str:
        return handles.physical(self._prefix, change.path)


def _attributes(status: os.stat_result) -> Tuple[int, ...]:
    return (status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid)


def link_to(existing: str, destination: str) -> bool:
    """Make *destination* a hard link; False where the file system has none. Raises OSError for all else."""
    try:
        os.link(existing, destination, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    return True
