"""Which files of the container disk an archive on a volume holds in the very state they are in."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Mapping, Optional, Set

from devpod_rp.agent.archive import index, restored
from devpod_rp.agent.archive.racks import Archive, Rack, stores
from devpod_rp.agent.files.changes import Change
from devpod_rp.agent.machine.container import identity


def archived(
    wanted: Mapping[str, Change], volumes: Iterable[str], *, root: str = "/", proc: Path = Path("/proc")
) -> Set[str]:
    """The paths of *wanted* that an archive brings back as they are: kept from this disk, or put back on it and since
    then unchanged. A file that was changed has another stamp, and is not among them.
    """
    found: Set[str] = set()
    if not wanted:
        return found
    prefix = root.rstrip("/")
    run = identity(proc)
    for volume in volumes:
        for rack in stores(prefix + volume):
            archive = _of_this_run(rack, run)
            if archive is not None:
                found |= _unchanged(wanted, archive)
    note = restored.load(root)
    if note is not None and _is_there(prefix, note.archive, volumes):
        found |= {path for path, change in wanted.items() if note.stamps.get(path) == change.stamp}
    return found


def _of_this_run(rack: Rack, run: str) -> Optional[Archive]:
    newest = rack.newest()
    return newest if newest is not None and run and newest.about.container == run else None


def _unchanged(wanted: Mapping[str, Change], archive: Archive) -> Set[str]:
    try:
        entries = index.read(archive.directory).entries
    except (OSError, ValueError):
        return set()
    return {entry.path for entry in entries if entry.path in wanted and wanted[entry.path].stamp == entry.stamp}


def _is_there(prefix: str, archive: str, volumes: Iterable[str]) -> bool:
    store, _slash, name = archive.rpartition("/")
    on_volume = any(archive.startswith(volume.rstrip("/") + "/") for volume in volumes)
    return on_volume and Rack(prefix + store).find(name) is not None
