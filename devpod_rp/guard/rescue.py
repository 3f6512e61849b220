"""Saving files at risk to the volume, verified on the pod; listing what was saved before and putting it back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devpod_rp.errors import DevpodError, WouldLoseDataError
from devpod_rp.pod.link import AgentLink, AgentRefused
from devpod_rp.progress import Event, Progress, silent


class RescueRefused(WouldLoseDataError):
    """Nothing was saved: there is no volume, or another rescue is running."""

    kind = "rescue-refused"

    def __init__(self, code: str, message: str) -> None:
        hints = {
            "not-permitted": "Only a mounted volume outlives a stop: download the files instead.",
            "busy": "Wait for the other rescue to end, then try again.",
        }
        super().__init__(f"The rescue was refused: {message}", hint=hints.get(code))
        self.code = code


@dataclass(frozen=True)
class Rescue:
    """What a rescue saved. A path in *failed* (with its reason) is not safe: a stop would still destroy it.

    *no_room* are those of *failed* for which the volume is too small.
    """

    destination: str
    files: int
    bytes: int
    failed: Mapping[str, str]
    no_room: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        return not self.failed

    def as_json(self) -> dict[str, object]:
        failed = [{"path": path, "reason": reason} for path, reason in self.failed.items()]
        return {
            "destination": self.destination,
            "files": self.files,
            "bytes": self.bytes,
            "failed": failed,
            "no_room": sorted(self.no_room),
        }


@dataclass(frozen=True)
class PastRescue:
    """A rescue on the volume; *complete* is False for the remains of one that was cut off.

    Rescues of the same *container* (empty if unknown) were made in one run of it: together they are its disk.
    """

    destination: str
    created_at: str
    files: int
    bytes: int
    complete: bool
    container: str = ""

    def as_json(self) -> dict[str, object]:
        return {key: value for key, value in vars(self).items() if key != "container"}


class RestoreRefused(DevpodError):
    """The rescue cannot be put back: it is not there, unfinished, or the container disk is full."""

    kind = "restore-refused"


@dataclass(frozen=True)
class Restore:
    """What was put back. *present* were there already with the same content; *kept* (with reasons) were not touched."""

    restored: tuple[str, ...]
    present: tuple[str, ...]
    kept: Mapping[str, str]
    bytes: int

    def as_json(self) -> dict[str, object]:
        kept = [{"path": path, "reason": reason} for path, reason in self.kept.items()]
        return {"restored": list(self.restored), "present": list(self.present), "kept": kept, "bytes": self.bytes}


def rescue(
    link: AgentLink,
    paths: Sequence[str],
    *,
    volume_path: str,
    volume_bytes: int | None = None,
    progress: Progress = silent,
    size: int | None = None,
) -> Rescue:
    """Copy *paths*, most precious first, to ``<volume>/.devpod/rescue/<UTC time>/`` on the pod, each verified by hash.

    *size* is the total in bytes if known, for the progress. Saving the same unchanged files again costs no space, and
    a rescue that was cut off goes on where it was. Where the volume (of *volume_bytes*, if known) is too small, the
    first that fit are saved. Look at `Rescue.failed`: nothing was saved of what did not fit, vanished or kept changing.

    Raises:
        RescueRefused: nothing was saved.
    """
    if not paths:
        return Rescue("", 0, 0, {})
    progress(Event("rescue", "Saving files to the volume", 0, size, "bytes"))
    last: tuple[dict[str, Any], bytes] = ({}, b"")
    try:
        body = json.dumps(list(paths)).encode("ascii")
        for frame in link.stream("rescue.copy", body, volume=volume_path, size_bytes=volume_bytes):
            last = (frame.header, frame.body)
            done = int(frame.header["bytes"])
            total = None if size is None else max(size, done)
            progress(Event("rescue", f"{frame.header['files']} of {len(paths)} files saved", done, total, "bytes"))
    except AgentRefused as refused:
        raise RescueRefused(refused.code, refused.message) from refused
    header, body = last
    left = json.loads(body)
    return Rescue(
        str(header["destination"]),
        int(header["files"]),
        int(header["bytes"]),
        left["failed"],
        frozenset(left["no_room"]),
    )


def list_rescues(link: AgentLink, volume_path: str) -> list[PastRescue]:
    """What rescues left on the volume, oldest first."""
    frame = link.call("rescue.list", volume=volume_path)
    return [PastRescue(**one) for one in json.loads(frame.body)]


def restore(
    link: AgentLink,
    destinations: Sequence[str],
    *,
    only: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress = silent,
) -> Restore:
    """Put back what the rescues in *destinations* hold, each file verified against the hash it was rescued with.

    Where several hold a path, the first counts. A file of the image or the boot is replaced; one that somebody made
    since is kept, unless *overwrite*. Running it again after it was cut off goes on where it stopped.

    Raises:
        RestoreRefused: a destination holds no finished rescue, or the container disk is full.
    """
    progress(Event("restore", "Putting rescued files back"))
    body = json.dumps({"destinations": list(destinations), "only": list(only)}).encode("ascii")
    outcome: dict[str, Any] = {}
    try:
        for frame in link.stream("rescue.restore", body, overwrite=overwrite):
            done = int(frame.header["bytes"])
            progress(Event("restore", "Putting rescued files back", done, None, "bytes"))
            if frame.body:
                outcome = json.loads(frame.body)
    except AgentRefused as refused:
        raise RestoreRefused(
            f"The rescue was not put back: {refused.message}", hint="devpod-rp rescue list shows what can be."
        ) from refused
    return Restore(tuple(outcome["restored"]), tuple(outcome["present"]), outcome["kept"], int(outcome["size_bytes"]))
