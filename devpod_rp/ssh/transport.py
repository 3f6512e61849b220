"""The encrypted layer under a connection: handshake, identity of the server, login, and noticing that the peer died.

The one place where paramiko's exceptions become ours.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from devpod_rp.errors import ConfigurationError
from devpod_rp.ssh.address import Address, connect, reason
from devpod_rp.ssh.errors import HostKeyMismatch, PermissionDenied, Unreachable
from devpod_rp.ssh.known_hosts import HostKey
from devpod_rp.ssh.library import paramiko
from devpod_rp.waking import until_next

if TYPE_CHECKING:
    from typing_extensions import Buffer

log = logging.getLogger(__name__)

# paramiko logs, at ERROR and with a traceback, what we raise as a typed error anyway.
_PARAMIKO_LOG = "devpod_rp.ssh.paramiko"
logging.getLogger(_PARAMIKO_LOG).setLevel(logging.CRITICAL)

# What the pod may send before we have read it: enough to fill 100 ms of a fast line.
WINDOW_BYTES = 8 * 1024 * 1024
PACKET_BYTES = 32 * 1024
# One AEAD pass in C instead of a cipher and a hash called from Python; then what every server since 2014 knows.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
_DIGESTS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
# RFC 8332: an "ssh-rsa" key signs under these names.
_RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")

_SILENT_KEEPALIVES = 3
# How long paramiko's thread sleeps when nothing comes. Closing wakes it; its own tenth of a second keeps a core busy
# all day with finding out that nothing happened.
_REST_SECONDS = 15.0
# A transport whose socket is closed ends at once, unless the machine is very busy.
_ENDING_SECONDS = 5.0


class WatchedSocket(socket.socket):
    """A socket that counts the signs of life of its peer."""

    signs_of_life = 0
    _had_to_wait = False

    @classmethod
    def adopt(cls, stream: socket.socket) -> WatchedSocket:
        return cls(stream.family, stream.type, stream.proto, fileno=stream.detach())

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        received = super().recv(size, flags)
        self.signs_of_life += 1
        return received

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        try:
            sent = super().send(data, flags)
        except TimeoutError:
            self._had_to_wait = True
            raise
        if self._had_to_wait:
            # The kernel's buffer was full and has room again, so the peer acknowledged something. A send that did
            # not have to wait proves nothing: the kernel takes data for dead peers too.
            self._had_to_wait = False
            self.signs_of_life += 1
        return sent

    def close(self) -> None:
        try:
            self.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits in recv or send
        except OSError:
            log.debug("event=socket-was-down")
        super().close()


def negotiate(address: Address, timeout: float, pinned: HostKey | None = None) -> paramiko.Transport:
    """An encrypted connection to whoever answers at *address*; nobody has proven anything but to own a host key.

    The kind of *pinned* is asked for first, so that a server with several host keys shows that one.

    Raises:
        Unreachable: see the message; everything together took at most *timeout* seconds.
    """
    deadline = time.monotonic() + timeout
    transport = paramiko.Transport(
        WatchedSocket.adopt(connect(address, timeout)),
        default_window_size=WINDOW_BYTES,
        default_max_packet_size=PACKET_BYTES,
    )
    transport.name = f"ssh {address}"
    transport.set_log_channel(_PARAMIKO_LOG)
    _choose_algorithms(transport, pinned)
    # Our own clock decides; paramiko's must only never be the first.
    transport.banner_timeout = transport.handshake_timeout = timeout + 60.0
    negotiated = threading.Event()
    transport.start_client(event=negotiated)
    finished = negotiated.wait(max(0.0, deadline - time.monotonic()))
    if finished and transport.is_active():
        return transport
    spoke_ssh = bool(transport.remote_version)
    failure = transport.get_exception()
    abandon(transport)
    if not finished:
        said = "did not finish the SSH handshake" if spoke_ssh else "said nothing of SSH"
        raise Unreachable(f"{address} accepts connections, but {said} for {timeout:g} s.")
    if not spoke_ssh:
        raise Unreachable(f"{address} answers, but not with SSH.") from failure
    cause = reason(failure) if failure is not None and str(failure) else "the server closed the connection"
    raise Unreachable(f"the SSH handshake with {address} failed: {cause}") from failure


def abandon(transport: paramiko.Transport) -> None:
    """Close a transport, and the timer paramiko would otherwise leave running until the handshake's time is up."""
    transport.close()
    transport.join(_ENDING_SECONDS)  # until then it might still start that timer
    transport.packetizer.complete_handshake()


def shown_host_key(transport: paramiko.Transport) -> HostKey:
    key = transport.get_remote_server_key()
    return HostKey(key.get_name(), key.get_base64())


def offered_host_key(address: Address, timeout: float) -> HostKey:
    """The host key shown at *address*; the connection is closed before any login."""
    transport = negotiate(address, timeout)
    try:
        with translated(address):
            return shown_host_key(transport)
    finally:
        abandon(transport)


