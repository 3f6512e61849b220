"""Finding the command of an editor on this machine, and running it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Where Windows programs install themselves: for one user, or for all.
_WINDOWS_ROOTS = (("LOCALAPPDATA", "Programs"), ("ProgramFiles", ""), ("ProgramFiles(x86)", ""))


@dataclass(frozen=True)
class Machine:
    """This machine as far as finding a program goes; *platform* is a ``sys.platform``."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    platform: str = sys.platform
    applications: tuple[Path, ...] = (Path("/Applications"), Path.home() / "Applications")


@dataclass(frozen=True)
class Places:
    """Where an editor's command may be.

    *commands* are looked up on PATH; *mac* is relative to an Applications folder, *windows* to where Windows programs
    are installed. Editors put their command on PATH only if asked to on macOS, and not always on Windows.
    """

    commands: tuple[str, ...]
    mac: str | None = None
    windows: tuple[str, ...] = ()

    def find(self, machine: Machine) -> str | None:
        """The full path of the first command that is there and can be run."""
        search = machine.environ.get("PATH", os.defpath)
        on_path = (shutil.which(command, path=search) for command in self.commands)
        return next((found for found in on_path if found), None) or next(
            (str(path) for path in self._elsewhere(machine) if os.access(path, os.X_OK)), None
        )

    def _elsewhere(self, machine: Machine) -> Iterator[Path]:
        if machine.platform == "darwin" and self.mac:
            yield from (folder / self.mac for folder in machine.applications)
        elif machine.platform == "win32":
            for variable, below in _WINDOWS_ROOTS:
                root = machine.environ.get(variable)
                if root:
                    yield from (Path(root, below, path) for path in self.windows)


class CommandFailed(Exception):
    """An editor's command could not be run, or said no; the text is its last words."""


def run(command: tuple[str, ...], timeout_seconds: float) -> str:
    """What *command* prints.

    Raises:
        CommandFailed: it ended with another code than 0, took longer than *timeout_seconds*, or cannot be run.
    """
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(str(error)) from error
    if ended.returncode != 0:
        said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CommandFailed(said[-1] if said else f"exit code {ended.returncode}")
    return ended.stdout.decode("utf-8", "replace")
