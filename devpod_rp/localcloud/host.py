"""The seam between the pods' state machine and what runs them."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from devpod_rp.localcloud import sandbox
from devpod_rp.localcloud.sandbox import Machine, Support


class Running(Protocol):
    """One container that was started."""

    @property
    def pid(self) -> int: ...

    def alive(self) -> bool:
        """Whether its first process still runs."""
        ...

    def stop(self, grace_seconds: float = 10.0) -> None:
        """SIGTERM, then SIGKILL; all its processes and mounts are gone on return."""
        ...


class Host(Protocol):
    """What can run containers."""

    def probe(self) -> Support:
        """Whether this machine can, and if not, what is missing."""
        ...

    def start(self, machine: Machine) -> Running:
        """Start *machine* on its existing container disk, if it has one.

        Raises:
            SandboxError: with one clear sentence.
        """
        ...

    def wipe(self, directory: Path) -> None:
        """Put the container disk in *directory* back to the image's state."""
        ...

    def erase(self, path: Path) -> None:
        """Remove a tree that containers wrote to, whatever modes and owners it has; gone already is fine."""
        ...

    def sweep(self, root: Path, live: Collection[str]) -> list[str]:
        """End whatever a dead server left running below *root*, except *live*; the ids of the pods it belonged to."""
        ...

    def container_log(self, directory: Path) -> Path:
        """The file of timestamped lines that the container printed."""
        ...


class SandboxHost:
    """Pods as sandboxes on this machine."""

    def probe(self) -> Support:
        return sandbox.probe()

    def start(self, machine: Machine) -> Running:
        return sandbox.Sandbox.start(machine)

    def wipe(self, directory: Path) -> None:
        sandbox.wipe(directory)

    def erase(self, path: Path) -> None:
        if os.path.lexists(path):
            sandbox.erase(path)

    def sweep(self, root: Path, live: Collection[str]) -> list[str]:
        return sandbox.sweep(root, live)

    def container_log(self, directory: Path) -> Path:
        return sandbox.container_log(directory)