def authenticated(address: Address, identity: Path, host_key: HostKey, timeout: float) -> paramiko.Transport:
    """A transport to the owner of *host_key*, logged in with *identity*; see ``Connection.open``."""
    deadline = time.monotonic() + timeout
    key = _private_key(identity)
    transport = negotiate(address, timeout, host_key)
    try:
        with translated(address):
            _demand(host_key, shown_host_key(transport), address)
            _log_in(transport, address, key, identity, max(0.1, deadline - time.monotonic()))
            transport.sock.settimeout(_REST_SECONDS)
    except BaseException:
        abandon(transport)
        raise
    return transport


@contextmanager
def translated(address: Address, verdict: Callable[[], str | None] = lambda: None) -> Iterator[None]:
    """Turns what paramiko and the socket raise into :class:`Unreachable`; *verdict* knows better why, if not None."""
    try:
        yield
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise lost(address, verdict() or (reason(error) if str(error) else None)) from error


def lost(address: Address, why: str | None = None) -> Unreachable:
    return Unreachable(f"the connection to {address} is lost" + (f": {why}" if why else "."))


class Heartbeat:
    """Closes a transport whose peer is silent although asked, so that nobody waits for an answer that never comes.

    TCP alone notices a dead peer only when something was sent, and then after a quarter of an hour. So after one
    silent interval the peer is asked for a sign of life, and after three the connection counts as lost. Intervals are
    counted, not measured: a laptop that slept asks before it judges.
    """

    def __init__(self, transport: paramiko.Transport, address: Address, interval_seconds: float) -> None:
        self.verdict: str | None = None
        self._transport = transport
        self._interval_seconds = interval_seconds
        self._ended = threading.Event()
        self._asking: threading.Thread | None = None
        self._name = f"ssh-heartbeat {address}"
        self._thread = threading.Thread(target=self._watch, name=self._name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def _watch(self) -> None:
        stream = self._transport.sock
        assert isinstance(stream, WatchedSocket)
        seen, silent = stream.signs_of_life, 0
        interval = self._interval_seconds
        while not self._ended.wait(until_next(interval, time.monotonic())) and self._transport.is_active():
            silent = silent + 1 if stream.signs_of_life == seen else 0
            seen = stream.signs_of_life
            if silent >= _SILENT_KEEPALIVES:
                self.verdict = f"no sign of life for {silent * self._interval_seconds:g} s"
                log.warning("event=peer-silent connection=%r verdict=%r", self._name, self.verdict)
                self._transport.close()
            elif silent:
                self._ask()

    def _ask(self) -> None:
        # In a thread of its own, because sending waits behind a writer that may be stuck on the dead peer.
        if self._asking is None or not self._asking.is_alive():
            self._asking = threading.Thread(target=self._request_reply, name=self._name + " asking", daemon=True)
            self._asking.start()

    def _request_reply(self) -> None:
        try:
            # OpenSSH's own keepalive. RFC 4254 section 4: a request that is not known is answered with a failure,
            # which is a sign of life as good as any.
            self._transport.global_request("keepalive@openssh.com", wait=True)
        except (paramiko.SSHException, EOFError, OSError) as error:
            log.debug("event=keepalive-failed connection=%r reason=%r", self._name, reason(error))


def _choose_algorithms(transport: paramiko.Transport, pinned: HostKey | None) -> None:
    options = transport.get_security_options()
    options.ciphers = [each for each in _CIPHERS if each in options.ciphers]
    options.digests = [each for each in _DIGESTS if each in options.digests]
    if pinned is not None:
        wanted = _RSA_ALGORITHMS if pinned.kind == "ssh-rsa" else (pinned.kind,)
        first = [each for each in wanted if each in options.key_types]
        options.key_types = first + [each for each in options.key_types if each not in first]


def _demand(expected: HostKey, shown: HostKey, address: Address) -> None:
    if shown != expected:
        raise HostKeyMismatch(
            f"{address} shows the host key {shown.fingerprint} ({shown.kind}), "
            f"but {expected.fingerprint} ({expected.kind}) was pinned. Refused; nothing was sent.",
            hint="a pod that was restarted elsewhere has a new address and key: `devpod-rp up` verifies and pins them "
            "again. Otherwise somebody else answers at this address.",
        )


def _log_in(
    transport: paramiko.Transport, address: Address, key: paramiko.PKey, identity: Path, timeout: float
) -> None:
    answered = threading.Event()
    transport.auth_publickey(address.user, key, event=answered)
    if not answered.wait(timeout):
        raise Unreachable(f"{address} did not answer the login within {timeout:.0f} s.")
    if transport.is_authenticated():
        return
    if not transport.is_active():
        raise lost(address, "the server closed it during the login")
    raise PermissionDenied(
        f"{address.user}@{address.host} port {address.port} does not accept the key {identity}.",
        hint="the pod was probably started with another public key: check PUBLIC_KEY and the account's SSH keys.",
    )


def _private_key(identity: Path) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(identity)
    except (OSError, ValueError, TypeError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        raise ConfigurationError(f"the private key {identity} cannot be used: {reason(error)}") from error
