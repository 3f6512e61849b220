"""Are both folders who they were? A folder that was swapped, unmounted or wiped must not be read as "all deleted".

Each side has a random token and remembers the inode it belongs to: here in the journal, on the pod beside the folder
(``<state>/roots/…/root-id``). Device numbers are not compared: they change when a disk is mounted again.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from devpod_rp.agent.files import abilities
from devpod_rp.pod.link import AgentLink
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.remote import Destination
from devpod_rp.sync.safety import was_emptied
from devpod_rp.sync.status import Halts, SyncHalted


def local_halt(journal: Journal, root: Path, halts: Halts) -> SyncHalted | None:
    """Why the folder here must not be trusted, if so; a folder never seen before is anybody's."""
    known = journal.get("local")
    try:
        status = os.lstat(root)
    except OSError:
        return halts.local_missing()
    if not stat.S_ISDIR(status.st_mode):
        return halts.local_missing()
    if known is not None and (known["path"], known["ino"]) != (str(root), status.st_ino):
        return halts.local_replaced()
    return None


def adopt_local(journal: Journal, root: Path) -> None:
    """From now on the folder that is at *root* is the one that is synchronised."""
    status = os.lstat(root)
    journal.put(local={"path": str(root), "ino": status.st_ino, "dev": status.st_dev})


def remote_halt(
    facts: dict[str, Any], token: str | None, known_entries: Collection[str], halts: Halts
) -> SyncHalted | None:
    """Why the pod's folder must not be trusted, if so, from the answer to ``root.open``."""
    if not known_entries or token is None:
        return None  # nothing was ever agreed on: a union with whatever is there loses nothing
    if facts.get("token") != token:
        return halts.remote_fresh()
    if not facts.get("exists"):
        return halts.remote_missing()
    if facts.get("recorded_ino") != facts.get("ino"):
        return halts.remote_replaced()
    if facts.get("empty") and was_emptied(known_entries, ()):
        return halts.remote_emptied()
    return None


def ask_remote(
    link: AgentLink, root: str, state: str, token: str | None, *, may_adopt: bool
) -> Callable[[], dict[str, Any]]:
    """Ask the pod about the folder now; what is returned waits for the answer: token, inode, whether it exists and
    holds anything.

    One that is known by *token*, or by none on either side, is adopted at once if it *may*, which saves a far pod a
    round trip; the *abilities* of its disk say so.
    """
    adopt = (token or uuid.uuid4().hex) if may_adopt else None
    only = "new" if token is None else "known"
    answer = link.ask("root.open", root=root, state=state, adopt=adopt, only=only)
    return lambda: dict(answer().header)


def adopt_remote(link: AgentLink, root: str, state: str, journal: Journal, facts: dict[str, Any]) -> Destination:
    """Make the pod's folder (creating it if need be) the one that is synchronised, under one token on both sides."""
    token = facts.get("token") or journal.get("token") or uuid.uuid4().hex
    adopted = facts if "abilities" in facts else link.call("root.open", root=root, state=state, adopt=token).header
    journal.put(token=token)
    able, empty = abilities.from_wire(adopted.get("abilities")), adopted.get("empty") is True
    return Destination(root, state, int(adopted["ino"]), token, able, empty)
