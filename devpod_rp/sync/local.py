"""Writing into the folder here, by the same code and with the same care as on the pod."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devpod_rp.agent.files.abilities import Abilities
from devpod_rp.agent.files.content import Data, Growing
from devpod_rp.agent.files.entries import Entry
from devpod_rp.agent.sync import staging, trash
from devpod_rp.agent.sync.commit import Batch
from devpod_rp.agent.sync.fetch import open_trashed
from devpod_rp.agent.sync.parts import part_path
from devpod_rp.agent.sync.roots import Area, Root
from devpod_rp.errors import ConfigurationError

_NEEDED = {os.open, os.stat, os.rename, os.mkdir, os.rmdir, os.unlink, os.symlink, os.link}
OWN_FOLDER = ".devpod_rp"


class LocalFolder:
    """The folder here as a place to write to. Staging and trash lie on its file system, made when first needed.

    That is the session's state directory where it is on the same file system, else ``.devpod_rp`` in the folder, which
    takes no part in the synchronisation.
    """

    def __init__(self, root: Path, state_dir: Path) -> None:
        self._root = root
        self._state_dir = state_dir
        self._area: Area | None = None

    @staticmethod
    def demand_support() -> None:
        """Raises ConfigurationError where the system cannot write without following links (Windows)."""
        if not os.supports_dir_fd >= _NEEDED:
            raise ConfigurationError(
                "On this system files cannot be brought here from the pod safely.", hint='Use mode = "one-way-safe".'
            )

    def apply(
        self, items: Sequence[dict[str, Any]], content: Data, *, durable: bool, plan: str
    ) -> list[dict[str, Any]]:
        """Carry out *items*, a part of *plan* (see ``files.apply``); one result per item.

        Raises:
            OSError, Refusal: the folder is gone, or its staging cannot be made.
        """
        area = self.area()
        with Root(area, self._root.lstat().st_ino) as root:
            return Batch(area, root, list(items), content, durable, plan).run()

    def part(self, identifier: str) -> Path:
        """Where the parts of a large file come together; its name is what an item's "staged" says."""
        return Path(os.fsdecode(part_path(self.area(), identifier)))

    def write_part(self, identifier: str, offset: int, data: bytes) -> None:
        descriptor = os.open(self.part(identifier), staging.WRITE, 0o666)
        try:
            staging.write_sparsely(descriptor, offset, data)
        finally:
            os.close(descriptor)

    def copy_trashed(self, moment: str, path: str, identifier: str) -> Entry:
        """Copy a version from the trash to a part of ours, ready to be applied as "staged"."""
        descriptor = open_trashed(self.area(), moment, path)
        growing = Growing()
        offset = 0
        try:
            status = os.fstat(descriptor)
            while data := os.read(descriptor, 1 << 20):
                growing.add(data)
                self.write_part(identifier, offset, data)
                offset += len(data)
        finally:
            os.close(descriptor)
        if not offset:
            self.write_part(identifier, 0, b"")
        return Entry("file", offset, bool(status.st_mode & 0o100), growing.digest(), "", status.st_mtime_ns)

    def trashed(self) -> list[list[Any]]:
        """Every version that was replaced or deleted here; see ``agent.trash.listed``."""
        return trash.listed(self.area().trash)

    def abilities(self) -> Abilities:
        """What the disk here makes of names and modes."""
        return self.area().abilities()

    def area(self) -> Area:
        if self._area is None:
            LocalFolder.demand_support()
            area = self._place()
            area.prepare()
            area.drop_parts()
            self._area = area
        return self._area

    def _place(self) -> Area:
        beside = self._state_dir / "local"
        if self._state_dir.stat().st_dev == self._root.stat().st_dev:
            return Area({"root": str(self._root), "state": str(beside)})
        inside = self._root / OWN_FOLDER
        inside.mkdir(mode=0o700, exist_ok=True)
        (inside / ".gitignore").write_text("*\n")
        return Area({"root": str(self._root), "state": str(inside)})
