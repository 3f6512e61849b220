"""Local ports that lead to a pod: bound to this machine's loopback, so that nobody else can use them."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from devpod_rp.errors import DevpodError

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_PIECE_BYTES = 64 * 1024
_BACKLOG = 64


class PortTaken(DevpodError):
    """A local port cannot be listened on; the message says why."""

    kind = "port-taken"


class Stream(Protocol):
    """A connection in both directions, as a paramiko channel is one."""

    def recv(self, nbytes: int, /) -> bytes:
        """What has come; nothing once the other side has ended."""

    def sendall(self, data: bytes, /) -> object: ...
    def shutdown_write(self) -> object: ...
    def close(self) -> object: ...


class Forwarding:
    """Listens on *local_port* of the loopback (0: any free one) and carries each connection to where *dial* leads.

    The port stays ours, whatever becomes of the pod, until :meth:`close`. *dial* runs in a thread of its own for each
    connection and may wait; if it raises a :class:`DevpodError`, the connection is closed.

    Raises:
        PortTaken: somebody else listens there, or the port is reserved.
    """

    def __init__(self, local_port: int, dial: Callable[[], Stream]) -> None:
        self._dial = dial
        self._listener = _listening(local_port)
        self.port: int = self._listener.getsockname()[1]
        self.problem: str | None = None
        """Why the newest connection could not be carried, if so."""
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        threading.Thread(target=self._accept, name=f"forward {self.port}", daemon=True).start()

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._open)

    def close(self) -> None:
        """Give the port back and end every connection."""
        with self._lock:
            self._closed = True
            ending = list(self._open)
        # Closing alone would leave a thread that waits in accept() waiting.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in ending:
            _hang_up(client)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                if not self._closed:
                    log.warning("forward=%d accept=%s", self.port, error)
                    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED):
                        continue
                return
            with self._lock:
                if self._closed:
                    client.close()
                    return
                self._open.add(client)
            threading.Thread(target=self._carry, args=(client,), name=f"forward {self.port} in", daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        try:
            stream = self._dial()
        except DevpodError as error:
            self.problem = error.message
            log.info("forward=%d refused=%s", self.port, error.message)
            self._forget(client)
            return
        self.problem = None
        back = threading.Thread(target=_pour_back, args=(stream, client), name=f"forward {self.port} out", daemon=True)
        back.start()
        _pour_in(client, stream)
        back.join()
        stream.close()
        self._forget(client)

    def _forget(self, client: socket.socket) -> None:
        with self._lock:
            self._open.discard(client)
        client.close()


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "nt":
            # There, SO_REUSEADDR would let another program take the port over.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)  # type: ignore[attr-defined]
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PortTaken(
            f"Port {port} of this machine cannot be listened on: {why}.",
            hint=f"choose another one, as in {port}:{port + 1000 if port < 64000 else port - 1000}.",
        ) from error
    return listener


def _pour_in(client: socket.socket, stream: Stream) -> None:
    try:
        while data := client.recv(_PIECE_BYTES):
            stream.sendall(data)
        stream.shutdown_write()
    except (OSError, EOFError) as error:
        log.debug("forward=in-ended reason=%s", error)
        # Half of a conversation is none: the other direction ends with this one.
        stream.close()


def _pour_back(stream: Stream, client: socket.socket) -> None:
    try:
        while data := stream.recv(_PIECE_BYTES):
            client.sendall(data)
        client.shutdown(socket.SHUT_WR)
    except (OSError, EOFError) as error:
        log.debug("forward=out-ended reason=%s", error)
        _hang_up(client)


def _hang_up(client: socket.socket) -> None:
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
