"""What on a container disk may give way to a kept disk: what the image brought, if it brought the same to both."""

from __future__ import annotations

import os
import stat
from typing import Dict, Optional

from devpod_rp.agent.archive.index import About, Entry
from devpod_rp.agent.archive.signature import Signature, signature
from devpod_rp.agent.disk.census import Census
from devpod_rp.agent.exposure.baseline import Baseline
from devpod_rp.agent.files.changes import Change, Stamp
from devpod_rp.agent.files.digests import stamp_of


class Judge:
    """*here* and *boot* tell what this image and its start brought, *stamps* what was put back before, *about* what
    the kept disk was made of. Names newer than *since_ns* are not the image's.
    """

    def __init__(
        self,
        about: About,
        here: Optional[Census],
        boot: Optional[Baseline],
        since_ns: int,
        stamps: Dict[str, Stamp],
        *,
        same_image: bool,
        overwrite: bool,
    ) -> None:
        self._about = about
        self._here = here
        self._boot = boot
        self._since_ns = since_ns
        self._stamps = stamps
        self._same_image = same_image
        self._overwrite = overwrite

    def brought(self, path: str) -> Optional[Signature]:
        """What this image brought there, as far as anybody knows."""
        return self._here.names.get(path) if self._here is not None else None

    def may_replace(self, entry: Entry, status: os.stat_result) -> bool:
        """Whether *entry* may take the place of the other thing that is there."""
        if self._overwrite and not stat.S_ISDIR(status.st_mode):
            return True
        if stat.S_ISDIR(status.st_mode) or not self.is_original(entry.path, status):
            return False
        brought = self.brought(entry.path)
        if entry.base is None or brought is None:
            # Nobody can say what the old image brought, or what this one did: only the same image is the same base.
            return self._same_image and not self._about.base_known
        return entry.base.agrees(brought)

    def may_delete(self, path: str, before: Signature, status: os.stat_result) -> bool:
        """Whether what is there is what was deleted on the kept disk."""
        brought = self.brought(path)
        return brought is not None and brought.agrees(before) and self.is_original(path, status)

    def may_dress(self, entry: Entry) -> bool:
        """Whether the folder that is there may get the attributes of *entry*."""
        brought = self.brought(entry.path)
        return brought is None or entry.base is None or entry.base.attributes == brought.attributes

    def is_original(self, path: str, status: os.stat_result) -> bool:
        """Whether the image or the boot made this, rather than somebody since."""
        if status.st_ctime_ns < self._since_ns:
            return True
        if stat.S_ISDIR(status.st_mode):
            brought = self.brought(path)
            return brought is not None and brought.attributes == signature(status).attributes
        if self._boot is None:
            return False
        return self._boot.covers(Change(path, stamp_of(status), status.st_dev, status.st_nlink, None))

    def is_ours(self, entry: Entry, status: os.stat_result) -> bool:
        """Whether this is what an earlier try put there, or the image: then its mode and times are to be as kept."""
        return self.is_original(entry.path, status) or self._stamps.get(entry.path) in (None, stamp_of(status))
