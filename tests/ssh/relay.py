"""A TCP relay that stands for the network between here and a pod: it can be cut, or swallow everything."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

from devpod_rp.ssh.address import Address


class Relay:
    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._cut_after_bytes: int | None = None
        self._passed_bytes = 0
        self._lock = threading.Lock()

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self._listener.getsockname()[1])

    def cut(self) -> None:
        """Reset every connection, as a pod that disappears does."""
        with self._lock:
            for pair in self._pairs:
                for end in pair:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)

    def cut_after(self, count: int) -> None:
        """Cut once *count* more bytes have passed, in either direction."""
        with self._lock:
            self._cut_after_bytes = self._passed_bytes + count

    def freeze(self) -> None:
        """Keep every connection open and pass nothing on: a half-open connection, as far as its ends can tell."""
        self._flowing.clear()

    def __enter__(self) -> Relay:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._flowing.set()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for pair in self._pairs:
            for end in pair:
                end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target_port))
            with self._lock:
                self._pairs.append((near, far))
            self._spawn(self._pass, near, far)
            self._spawn(self._pass, far, near)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._flowing.wait()
                sink.sendall(data)
                with self._lock:
                    self._passed_bytes += len(data)
                    due = self._cut_after_bytes is not None and self._passed_bytes >= self._cut_after_bytes
                if due:
                    self.cut()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def _spawn(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="relay", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()
