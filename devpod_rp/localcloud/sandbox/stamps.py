"""A container's log: what the pod printed, line by line, each with its time."""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

_LONGEST_LINE = 16 * 1024  # as Docker's json-file driver: longer lines are cut into pieces
_CHUNK = 64 * 1024


class LogFile:
    """Appends stamped lines to a file; what has no line end yet waits for it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._pending = b""
        self._finish_torn_line(path)

    def __enter__(self) -> LogFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pending:
            self._write(self._pending)
        os.close(self._descriptor)

    def take_from(self, source: int) -> bool:
        """Log what the non-blocking descriptor *source* holds now; False once it has ended."""
        while True:
            try:
                data = os.read(source, _CHUNK)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.add(data)
            if len(data) < _CHUNK:
                return True

    def add(self, data: bytes) -> None:
        *lines, self._pending = (self._pending + data).split(b"\n")
        while len(self._pending) >= _LONGEST_LINE:
            lines.append(self._pending[:_LONGEST_LINE])
            self._pending = self._pending[_LONGEST_LINE:]
        if lines:
            self._write(*lines)

    def _write(self, *lines: bytes) -> None:
        now = stamp(time.time_ns()).encode("ascii")
        text = b"".join(b"%b %b\n" % (now, line.rstrip(b"\r")) for line in lines)
        while text:
            text = text[os.write(self._descriptor, text) :]

    def _finish_torn_line(self, path: Path) -> None:
        # A supervisor that was killed may have left half a line; the next one must not continue it.
        with path.open("rb") as stream:
            if stream.seek(0, os.SEEK_END) and (stream.seek(-1, os.SEEK_END), stream.read(1))[1] != b"\n":
                os.write(self._descriptor, b"\n")


def stamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nanoseconds, as Docker writes it."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
