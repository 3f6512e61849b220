"""The directories that are disks: one machine directory and one volume disk per pod, one per network volume."""

from __future__ import annotations

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
    # Path.mkdir(parents=True) would give the parents the umask's mode.
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def make_volume(directory: Path) -> None:
    """Make the root of a volume. Any user of the pod may enter it; its parent keeps this machine's other users out."""
    make(directory.parent)
    directory.mkdir(mode=0o755, exist_ok=True)
