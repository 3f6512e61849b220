"""What was put back on this container disk, and in which state it has been since: noted on the disk, as it is done."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, NamedTuple, Optional

from devpod_rp.agent.files.changes import Stamp

_FILE = "/run/devpod_rp/restored"


class Restored(NamedTuple):
    """*archive* is its directory on the pod; *done*: all of it was gone through; *exact*: the disk is as it was kept.

    *left* is how many names stay in the archive alone, because they belong to another image.

    *stamps* are the states that what was put back got.
    """

    archive: str
    done: bool
    exact: bool
    left: int
    stamps: Dict[str, Stamp]


def load(root: str = "/") -> Optional[Restored]:
    """The note of this container disk; None if nothing was put back on it.

    Raises:
        OSError: it is there and cannot be read.
    """
    archive, done, exact, left = "", False, False, 0
    stamps: Dict[str, Stamp] = {}
    try:
        with open(root.rstrip("/") + _FILE, encoding="ascii") as stream:
            for line in stream:
                try:
                    row = json.loads(line)
                    if isinstance(row, list):
                        stamps[row[0]] = Stamp(*row[1])
                    elif "archive" in row:
                        if row["archive"] != archive:
                            stamps.clear()
                        archive, done, exact, left = row["archive"], False, False, 0
                    else:
                        done, exact, left = True, bool(row["exact"]), int(row["left"])
                except (ValueError, TypeError, KeyError, IndexError):
                    continue  # cut off as it was written: what it said is merely not known
    except FileNotFoundError:
        return None
    return Restored(archive, done, exact, left, stamps)


class Log:
    """The note while it is written, line by line, so that whatever ends the work leaves what was done until then."""

    def __init__(self, archive: str, root: str = "/", *, goes_on: bool = False) -> None:
        """Begin the note of *archive*, or, with *goes_on*, add to the one that is there."""
        path = root.rstrip("/") + _FILE
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        _mend(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._stream = os.fdopen(descriptor, "w", encoding="ascii")
        if not goes_on:
            self._write({"archive": archive})
        self._stream.flush()

    def put_back(self, path: str, stamp: Stamp) -> None:
        self._write([path, list(stamp)])

    def flush(self) -> None:
        self._stream.flush()

    def done(self, *, exact: bool, left: int) -> None:
        self._write({"exact": exact, "left": left})

    def close(self) -> None:
        self._stream.close()

    def _write(self, row: Any) -> None:
        self._stream.write(json.dumps(row, separators=(",", ":")) + "\n")


def _mend(path: str) -> None:
    """End a line that was cut off, or what is written next would be lost with it."""
    try:
        with open(path, "r+b") as stream:
            content = stream.read()
            if content and not content.endswith(b"\n"):
                stream.truncate(content.rfind(b"\n") + 1)
    except FileNotFoundError:
        return
