"""What the link needs of an SSH connection, and streams that remember when they last moved bytes."""

from __future__ import annotations

import time
from typing import Protocol

from devpod_rp.agent.wire import Readable, Writable
from devpod_rp.ssh.forward import Stream


class LineReadable(Readable, Protocol):
    def readline(self, size: int, /) -> bytes: ...


class Channel(Protocol):
    """A running command's streams; `devpod_rp.ssh.connection.ExecChannel` is one. Reads block until all is there."""

    @property
    def stdin(self) -> Writable: ...
    @property
    def stdout(self) -> LineReadable: ...
    @property
    def stderr(self) -> Readable: ...
    def close(self) -> None: ...


class Done(Protocol):
    """A command that ended."""

    @property
    def exit_code(self) -> int: ...
    @property
    def stdout(self) -> bytes: ...
    @property
    def stderr(self) -> bytes: ...


class Connection(Protocol):
    """What can start commands and reach ports; `devpod_rp.ssh.connection.Connection` is one."""

    def channel(self, command: str, /) -> Channel: ...
    def run(self, command: str, /, *, input: bytes = ..., timeout: float | None = ...) -> Done: ...
    def dial(self, port: int, /) -> Stream: ...
    def close(self) -> None: ...


class Signs:
    """When the link last moved bytes, in either direction."""

    newest = 0.0


class WatchedInput:
    def __init__(self, stream: Writable, signs: Signs) -> None:
        self._stream = stream
        self._signs = signs

    def write(self, data: bytes | memoryview, /) -> int:
        written = self._stream.write(data)
        self._signs.newest = time.monotonic()
        return written

    def flush(self) -> None:
        self._stream.flush()


class WatchedOutput:
    def __init__(self, stream: LineReadable, signs: Signs) -> None:
        self._stream = stream
        self._signs = signs

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._signs.newest = time.monotonic()
        return data

    def readline(self, size: int, /) -> bytes:
        return self._stream.readline(size)
