"""What every editor of the registry is and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from devpod_rp.errors import UsageError


@dataclass(frozen=True)
class Target:
    """What to open: *path* on the pod, reached by the SSH *host_alias*, or at *host*, *port* as *user*.

    *path* is a folder, or a file of VS Code's kind that names several (``….code-workspace``).
    """

    host_alias: str
    path: str
    host: str
    port: int
    user: str

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise UsageError(f"{self.path!r} is not an absolute path on {self.host_alias}.")


@dataclass(frozen=True)
class Opened:
    """What came of asking an editor to open something.

    *launched* means that the editor's command accepted the request, which is all that can be known. Otherwise the
    user may follow *deep_link*; *problem* says why the command failed, or is None when the editor was not found.
    """

    launched: bool
    command: tuple[str, ...] | None
    deep_link: str
    problem: str | None = None


class Editor(Protocol):
    """A desktop editor that works on a pod over SSH; *name* is the one on the command line."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...

    def program(self) -> str | None:
        """Its command on this machine, or None if it was not found."""

    def open(self, target: Target) -> Opened:
        """Open *target* in a window of the editor, or say which link does."""

    def missing_extension(self) -> str | None:
        """The extension for SSH that is not installed, if the editor was found and needs one."""

    def install_extension(self, extension: str) -> None:
        """Install *extension* on this machine.

        Raises:
            DevpodError: the editor could not; the message has its last words.
        """
