"""One authenticated SSH connection to a pod, able to run many commands at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from devpod_rp.ssh import transport as layer
from devpod_rp.ssh.address import Address, banner
from devpod_rp.ssh.channel import ExecChannel
from devpod_rp.ssh.errors import HostKeyMismatch, NothingListens, PermissionDenied, Unreachable
from devpod_rp.ssh.known_hosts import HostKey
from devpod_rp.ssh.library import paramiko
from devpod_rp.waking import KEEPALIVE_SECONDS

__all__ = [
    "Address",
    "Completed",
    "Connection",
    "ExecChannel",
    "HostKeyMismatch",
    "NothingListens",
    "PermissionDenied",
    "Unreachable",
    "banner",
]

log = logging.getLogger(__name__)

_START_SECONDS = 30.0
_DIAL_SECONDS = 15.0
# RFC 4254, section 5.1: SSH_OPEN_CONNECT_FAILED.
_CONNECT_FAILED = 2


@dataclass(frozen=True)
class Completed:
    """A command that ended. *exit_code* is -1 when a signal ended it."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Connection:
    """An open SSH connection; close it, or use it as a context manager. Safe to use from several threads."""

    @classmethod
    def open(
        cls,
        address: Address,
        identity: Path,
        host_key: HostKey,
        *,
        timeout: float = 15.0,
        keepalive_seconds: float = KEEPALIVE_SECONDS,
    ) -> Connection:
        """Connect to *address* and log in with the private key in *identity* and nothing else.

        No agent, no other key of the user's and no password is ever offered, and nothing at all before the server has
        proven to own *host_key*. *timeout* (seconds) covers everything up to the login. Afterwards a peer that is
        silent for three times *keepalive_seconds*, although asked, counts as lost.

        Raises:
            Unreachable: nobody answers, what answers is not SSH, or the connection was cut.
            HostKeyMismatch: the server owns another key.
            PermissionDenied: the server does not accept our key.
            ConfigurationError: *identity* cannot be read.
        """
        transport = layer.authenticated(address, identity, host_key, timeout)
        heartbeat = layer.Heartbeat(transport, address, keepalive_seconds)
        heartbeat.start()
        log.debug("event=connected address=%s user=%s cipher=%s", address, address.user, transport.local_cipher)
        return cls(transport, address, heartbeat)

    def __init__(self, transport: paramiko.Transport, address: Address, heartbeat: layer.Heartbeat) -> None:
        self.address = address
        self._transport = transport
        self._heartbeat = heartbeat

    @property
    def alive(self) -> bool:
        """Whether the connection stands as far as anybody knows; a dead peer shows after three keepalives."""
        return self._transport.is_active() and self._transport.is_authenticated()

    def channel(
        self, command: str, *, timeout: float = _START_SECONDS, stderr_kept_bytes: int | None = 256 * 1024
    ) -> ExecChannel:
        """Start *command* in the user's shell on the pod; *timeout* (seconds) is for the start alone.

        Raises:
            Unreachable: the connection is lost, or the server does not start another command.
        """
        with layer.translated(self.address, lambda: self._heartbeat.verdict):
            try:
                session = self._transport.open_session(timeout=timeout)
                with _at_latest(timeout, session.close):
                    # Paths that are not UTF-8 reach us as surrogates and must leave as the same bytes.
                    session.exec_command(command.encode("utf-8", "surrogateescape"))
            except paramiko.SSHException as error:
                if self.alive:
                    raise Unreachable(f"{self.address} did not start the command: {error}") from error
                raise
        return ExecChannel(session, self.address, lambda: self._heartbeat.verdict, stderr_kept_bytes=stderr_kept_bytes)

    def run(self, command: str, *, input: bytes = b"", timeout: float | None = None) -> Completed:
        """Run *command*, feed it *input*, and return when it has ended and both its outputs are read.

        Raises:
            Unreachable: the connection was lost, or the command did not end within *timeout* seconds; it may then
                still run on the pod.
        """
        start_seconds = _START_SECONDS if timeout is None else min(timeout, _START_SECONDS)
        with self.channel(command, timeout=start_seconds, stderr_kept_bytes=None) as channel:
            with _at_latest(timeout, channel.close) as expired:
                threading.Thread(target=_feed, args=(channel, input), name="ssh-stdin", daemon=True).start()
                stdout = channel.stdout.read()
                stderr = channel.stderr.read()
                exit_code = channel.wait()
            if expired.is_set():
                raise Unreachable(f"the command on {self.address} did not end within {timeout:g} s.")
            return Completed(exit_code, stdout, stderr)

    def dial(self, port: int, *, timeout: float = _DIAL_SECONDS) -> paramiko.Channel:
        """A stream to *port* of the pod's loopback (RFC 4254, section 7.2: "direct-tcpip").

        Raises:
            NothingListens: nobody listens there.
            Unreachable: the connection is lost, or the server forwards nothing.
        """
        with layer.translated(self.address, lambda: self._heartbeat.verdict):
            try:
                return self._transport.open_channel(
                    "direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 0), timeout=timeout
                )
            except paramiko.ChannelException as error:
                if error.code == _CONNECT_FAILED:
                    raise NothingListens(f"Nothing listens on port {port} of the pod.") from error
                raise Unreachable(f"The pod's SSH server does not forward port {port}: {error.text}.") from error

    def close(self) -> None:
        """End the connection and everything that runs through it. Harmless when closed already."""
        self._heartbeat.stop()
        self._transport.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _feed(channel: ExecChannel, data: bytes) -> None:
    try:
        channel.stdin.write(data)
        channel.stdin.close()
    except Unreachable as error:
        # A command may end without reading its input; whether the connection is lost, stdout's reader finds out.
        log.debug("event=stdin-refused reason=%r", error.message)


@contextmanager
def _at_latest(timeout: float | None, give_up: Callable[[], None]) -> Iterator[threading.Event]:
    """Calls *give_up* if the block lasts longer than *timeout* seconds; the event tells whether it did."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        give_up()

    timer = threading.Timer(timeout, expire) if timeout is not None else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield expired
    finally:
        if timer is not None:
            timer.cancel()
