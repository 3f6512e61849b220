"""Saving files at risk to the volume, verified on the pod, and listing what was saved before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devpod_rp.errors import WouldLoseDataError
from devpod_rp.pod.link import AgentLink, AgentRefused
from devpod_rp.progress import Event, Progress, silent


class RescueRefused(WouldLoseDataError):
    """Nothing was saved: no volume, no room on it, or another rescue is running."""

    kind = "rescue-refused"

    def __init__(self, code: str, message: str) -> None:
        hints = {
            "no-space": "Free or add space on the volume, or download the files before stopping.",
            "not-permitted": "Only a mounted volume outlives a stop: download the files instead.",
            "busy": "Wait for the other rescue to end, then try again.",
        }
        super().__init__(f"The rescue was refused: {message}", hint=hints.get(code))
        self.code = code


@dataclass(frozen=True)
class Rescue:
    """What a rescue saved. A path in *failed* (with its reason) is not safe: a stop would still destroy it."""

    destination: str
    files: int
    bytes: int
    failed: Mapping[str, str]

    @property
    def complete(self) -> bool:
        return not self.failed

    def as_json(self) -> dict[str, object]:
        failed = [{"path": path, "reason": reason} for path, reason in self.failed.items()]
        return {"destination": self.destination, "files": self.files, "bytes": self.bytes, "failed": failed}


@dataclass(frozen=True)
class PastRescue:
    """A rescue on the volume; *complete* is False for the remains of one that was cut off."""

    destination: str
    created_at: str
    files: int
    bytes: int
    complete: bool

    def as_json(self) -> dict[str, object]:
        return dict(vars(self))


def rescue(
    link: AgentLink, paths: Sequence[str], *, volume_path: str, progress: Progress = silent, size: int | None = None
) -> Rescue:
    """Copy *paths* to ``<volume>/.devpod/rescue/<UTC time>/`` on the pod, each verified by hash.

    *size* is the total in bytes if known, for the progress. Saving the same unchanged files again costs no space.
    Look at `Rescue.failed`: a file that vanished or kept changing is there, and nothing was saved of it.

    Raises:
        RescueRefused: nothing was saved, and the message says what did not fit.
    """
    if not paths:
        return Rescue("", 0, 0, {})
    progress(Event("rescue", "Saving files to the volume", 0, size, "bytes"))
    last: tuple[dict[str, Any], bytes] = ({}, b"")
    try:
        body = json.dumps(list(paths)).encode("ascii")
        for frame in link.stream("rescue.copy", body, volume=volume_path):
            last = (frame.header, frame.body)
            done = int(frame.header["bytes"])
            total = None if size is None else max(size, done)
            progress(Event("rescue", f"{frame.header['files']} of {len(paths)} files saved", done, total, "bytes"))
    except AgentRefused as refused:
        raise RescueRefused(refused.code, refused.message) from refused
    header, failed = last
    return Rescue(str(header["destination"]), int(header["files"]), int(header["bytes"]), json.loads(failed))


def list_rescues(link: AgentLink, volume_path: str) -> list[PastRescue]:
    """What rescues left on the volume, oldest first."""
    frame = link.call("rescue.list", volume=volume_path)
    return [PastRescue(**one) for one in json.loads(frame.body)]
