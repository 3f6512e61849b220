"""Where an SSH server is, and whether anything that speaks SSH answers there."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from devpod_rp.ssh.errors import Unreachable

# RFC 4253 section 4.2: the server may send other lines first; a line has at most 255 characters.
_PREAMBLE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Address:
    """An SSH server's TCP endpoint and the user to be there."""

    host: str
    port: int
    user: str = "root"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def connect(address: Address, timeout: float) -> socket.socket:
    """A TCP connection to *address*, with Nagle's delay off because every request waits for its answer.

    Raises:
        Unreachable: no route, nobody listening, an unknown name, or no answer within *timeout* seconds.
    """
    try:
        stream = socket.create_connection((address.host, address.port), timeout=timeout)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"cannot connect to {address}: {reason(error)}") from error
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def banner(address: Address, timeout: float) -> str:
    """The server's identification, such as ``SSH-2.0-OpenSSH_9.2p1``, read within *timeout* seconds.

    Raises:
        Unreachable: no connection, silence, or an answer that is not SSH.
    """
    deadline = time.monotonic() + timeout
    with connect(address, timeout) as stream:
        received = b""
        while len(received) < _PREAMBLE_BYTES:
            *lines, _unfinished = received.split(b"\n")
            for line in lines:
                if line.startswith(b"SSH-"):
                    return line.rstrip(b"\r").decode("utf-8", "replace")
            received += _receive(stream, address, deadline, timeout)
    raise Unreachable(f"{address} answers, but not with SSH.")


def reason(error: BaseException) -> str:
    """What an exception says, in one line without its number; never empty."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def _receive(stream: socket.socket, address: Address, deadline: float, timeout: float) -> bytes:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise Unreachable(f"{address} accepts connections, but said nothing of SSH for {timeout:g} s.")
    stream.settimeout(remaining)
    try:
        chunk = stream.recv(4096)
    except TimeoutError as error:
        raise Unreachable(f"{address} accepts connections, but said nothing of SSH for {timeout:g} s.") from error
    except OSError as error:
        raise Unreachable(f"{address} cut the connection: {reason(error)}") from error
    if not chunk:
        raise Unreachable(f"{address} closed the connection without speaking SSH.")
    return chunk
