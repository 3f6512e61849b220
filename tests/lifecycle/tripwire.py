"""A relay before the cloud that ends the asking process at a chosen request: before it gets through, or after it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@dataclass(frozen=True)
class Wire:
    """At the *number*-th request (from 1) of *method* to *path*, *sent* on to the cloud or not, send *sign*."""

    number: int
    sent: bool
    sign: signal.Signals
    method: str | None = None
    path: str | None = None

    def __str__(self) -> str:
        what = f"{self.method} {self.path}" if self.method else "request"
        return f"{self.sign.name} {'after' if self.sent else 'before'} {what} {self.number}"


class Relay(ThreadingHTTPServer):
    """Passes requests on to *upstream*; trips its wires one after the other, each once, on *victim*."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.wires: list[Wire] = []
        self.victim: subprocess.Popen[str] | None = None
        self._count = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, name="relay")
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def arm(self, *wires: Wire) -> None:
        with self._lock:
            self.wires, self._count = list(wires), 0

    def tripped(self, method: str, path: str) -> Wire | None:
        with self._lock:
            wire = self.wires[0] if self.wires else None
            if wire is None or wire.method not in (None, method) or wire.path not in (None, path):
                return None
            self._count += 1
            if self._count != wire.number:
                return None
            self.wires, self._count = self.wires[1:], 0
            return wire

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(10)
        assert not self._thread.is_alive()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Relay

    def _pass_on(self) -> None:
        wire = self.server.tripped(self.command, self.path.partition("?")[0])
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if wire and not wire.sent:
            self._strike(wire)
            return
        headers = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
        with httpx.Client(trust_env=False, timeout=60) as upstream:
            answer = upstream.request(self.command, self.server.upstream + self.path, headers=headers, content=body)
        if wire:
            self._strike(wire)
            return
        with contextlib.suppress(ConnectionError):  # who was struck does not listen any more
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    def _strike(self, wire: Wire) -> None:
        """The connection stays open until the process is gone: it was struck, and not merely hung up on."""
        assert self.server.victim is not None
        self.server.victim.send_signal(wire.sign)
        self.server.victim.wait(120)
        self.close_connection = True

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _pass_on  # noqa: N815 - the names are http.server's

    def log_message(self, format: str, *args: object) -> None:
        """Not on the test's stderr."""
