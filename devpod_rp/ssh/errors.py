"""What can go wrong between here and an SSH server."""

from __future__ import annotations

from devpod_rp.errors import UnreachableError


class Unreachable(UnreachableError):
    """Nobody answered, the answer was not SSH, or the conversation was cut."""


class HostKeyMismatch(UnreachableError):
    """The server at the address is not the one whose key was pinned; nothing was sent to it."""


class NothingListens(UnreachableError):
    """The connection stands, but no program on the pod listens on the port."""


class PermissionDenied(UnreachableError):
    """The server is the right one, but it does not accept our key for this user."""
