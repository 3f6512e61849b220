"""What of the container disk is neither the image's nor a cache: the part that is worth an archive."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence

from devpod_rp.agent.archive.signature import FILE, FOLDER, LINK, Signature, signature
from devpod_rp.agent.disk import census as censuses
from devpod_rp.agent.disk.census import Census
from devpod_rp.agent.exposure.examine import Exposure, examine
from devpod_rp.agent.files.changes import Stamp
from devpod_rp.agent.files.digests import stamp_of
from devpod_rp.agent.machine.mounts import lies_below
from devpod_rp.agent.rescue.keepsakes import NoLoss

_VENV = "/pyvenv.cfg"
# What a start makes and removes by itself; that it is gone is nobody's wish.
_PASSING = ("/dev/", "/run/", "/tmp/", "/var/run/", "/var/tmp/")  # noqa: S108 - looked at, not written to
_STAGES = ("on_create", "update_content", "post_create")
ALSO = tuple("/run/devpod_rp/hooks/" + stage for stage in _STAGES)
"""Marks of what was done to this disk once; with the disk they come back, and it is not done again."""


class Choice(NamedTuple):
    """Which part of the disk is kept: all of it, or what lies *below* some paths, or in virtual environments.

    *discard* tells caches and noise, which are not kept.
    """

    discard: NoLoss
    everything: bool = True
    below: Sequence[str] = ()
    venvs: bool = False


class Item(NamedTuple):
    """One name that differs from what the image brought; *base* is what that was, None where it brought nothing."""

    path: str
    kind: str
    stamp: Stamp
    device: int
    links: int
    mode: int
    uid: int
    gid: int
    target: Optional[str]
    base: Optional[Signature]


class Delta(NamedTuple):
    """*deleted* are names of the image that are gone; *base_known* is whether anybody can say that."""

    items: List[Item]
    deleted: Dict[str, Signature]
    problems: Dict[str, str]
    base_known: bool
    exposure: Exposure


def differences(
    volume: str, choice: Choice, known: Optional[Census], *, root: str = "/", proc: Path = Path("/proc")
) -> Delta:
    """Look at the container disk and compare it with *known*, in the order of the paths.

    Raises:
        OSError, ValueError: nobody can say what is new on it.
    """
    base = known.names if known is not None else {}
    gone = dict(base)
    folders: Dict[str, os.stat_result] = {}

    def note(path: str, status: os.stat_result) -> None:
        before = gone.pop(path, None)
        if stat.S_ISDIR(status.st_mode) and (before is None or before != signature(status)):
            folders[path] = status

    exposure = examine([volume], root=root, proc=proc, witness=note)
    keep = _Filter(choice, exposure, {change.path for change in exposure.changes.found})
    items = []
    for change in exposure.changes.found:
        if keep.wants(change.path):
            item = _item(root, change.path, base.get(change.path))
            if item is not None:
                items.append(item)
    for path, status in folders.items():
        is_new = known is not None or status.st_ctime_ns >= exposure.since_ns
        if is_new and keep.wants(path):
            items.append(_of_status(path, status, None, base.get(path)))
    if choice.everything:
        items += [item for item in (_item(root, path, None) for path in ALSO) if item is not None]
    deleted = _deleted(gone, known, exposure, keep) if known is not None else {}
    base_known = known is not None and known.complete
    return Delta(sorted(items, key=lambda item: item.path), deleted, exposure.changes.problems, base_known, exposure)


def present(root: str, path: str, base: Optional[Signature]) -> Optional[Item]:
    """The item of *path* as it is now; None if it is gone or nothing that can be kept."""
    return _item(root, path, base)


class _Filter:
    def __init__(self, choice: Choice, exposure: Exposure, changed: "set[str]") -> None:
        self._choice = choice
        self._boot: FrozenSet[str] = frozenset(exposure.baseline.stamps if exposure.baseline is not None else ())
        below = [path.rstrip("/") for path in choice.below]
        if choice.venvs:
            below += [path[: -len(_VENV)] for path in changed if path.endswith(_VENV)]
        self._below = tuple(below)

    def wants(self, path: str) -> bool:
        choice = self._choice
        if not choice.everything and not any(path == top or lies_below(path, top) for top in self._below):
            return False
        return not choice.discard.covers(path, path in self._boot)


def _deleted(gone: Mapping[str, Signature], known: Census, exposure: Exposure, keep: _Filter) -> Dict[str, Signature]:
    unseen = tuple(exposure.changes.problems)
    points = exposure.survey.roles
    found = {}
    for path, before in gone.items():
        if path.startswith(_PASSING) or not keep.wants(path) or censuses.hidden(path, points, known.points):
            continue
        if any(path == place or lies_below(path, place) for place in unseen):
            continue  # nobody could look
        found[path] = before
    return found


def _item(root: str, path: str, base: Optional[Signature]) -> Optional[Item]:
    physical = root.rstrip("/") + path
    try:
        status = os.lstat(physical)
        target = os.readlink(physical) if stat.S_ISLNK(status.st_mode) else None
    except OSError:
        return None  # gone meanwhile
    return _of_status(path, status, target, base) if signature(status).kind in (FILE, LINK, FOLDER) else None


def _of_status(path: str, status: os.stat_result, target: Optional[str], base: Optional[Signature]) -> Item:
    found = signature(status)
    return Item(
        path,
        found.kind,
        stamp_of(status),
        status.st_dev,
        status.st_nlink,
        found.mode,
        found.uid,
        found.gid,
        target,
        base,
    )
