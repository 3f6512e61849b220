"""One machine at a time synchronises with a folder on a pod: two would undo each other's work in turns."""

from __future__ import annotations

import getpass
import socket
import uuid
from collections.abc import Callable
from pathlib import Path

from devpod_rp.pod.link import AgentLink
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.remote import Destination
from devpod_rp.sync.status import Halts

_LONGEST = 500


class Lease:
    """This machine's word that it is the one. The agent (agent/sync/leases.py) keeps it fresh while it hears of us."""

    def __init__(self, journal: Journal, local_root: Path, halts: Halts) -> None:
        self._journal = journal
        self._who = _who(local_root)
        self._halts = halts

    def claim(self, link: AgentLink, destination: Destination, *, take: bool) -> Callable[[], None]:
        """Hold the lease from now on; with *take* also if another machine holds it, which then stops itself.

        Returns at once; what it returns waits for the answer, and raises SyncHalted when another machine has it.
        """
        owner = self._journal.get("owner")
        if owner is None:
            self._journal.put(owner=(owner := uuid.uuid4().hex))
        root, state = destination.root, destination.state
        answer = link.ask("lease.claim", root=root, state=state, owner=owner, who=self._who, take=take)

        def held() -> None:
            other = answer().header.get("other")
            if isinstance(other, dict):
                raise self._halts.other_machine(str(other.get("who"))[:_LONGEST])

        return held

    def release(self, link: AgentLink, destination: Destination) -> None:
        """Let another machine synchronise at once."""
        link.call("lease.release", root=destination.root, state=destination.state)


def _who(local_root: Path) -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody"  # a user without a name in the system's list
    return f"{user}@{socket.gethostname()}:{local_root}".encode("utf-8", "replace").decode()[:_LONGEST]
