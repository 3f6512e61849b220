"""The synchronisation of one environment, whoever runs it at the moment: ``up`` at first, the keeper afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devpod_rp import paths
from devpod_rp.environments import Environment
from devpod_rp.progress import Progress, silent

if TYPE_CHECKING:
    from devpod_rp.sync.session import Session


def open_session(environment: Environment, progress: Progress = silent) -> Session:
    """The environment's sync session; one process at a time holds it.

    Raises:
        SyncError: another process (the keeper) has it.
    """
    from devpod_rp.sync.session import Session

    wishes = environment.spec["sync"]
    limit = wishes.get("bandwidth_mb_s")  # an environment made before this was known has none
    return Session(
        local_root=Path(environment.folder),
        remote_root=environment.workspace,
        state_dir=_state_dir(environment),
        remote_state=_remote_state(environment),
        mode=wishes["mode"],
        ignore=tuple(wishes["ignore"]),
        progress=progress,
        bytes_per_second=limit * 1e6 if limit else None,
        volume_bytes=environment.volume.size_gb * 10**9 if environment.volume.size_gb else None,
    )


def journal_status(environment: Environment) -> dict[str, Any]:
    """What the journal knows while nobody synchronises."""
    session = open_session(environment)
    try:
        return session.status().as_json()
    finally:
        session.close()


def synchronised(environment: Environment) -> frozenset[str]:
    """The relative paths that both sides had when they were last compared; none if they never were."""
    from devpod_rp.sync.journal import Journal

    state = _state_dir(environment)
    if not state.exists():
        return frozenset()
    journal = Journal(state)
    try:
        return frozenset(journal.trees().ancestor)
    finally:
        journal.close()


def folders(environment: Environment) -> int:
    """How many folders took part when both sides were last compared: what a watcher has to watch."""
    from devpod_rp.sync.journal import Journal

    state = _state_dir(environment)
    if not state.exists():
        return 0
    journal = Journal(state)
    try:
        ancestor = journal.trees().ancestor
        return ancestor.names - ancestor.files
    finally:
        journal.close()


def forget_ancestor(environment: Environment) -> None:
    """Void what the two sides last agreed on, because the pod's side is about to be a new, empty volume.

    The next synchronisation is then a first one: it unites both sides and deletes nothing.
    """
    state = _state_dir(environment)
    if state.exists():
        shutil.rmtree(state)


def _remote_state(environment: Environment) -> str | None:
    """Staging and trash lie on the volume, because renames must not cross file systems."""
    return None if environment.volume.kind == "none" else f"{environment.volume.path}/.devpod_rp"


def _state_dir(environment: Environment) -> Path:
    return paths.environment_dir(environment.name) / "sync"
