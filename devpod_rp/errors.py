"""Every error a user can meet: what was wrong, what to do next, and the exit code that says so.

Foreign exceptions (httpx, paramiko, OSError) are mapped to these at the edge of the room that uses the library.
A room with a failure of its own subclasses the nearest class here, so that callers may catch by meaning.
"""

from __future__ import annotations

from enum import IntEnum


def printable(name: str) -> str:
    """A name that comes from elsewhere (a file of the pod, say) as a message may hold it: it plays no tricks with the
    terminal, fakes no lines, and can be encoded.
    """
    return name if name.isprintable() else repr(name)


class ExitCode(IntEnum):
    """The exit codes of the command line; also ``error.code`` of every ``--json`` document."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    CONFIGURATION = 3
    AUTHENTICATION = 4
    NO_CAPACITY = 5
    UNREACHABLE = 6
    WOULD_LOSE_DATA = 7
    SYNC = 8
    INTERRUPTED = 130


class DevpodError(Exception):
    """Base of all our errors. *message* says what and where, *hint* says what to do next."""

    exit_code: ExitCode = ExitCode.UNEXPECTED
    kind: str = "unexpected"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def details(self) -> list[str]:
        """Lines that a person wants to see between the message and the hint; none for most errors."""
        return []

    def as_json(self) -> dict[str, object]:
        return {"error": {"code": int(self.exit_code), "kind": self.kind, "message": self.message, "hint": self.hint}}


class UsageError(DevpodError):
    """The command line asked for something that makes no sense here."""

    exit_code = ExitCode.USAGE
    kind = "usage"


class ConfigurationError(DevpodError):
    """A file, variable or flag holds a value that cannot be used; the message names file and line."""

    exit_code = ExitCode.CONFIGURATION
    kind = "configuration"


class AuthenticationError(DevpodError):
    """The cloud refused the key, or the account has no money left."""

    exit_code = ExitCode.AUTHENTICATION
    kind = "authentication"


class NoCapacityError(DevpodError):
    """No machine with the requested specification is free."""

    exit_code = ExitCode.NO_CAPACITY
    kind = "no-capacity"


class UnreachableError(DevpodError):
    """The cloud, the pod or its SSH server did not answer, or answered as somebody else."""

    exit_code = ExitCode.UNREACHABLE
    kind = "unreachable"


class WouldLoseDataError(DevpodError):
    """Refused: going on would destroy something that exists nowhere else."""

    exit_code = ExitCode.WOULD_LOSE_DATA
    kind = "would-lose-data"


class SyncError(DevpodError):
    """The synchronisation has conflicts that the caller asked about, or stopped itself to protect files."""

    exit_code = ExitCode.SYNC
    kind = "sync"


class InterruptedByUserError(DevpodError):
    """The user pressed Ctrl-C or said no."""

    exit_code = ExitCode.INTERRUPTED
    kind = "interrupted"
