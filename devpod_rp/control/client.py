"""Asking a keeper."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from devpod_rp.control.endpoint import connect, read_endpoint
from devpod_rp.errors import DevpodError, ExitCode, UnreachableError

_PING_SECONDS = 5.0


class KeeperNotRunning(UnreachableError):
    """Nobody keeps this environment: there is no keeper, or it died."""

    kind = "keeper-not-running"


class KeeperSilent(UnreachableError):
    """A keeper took the request and did not answer in time."""

    kind = "keeper-silent"


class KeeperRefused(DevpodError):
    """The keeper could not do it; message, hint and exit code are those of the error it met."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error["message"]), hint=error["hint"])
        self.exit_code = ExitCode(error["code"])
        self.kind = str(error["kind"])


def keeper_request(name: str, op: str, *, timeout: float = 10.0, **fields: Any) -> dict[str, Any]:
    """What the keeper of environment *name* answers to *op*, waiting at most *timeout* seconds.

    Raises:
        KeeperNotRunning: nobody listens.
        KeeperSilent: no answer in time.
        KeeperRefused: it answered with an error.
    """
    endpoint = read_endpoint(name)
    if endpoint is None:
        raise _not_running(name)
    deadline = time.monotonic() + timeout
    try:
        connection = connect(endpoint, timeout)
    except TimeoutError:
        raise _silent(name, op, timeout) from None
    except OSError as error:
        raise _not_running(name) from error
    request = {"op": op, "token": endpoint.token, "fields": fields}
    with connection:
        try:
            connection.sendall(json.dumps(request).encode("utf-8") + b"\n")
            line = _read_line(connection, deadline)
        except TimeoutError:
            raise _silent(name, op, timeout) from None
        except OSError as error:
            raise _not_running(name) from error
    if not line:
        raise _not_running(name)
    answer = json.loads(line)
    if "error" in answer:
        raise KeeperRefused(answer["error"])
    result: dict[str, Any] = answer["result"]
    return result


def keeper_running(name: str) -> bool:
    """Whether a keeper of environment *name* answers."""
    return keeper_version(name) is not None


def keeper_version(name: str) -> str | None:
    """The version of devpod_rp that the running keeper is, or None if none answers."""
    try:
        return str(keeper_request(name, "ping", timeout=_PING_SECONDS)["version"])
    except (KeeperNotRunning, KeeperSilent):
        return None


def _read_line(connection: socket.socket, deadline: float) -> bytes:
    """One line, or nothing if the other end closed before finishing it."""
    received = bytearray()
    while not received.endswith(b"\n"):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        connection.settimeout(remaining)
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        received += chunk
    return bytes(received)


def _not_running(name: str) -> KeeperNotRunning:
    return KeeperNotRunning(f"No keeper runs for {name}.", hint=f"devpod-rp up {name} starts it.")


def _silent(name: str, op: str, timeout: float) -> KeeperSilent:
    return KeeperSilent(
        f"The keeper of {name} did not answer {op!r} within {timeout:.0f} s.",
        hint=f"devpod-rp logs {name} --keeper shows what it is doing.",
    )
