"""Connections to an agent without SSH: a real process on this machine, a service in a thread, or a recorded answer."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from devpod_rp.agent.main import hello, serve
from devpod_rp.agent.wire import Handler
from devpod_rp.pod import bootstrap

_END_SECONDS = 10.0


class LocalChannel:
    """A command in a shell on this machine, with the streams of an exec channel."""

    def __init__(self, command: str, environment: Mapping[str, str], folder: Path | None) -> None:
        self.process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self.stdin, self.stdout, self.stderr = self.process.stdin, self.process.stdout, self.process.stderr

    def signal(self, number: int) -> None:
        """To the command and everything it started in the foreground, as long as it was not waited for."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # another thread has waited for it in this moment
                os.killpg(self.process.pid, number)

    def close(self) -> None:
        self.signal(signal.SIGTERM)

    def end(self) -> None:
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait(_END_SECONDS)


class LocalConnection:
    """Starts commands on this machine; *shell* turns a command into what a login shell would make of it."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        shell: Callable[[str], str] = str,
    ) -> None:
        self._environment = dict(os.environ) if environment is None else environment
        self._folder = folder
        self._shell = shell
        self.channels: list[LocalChannel] = []
        self.closed = False

    def channel(self, command: str) -> LocalChannel:
        channel = LocalChannel(self._shell(command), self._environment, self._folder)
        self.channels.append(channel)
        return channel

    def close(self) -> None:
        self.closed = True
        for channel in self.channels:
            channel.end()


class ThreadConnection:
    """An agent with *operations* of the test's own, served by a thread of this process."""

    def __init__(self, operations: Mapping[str, Handler]) -> None:
        self._operations = {"system.hello": hello, **operations}
        self.ours, theirs = socket.socketpair()
        self._theirs = theirs
        self._source = theirs.makefile("rb")
        self._sink = theirs.makefile("wb")
        self.stdin = self.ours.makefile("wb")
        self.stdout = self.ours.makefile("rb")
        self.stderr: BinaryIO = io.BytesIO()
        self._thread: threading.Thread | None = None

    def channel(self, command: str) -> ThreadConnection:
        size = payload_size(command)
        self._thread = threading.Thread(target=self._run, args=(size,), name="test-agent", daemon=True)
        self._thread.start()
        return self

    def _run(self, size: int) -> None:
        self._sink.write(greeting_in(self._source.read(size)))
        self._sink.flush()
        serve(self._source, self._sink, self._operations, give_up=lambda: None)

    def close(self) -> None:
        try:
            self.ours.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # shut down already
        if self._thread is not None:
            self._thread.join(_END_SECONDS)
            assert not self._thread.is_alive()


class RecordedConnection:
    """An agent whose whole output is given beforehand; it takes every input and remembers nothing."""

    def __init__(self, output: Callable[[bytes], bytes]) -> None:
        self._output = output
        self._size = 0
        self._received = bytearray()
        self._started = threading.Event()
        self.stdin = self
        self.stdout: BinaryIO = io.BufferedReader(cast(io.RawIOBase, _Late(self)))
        self.stderr: BinaryIO = io.BytesIO()

    def channel(self, command: str) -> RecordedConnection:
        self._size = payload_size(command)
        return self

    def write(self, data: bytes | memoryview, /) -> int:
        self._received += data
        if len(self._received) >= self._size:
            self._started.set()
        return len(data)

    def flush(self) -> None:
        pass

    def output(self) -> bytes:
        self._started.wait(_END_SECONDS)
        return self._output(greeting_in(bytes(self._received[: self._size])))

    def close(self) -> None:
        self._started.set()


class _Late(io.RawIOBase):
    """Output that is decided once the first input has come."""

    def __init__(self, connection: RecordedConnection) -> None:
        self._connection = connection
        self._stream: io.BytesIO | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        if self._stream is None:
            self._stream = io.BytesIO(self._connection.output())
        return self._stream.readinto(buffer)


def payload_size(command: str) -> int:
    found = re.search(r"stream\.read\((\d+)\)", command)
    assert found
    return int(found.group(1))


def greeting_in(payload: bytes) -> bytes:
    found = re.search(r"devpod_rp agent ([0-9a-f]{16})", zlib.decompress(payload).decode())
    assert found
    return bootstrap.greeting(found.group(1))
