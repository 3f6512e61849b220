"""Keeping a pod's container disk as one archive on its volume, and putting it back, by what the agent can do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devpod_rp.errors import DevpodError, WouldLoseDataError
from devpod_rp.pod.link import AgentLink, AgentRefused
from devpod_rp.progress import Event, Progress, silent

if TYPE_CHECKING:
    from devpod_rp.guard.rules import Rules


class KeepingFailed(WouldLoseDataError):
    """The disk was not kept; no earlier archive was touched."""

    kind = "disk-not-kept"


class NotPutBack(DevpodError):
    """The kept disk is not, or not completely, on the container disk; it is still on the volume."""

    kind = "disk-not-put-back"


@dataclass(frozen=True)
class KeptDisk:
    """One archive on the volume. *size* is what it unpacks to, *stored* what it takes; *failed* names what is missing.

    *fresh* is False where it was there already and holds all that is on the disk.
    """

    name: str
    directory: str
    created_at: str
    image: str
    files: int
    size: int
    stored: int
    deleted: int
    seconds: float
    whole: bool = True
    base_known: bool = True
    fresh: bool = True
    held: bool = False
    failed: Mapping[str, str] | None = None

    def as_json(self) -> dict[str, object]:
        failed = [{"path": path, "reason": reason} for path, reason in (self.failed or {}).items()]
        return {**vars(self), "failed": failed}


@dataclass(frozen=True)
class PutBack:
    """What came back of *disk*. *conflicts* says of each path what was done instead; *left* names stay in the archive
    because they belong to the system of another image; *present* were there already."""

    disk: KeptDisk
    files: int
    bytes: int
    present: int
    deleted: int
    left: int
    conflicts: Mapping[str, str]

    def as_json(self) -> dict[str, object]:
        conflicts = [{"path": path, "reason": reason} for path, reason in self.conflicts.items()]
        return {**vars(self), "disk": self.disk.as_json(), "conflicts": conflicts}


@dataclass(frozen=True)
class Order:
    """What is to be kept, and where; *everything* or what lies *below* some paths and with *venvs* in environments."""

    volume_path: str
    environment: str
    image: str
    everything: bool
    below: Sequence[str] = ()
    venvs: bool = False
    volume_bytes: int | None = None

    def as_wire(self, rules: Rules) -> dict[str, Any]:
        """The order as the agent takes it (``agent/disk/operations.py``)."""
        from devpod_rp.guard.rules import discarded

        return {
            "volume": self.volume_path,
            "environment": self.environment,
            "image": self.image,
            "everything": self.everything,
            "below": list(self.below),
            "venvs": self.venvs,
            "size_bytes": self.volume_bytes,
            "discard": discarded(rules),
        }


def note_image(link: AgentLink, volume_path: str, *, fresh: bool) -> None:
    """Let the pod note what its image brought, once; *fresh*: nobody could reach the container yet."""
    link.call("disk.census", volume=volume_path, fresh=fresh)


def keep(link: AgentLink, order: Order, rules: Rules, progress: Progress = silent) -> KeptDisk:
    """Archive the container disk on the volume, proved by reading it back.

    Raises:
        KeepingFailed: it could not be; the last good archive is as it was.
    """
    progress(Event("keep", "Keeping the container disk on the volume"))
    header: dict[str, Any] = {}
    body = b""
    try:
        for frame in link.stream("disk.keep", json.dumps(order.as_wire(rules)).encode("ascii")):
            header, body = frame.header, frame.body
            if "phase" in header:
                proving = header["phase"] == "proving"
                message = "Reading back what was kept" if proving else "Keeping the container disk on the volume"
                progress(Event("keep", message, int(header["bytes"]), int(header["total"]), "bytes"))
    except AgentRefused as refused:
        raise KeepingFailed(
            f"The container disk could not be kept: {refused.message}.",
            hint="make room on the volume, or go without: --no-keep-disk leaves it to the guard.",
        ) from refused
    return _disk({**header["about"], **header}, failed=json.loads(body))


def kept_disks(link: AgentLink, volume_path: str, environment: str) -> list[KeptDisk]:
    """The archives on the volume, oldest first."""
    frame = link.call("disk.list", volume=volume_path, environment=environment)
    return [_disk(row) for row in json.loads(frame.body)]


def put_back(
    link: AgentLink,
    volume_path: str,
    environment: str,
    image: str,
    *,
    name: str | None = None,
    only: Sequence[str] = (),
    unless_done: bool = False,
    if_begun: bool = False,
    everything: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PutBack | None:
    """Put an archive, the newest without *name*, back on the container disk; None where there is nothing to do.

    What this image brings differently and what somebody made since stays; what was kept then lies beside it. With
    *unless_done* an archive that is on this disk already is left alone, with *if_begun* also one that never was.

    Raises:
        NotPutBack: the archive is damaged, or the container disk full. The same call goes on.
    """
    progress(Event("restore", "Putting the kept disk back"))
    header: dict[str, Any] = {}
    body = b""
    try:
        for frame in link.stream(
            "disk.restore",
            json.dumps(list(only)).encode("ascii"),
            volume=volume_path,
            environment=environment,
            image=image,
            name=name,
            unless_done=unless_done,
            if_begun=if_begun,
            everything=everything,
            overwrite=overwrite,
        ):
            header, body = frame.header, frame.body
            if "name" not in header:
                progress(Event("restore", "Putting the kept disk back", int(header["bytes"]), None, "bytes"))
    except AgentRefused as refused:
        raise NotPutBack(
            f"The kept disk was not put back completely: {refused.message}.",
            hint=f"it is still on the volume; devpod-rp disk restore {environment} goes on.",
        ) from refused
    if header["name"] is None:
        return None
    return PutBack(
        _disk({**header["about"], "name": header["name"], "directory": header["directory"]}),
        int(header["files"]),
        int(header["bytes"]),
        int(header["present"]),
        int(header["deleted"]),
        int(header["left"]),
        json.loads(body),
    )


def _disk(row: Mapping[str, Any], failed: Mapping[str, str] | None = None) -> KeptDisk:
    known = {key: row[key] for key in KeptDisk.__dataclass_fields__ if key in row and key != "failed"}
    return KeptDisk(**known, failed=failed)
