"""Who the two folders are: compared with what is remembered of them before anything is believed of either."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import filelock

from devpod_rp.errors import SyncError
from devpod_rp.pod.link import AgentLink
from devpod_rp.sync import identity
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.known import Known
from devpod_rp.sync.remote import Destination
from devpod_rp.sync.status import Halts


class Meeting:
    """Brings *local_root* together with *remote_root*, for one process at a time."""

    def __init__(
        self, local_root: Path, remote_root: str, remote_state: str | None, state_dir: Path, journal: Journal,
        known: Known, halts: Halts,
    ) -> None:  # fmt: skip
        self._local_root = local_root
        self._remote_root = remote_root
        self._remote_state = remote_state or _state_beside(remote_root)
        self._journal = journal
        self._known = known
        self._halts = halts
        self._process_lock = filelock.FileLock(state_dir / "sync.lock", timeout=0)

    def lock_process(self) -> None:
        """Keep other processes out; raises SyncError when one is in."""
        try:
            if not self._process_lock.is_locked:
                self._process_lock.acquire()
        except filelock.Timeout as error:
            raise SyncError(
                f"Another process already synchronises {self._local_root}.",
                hint="devpod-rp sync status shows what it does.",
            ) from error

    def unlock_process(self) -> None:
        self._process_lock.release()

    def recognise(self, link: AgentLink, accept_fresh_remote: bool) -> Destination:
        """Compare both folders with what is remembered of them; raises SyncHalted when one is not the one we know."""
        halt = identity.local_halt(self._journal, self._local_root, self._halts)
        token, may_adopt = self._journal.get("token"), halt is None
        answer = identity.ask_remote(link, self._remote_root, self._remote_state, token, may_adopt=may_adopt)
        known = self._known.ancestor.keys()  # read from the disk while the question is on its way
        facts = answer()
        remote = identity.remote_halt(facts, token, known, self._halts)
        accepted = self._journal.get("accepted")
        if halt is not None and (accepted != halt.reason or halt.reason == "local-missing"):
            raise halt
        # One accident on the pod shows differently to who is attached and to who attaches; a union harms in neither.
        yes = accept_fresh_remote or (accepted or "").startswith("remote-")
        if remote is not None and not yes:
            raise remote
        if halt is not None or remote is not None:
            self._known.void()
            self._journal.put(accepted=None)
            facts = {} if remote is not None else facts
        identity.adopt_local(self._journal, self._local_root)
        return identity.adopt_remote(link, self._remote_root, self._remote_state, self._journal, facts)


def _state_beside(remote_root: str) -> str:
    """Where the pod keeps trash and staging: at the top of the volume for a workspace on it, else beside the folder."""
    root = PurePosixPath(remote_root)
    if root.parts[:2] == ("/", "workspace"):
        return "/workspace/.devpod_rp"
    return str(root.parent / ".devpod_rp")
