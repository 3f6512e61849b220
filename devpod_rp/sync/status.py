"""What a synchronisation tells about itself: its state, the result of one cycle, and why it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from devpod_rp.agent.files.entries import Entry
from devpod_rp.errors import SyncError

RESUME = "devpod-rp sync resume"


@dataclass(frozen=True)
class Remark:
    """A path that needs the user's eye, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Conflict(Remark):
    """A path that changed on both sides. *local* and *pod* say what each holds, as :func:`version` puts it."""

    local: Mapping[str, Any] | None = None
    pod: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        return {"path": self.path, "reason": self.reason, "local": self.local, "pod": self.pod}


def version(entry: Entry | None) -> dict[str, Any] | None:
    """``{kind, size, modified}`` (bytes, ISO 8601 in UTC by that side's clock); None for what is absent."""
    if entry is None:
        return None
    modified = moment(entry.mtime_ns, timezone.utc) if entry.mtime_ns else None
    told = None if modified is None else modified.isoformat(timespec="seconds")
    return {"kind": entry.kind, "size": entry.size, "modified": told}


def moment(mtime_ns: int, zone: timezone | None = None) -> datetime | None:
    """A file's time as a date; None for one beyond every calendar, which file systems can hold."""
    try:
        return datetime.fromtimestamp(mtime_ns / 1e9, zone)
    except (OverflowError, ValueError, OSError):
        return None


@dataclass(frozen=True)
class SyncStatus:
    """The synchronisation at this moment.

    *state* is watching, scanning, syncing, disconnected or halted ("paused" is the keeper's to say). *pending* counts
    changes here that are known and not yet on the pod. *pod_only* counts what only the pod has or changed, which
    one-way-safe leaves alone. *halted* is the reason of a halt with its way out. *branch* is the git branch that
    is checked out here, where its repository stays here.
    """

    state: str
    mode: str
    local_files: int
    remote_files: int
    pending: int
    pod_only: int
    conflicts: tuple[Conflict, ...]
    problems: tuple[Remark, ...]
    last_synced_at: str | None
    halted: Mapping[str, str] | None = None
    branch: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "mode": self.mode,
            "local_files": self.local_files,
            "remote_files": self.remote_files,
            "pending": self.pending,
            "pod_only": self.pod_only,
            "conflicts": [conflict.as_json() for conflict in self.conflicts],
            "problems": [{"path": remark.path, "reason": remark.reason} for remark in self.problems],
            "last_synced_at": self.last_synced_at,
            "halted": dict(self.halted) if self.halted else None,
            "branch": self.branch,
        }


@dataclass(frozen=True)
class CycleResult:
    """What one cycle did: sent to the pod, *deleted* there, fetched from it, deleted here.

    *deferred* are paths to be tried again soon: they were being written while we looked.
    """

    full: bool
    uploaded_files: int
    uploaded_bytes: int
    deleted: int
    downloaded_files: int
    downloaded_bytes: int
    deleted_here: int
    conflicts: tuple[Conflict, ...]
    problems: tuple[Remark, ...]
    deferred: frozenset[str]
    seconds: float


class SyncHalted(SyncError):
    """The synchronisation stopped itself because going on might destroy files; nothing was deleted.

    *reason* is one of local-missing, local-replaced, local-emptied, remote-missing, remote-fresh, remote-replaced,
    remote-emptied, mass-deletion, replica-asks, other-machine. *paths* are the files a mass deletion would take.
    """

    kind = "sync-halted"

    def __init__(self, reason: str, message: str, *, hint: str, paths: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.paths = paths


class VolumeFullError(SyncError):
    """The pod's disk has no room; everything that was there is unchanged, everything that fitted is there."""

    kind = "volume-full"


_UNION = f"If it should be so: `{RESUME}` joins both sides again; nothing is deleted on either."


@dataclass(frozen=True)
class Halts:
    """The words of every halt, for one pair of folders."""

    local_root: str
    remote_root: str
    hint: str = field(default=_UNION)

    def local_missing(self) -> SyncHalted:
        return SyncHalted(
            "local-missing",
            f"The folder {self.local_root} is gone. The pod's copy is untouched.",
            hint="Mount or restore the folder; the synchronisation then goes on by itself.",
        )

    def local_replaced(self) -> SyncHalted:
        message = f"{self.local_root} is not the folder that was synchronised before. The pod's copy is untouched."
        return SyncHalted("local-replaced", message, hint=self.hint)

    def local_emptied(self) -> SyncHalted:
        message = f"{self.local_root} is suddenly empty. The pod's copy is untouched."
        return SyncHalted("local-emptied", message, hint=self.hint)

    def remote_missing(self) -> SyncHalted:
        message = f"{self.remote_root} is gone from the pod. Nothing was deleted here."
        return SyncHalted("remote-missing", message, hint=self.hint)

    def remote_fresh(self) -> SyncHalted:
        message = f"The pod's volume is not the one that {self.remote_root} was synchronised to. Nothing was deleted."
        return SyncHalted("remote-fresh", message, hint=self.hint)

    def remote_replaced(self) -> SyncHalted:
        message = f"{self.remote_root} on the pod was replaced by another folder. Nothing was deleted."
        return SyncHalted("remote-replaced", message, hint=self.hint)

    def remote_emptied(self) -> SyncHalted:
        message = f"{self.remote_root} on the pod is suddenly empty. Nothing was deleted here."
        return SyncHalted("remote-emptied", message, hint=self.hint)

    def other_machine(self, who: str) -> SyncHalted:
        return SyncHalted(
            "other-machine",
            f"{who} synchronises with {self.remote_root}, too. Nothing was changed.",
            hint="When that one stops or pauses, the synchronisation here goes on by itself; "
            f"`{RESUME}` takes over now, and that one stops.",
        )

    def mass_deletion(self, paths: tuple[str, ...]) -> SyncHalted:
        shown = ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "")
        return SyncHalted(
            "mass-deletion",
            f"{len(paths)} files disappeared from {self.local_root} while nobody watched ({shown}). "
            "They were not deleted on the pod.",
            hint=f"If you deleted them: `{RESUME}` deletes them on the pod too (they go to its trash).",
            paths=paths,
        )

    def mass_deletion_there(self, paths: tuple[str, ...]) -> SyncHalted:
        shown = ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "")
        return SyncHalted(
            "mass-deletion",
            f"Many files disappeared from {self.remote_root} on the pod ({len(paths)} at once: {shown}). "
            "They were not deleted here.",
            hint=f"If you deleted them there: `{RESUME}` deletes them here too (`sync undo` has them).",
            paths=paths,
        )

    def replica_asks(self, deleted: tuple[str, ...], replaced: tuple[str, ...]) -> SyncHalted:
        shown = ", ".join((*deleted, *replaced)[:3]) + (", …" if len(deleted) + len(replaced) > 3 else "")
        return SyncHalted(
            "replica-asks",
            f"As an exact copy of {self.local_root}, {self.remote_root} would lose what only the pod has: "
            f"{len(deleted)} files deleted, {len(replaced)} replaced ({shown}). Nothing was changed.",
            hint=f"`devpod-rp sync plan` lists them; `{RESUME}` goes ahead (they go to the pod's trash).",
            paths=(*deleted, *replaced),
        )
