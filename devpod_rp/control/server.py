"""The keeper's end of the socket."""

from __future__ import annotations

import hmac
import json
import logging
import os
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devpod_rp import __version__
from devpod_rp.control.endpoint import forget_endpoint, listen, write_endpoint
from devpod_rp.errors import DevpodError, UsageError

log = logging.getLogger(__name__)

Handler = Callable[[str, dict[str, Any]], dict[str, Any]]
"""(operation, fields) -> result; a DevpodError becomes the answer's error. Called from one thread per request."""

_LONGEST_REQUEST = 1 << 20
_REQUEST_SECONDS = 10.0


class ControlServer:
    """Answers requests for environment *name* from construction on until :meth:`close`.

    The constructor returns when the endpoint is written: whoever finds it is answered. ``ping`` is answered here, so
    that it tells whether the process lives whatever *handler* is busy with. The caller holds the keeper's lock.
    """

    def __init__(self, name: str, handler: Handler) -> None:
        self._name = name
        self._handler = handler
        self._listener, self._endpoint = listen(name)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._conversations: set[threading.Thread] = set()
        self._thread = threading.Thread(target=self._accept, name="devpod-rp-control")
        self._thread.start()
        write_endpoint(name, self._endpoint)

    def close(self) -> None:
        """Take no more requests, and return when those under way are answered."""
        forget_endpoint(self._name, self._endpoint)
        self._wake_writer.send(b"x")
        self._thread.join()
        for conversation in tuple(self._conversations):
            conversation.join()
        for each in (self._listener, self._wake_reader, self._wake_writer):
            each.close()
        if self._endpoint.path is not None:
            Path(self._endpoint.path).unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            readable, _, _ = select.select([self._listener, self._wake_reader], [], [])
            if self._wake_reader in readable:
                return
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                # The caller was gone before we took it, or descriptors ran out; the next one is a new chance.
                log.warning("control=accept-failed error=%s", error)
                continue
            conversation = threading.Thread(target=self._converse, args=(connection,), name="devpod-rp-answer")
            self._conversations = {each for each in self._conversations if each.is_alive()} | {conversation}
            conversation.start()

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.settimeout(_REQUEST_SECONDS)
                line = _read_request(connection)
                if not line:
                    return
                answer = self._answer(line)
                connection.settimeout(_REQUEST_SECONDS)
                connection.sendall(json.dumps(answer).encode("utf-8") + b"\n")
            except OSError as error:
                # A caller that gave up waiting; what it asked for was done all the same.
                log.info("control=caller-gone error=%s", error)

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            op, fields = self._understood(line)
            if op == "ping":
                return {"result": {"pid": os.getpid(), "version": __version__}}
            return {"result": self._handler(op, fields)}
        except DevpodError as error:
            return error.as_json()
        except Exception as error:  # the boundary of a request: the caller gets one line, the log the traceback
            log.exception("control=failed")
            return DevpodError(f"{type(error).__name__}: {error}", hint="the keeper's log has the details.").as_json()

    def _understood(self, line: bytes) -> tuple[str, dict[str, Any]]:
        try:
            request = json.loads(line)
            op, token, fields = request["op"], request["token"], request["fields"]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"not a request: {error!r}") from error
        if not isinstance(op, str) or not isinstance(token, str) or not isinstance(fields, dict):
            raise UsageError("not a request")
        if not hmac.compare_digest(token.encode("utf-8"), self._endpoint.token.encode("utf-8")):
            raise UsageError("the token is not this keeper's")
        return op, fields


def _read_request(connection: socket.socket) -> bytes:
    """One line; nothing if the caller left, or if it sends more than any request is."""
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = connection.recv(65536)
        if not chunk or len(received) > _LONGEST_REQUEST:
            return b""
        received += chunk
    return bytes(received)
