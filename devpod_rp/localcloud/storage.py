"""The directories that are disks: one machine directory and one volume disk per pod, one per network volume."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Storage:
    """Names every directory below *root*; each is made on first use with mode 0700."""

    root: Path

    @property
    def pods(self) -> Path:
        """One directory per pod: container disk, log and runtime files, laid out by the sandbox."""
        return self.root / "pods"

    def pod_directory(self, pod_id: str) -> Path:
        return self.pods / pod_id

    def volume_disk(self, pod_id: str) -> Path:
        return self.root / "volume-disks" / pod_id

    def network_volume(self, volume_id: str) -> Path:
        return self.root / "network-volumes" / volume_id


def make(directory: Path) -> None:
    """Make *directory* for us alone, parents included."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def remove(directory: Path) -> None:
    """Remove *directory* with everything in it, also what its owner made unreadable. Gone already is fine.

    Raises:
        OSError: something in it cannot be removed.
    """
    if not os.path.lexists(directory):
        return
    try:
        shutil.rmtree(directory)
    except PermissionError:
        for parent, _names, _files in os.walk(directory):
            _open_up(Path(parent))
        shutil.rmtree(directory)


def _open_up(directory: Path) -> None:
    # The children before os.walk descends into them: it lists a directory when it gets there.
    directory.chmod(stat.S_IRWXU)
    for child in directory.iterdir():
        if child.is_dir() and not child.is_symlink():
            child.chmod(stat.S_IRWXU)
