"""One command at a time changes an environment; the second one learns who the first is."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devpod_rp import paths
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.environments.record import is_possible_name
from devpod_rp.errors import DevpodError, UsageError
from devpod_rp.progress import Event, Progress, silent


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock, as it described itself."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command!r} (process {self.pid})"


class EnvironmentBusy(DevpodError):
    """Another command works on the environment and did not finish in time; *holder* is None if it left no note."""

    kind = "busy"

    def __init__(self, name: str, holder: Holder | None) -> None:
        self.holder = holder
        who = str(holder) if holder else "another command"
        super().__init__(f"{name} is in use by {who}.", hint="wait until it has finished, or end it with Ctrl-C.")


@contextmanager
def locked(name: str, *, timeout_seconds: float = 60.0, progress: Progress = silent) -> Iterator[None]:
    """Hold the lock of environment *name*, which need not exist yet.

    Waits up to *timeout_seconds* and says through *progress* whom it waits for. The kernel frees the lock when its
    holder dies, however it dies. Not reentrant.

    Raises:
        EnvironmentBusy: the holder did not finish in time.
        UsageError: *name* cannot be the name of an environment.
    """
    if not is_possible_name(name):
        raise UsageError(f"{name!r} cannot be the name of an environment.")
    from filelock import FileLock, Timeout

    # Outside the environment's directory: that one is renamed away while the lock is held.
    path = _directory() / f"{name}.lock"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if timeout_seconds > 0:
            progress(Event("lock", f"Waiting for {_noted(name) or 'another command'} to finish with {name}"))
        try:
            lock.acquire(timeout=timeout_seconds, poll_interval=0.05)
        except Timeout:
            raise EnvironmentBusy(name, _noted(name)) from None
    try:
        # The note only serves messages; the lock itself is the kernel's, so a note that a dead holder left is harmless.
        write_atomically(_note(name), json.dumps({"pid": os.getpid(), "command": _command()}).encode("utf-8"))
        yield
    finally:
        _note(name).unlink(missing_ok=True)
        lock.release()


def holder_of(name: str) -> Holder | None:
    """Who holds the lock at this moment, None if nobody does; whoever was killed no longer holds it."""
    from filelock import FileLock, Timeout

    path = _directory() / f"{name}.lock"
    if not path.exists():
        return None
    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return _noted(name) or Holder(0, "another command")
    lock.release()
    return None


def _noted(name: str) -> Holder | None:
    """Who wrote itself down as the holder; a note outlives a holder that was killed."""
    try:
        note = json.loads(_note(name).read_bytes())
        return Holder(int(note["pid"]), str(note["command"]))
    except FileNotFoundError:
        return None


def _command() -> str:
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv and sys.argv[0] else "python"


def _directory() -> Path:
    return paths.environments_dir() / ".locks"


def _note(name: str) -> Path:
    return _directory() / f"{name}.json"
