"""Servers on this machine's loopback that stand for what runs on a pod."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets, and ends a conversation when its client does."""
    with listener() as server:
        threading.Thread(target=_accept, args=(server,), name="echo", daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)


@contextmanager
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def said_back(port: int, data: bytes, seconds: float = 30.0) -> bytes:
    """What the server behind *port* answers to *data*."""
    with socket.create_connection(("127.0.0.1", port), seconds) as client:
        sending = threading.Thread(target=_send, args=(client, data), daemon=True)
        sending.start()
        received = bytearray()
        while piece := client.recv(1 << 16):
            received += piece
        sending.join(seconds)
        return bytes(received)


def _send(client: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # hung up on: what was received tells
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)


def _accept(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return  # the server was closed
        threading.Thread(target=_echo, args=(client,), name="echo-one", daemon=True).start()


def _echo(client: socket.socket) -> None:
    with client:
        try:
            while data := client.recv(1 << 16):
                client.sendall(data)
        except OSError:
            return  # the client left
