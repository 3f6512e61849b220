"""How a synchronisation stands, told through the journal: also a process that is connected to nothing can read it."""

from __future__ import annotations

import logging
import time
from typing import Any

from devpod_rp.sync.journal import Journal
from devpod_rp.sync.known import Known, Tally
from devpod_rp.sync.status import Conflict, CycleResult, Remark, SyncHalted, SyncStatus, version

log = logging.getLogger(__name__)


class Standing:
    """What *known* says, written to *journal* after each cycle and read from there."""

    def __init__(self, journal: Journal, known: Known) -> None:
        self._journal = journal
        self._known = known

    def write(self) -> None:
        known = self._known
        known.save_few()
        counts = {**self._journal.get("counts", {}), "local": known.trees.here.files}
        counts["pod_only"] = len(known.pod_only)
        if known.remote is not None:
            counts["remote"] = known.trees.there.files
        here, there = known.trees.here, known.trees.there
        versions = {path: [version(here.get(path)), version(there.get(path))] for path in known.conflicts}
        self._journal.put(counts=counts, conflicts=known.conflicts, problems=known.problems, versions=versions)

    def status(self, activity: str, mode: str, unheeded: int) -> SyncStatus:
        """What a person sees; *activity* is what goes on, *unheeded* how many changes wait beside the pending ones."""
        counts = self._journal.get("counts", {})
        halted = self.halted
        return SyncStatus(
            state="halted" if halted else activity,
            mode=mode,
            local_files=counts.get("local", 0),
            remote_files=counts.get("remote", 0),
            pending=unheeded,
            pod_only=counts.get("pod_only", 0),
            conflicts=self.conflicts(),
            problems=_remarks(self._journal.get("problems", {})),
            last_synced_at=self._journal.get("last_synced_at"),
            halted=halted,
        )

    def result(self, full: bool, tally: Tally) -> CycleResult:
        """What a cycle did."""
        result = CycleResult(
            full=full,
            uploaded_files=tally.there.files,
            uploaded_bytes=tally.there.bytes,
            deleted=tally.there.deleted,
            downloaded_files=tally.here.files,
            downloaded_bytes=tally.here.bytes,
            deleted_here=tally.here.deleted,
            conflicts=self.conflicts(),
            problems=_remarks(self._known.problems),
            deferred=frozenset(tally.deferred),
            seconds=time.monotonic() - tally.started,
        )
        log.info(
            "sync=done full=%s files=%d bytes=%d deleted=%d conflicts=%d deferred=%d seconds=%.3f",
            full, result.uploaded_files, result.uploaded_bytes, result.deleted, len(result.conflicts),
            len(result.deferred), result.seconds,
        )  # fmt: skip
        return result

    def conflicts(self) -> tuple[Conflict, ...]:
        versions = self._journal.get("versions", {})
        found = sorted(self._journal.get("conflicts", {}).items())
        return tuple(Conflict(path, reason, *versions.get(path, (None, None))) for path, reason in found)

    # Halts.

    @property
    def halted(self) -> dict[str, Any] | None:
        """Reason, message and hint of the halt that stands, if one does."""
        halted: dict[str, Any] | None = self._journal.get("halted")
        return halted

    def halt(self, halt: SyncHalted) -> None:
        log.warning("sync=halted reason=%s message=%s", halt.reason, halt.message)
        self._journal.put(halted={"reason": halt.reason, "message": halt.message, "hint": halt.hint})

    def forget_halt(self, but: tuple[str, ...] = ()) -> None:
        halted = self._journal.get("halted")
        if halted is not None and halted["reason"] not in but:
            self._journal.put(halted=None)


def _remarks(found: dict[str, Any]) -> tuple[Remark, ...]:
    return tuple(Remark(path, reason) for path, reason in sorted(found.items()))
