"""The leases that this agent holds: kept fresh while the launcher gives signs of life, given back when the agent ends.

The word is kept on the volume, because two pods may share it; it is as old as the last sign of life of the machine that
gave it.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from contextlib import suppress
from typing import Dict, NamedTuple, Optional

from devpod_rp.agent.files.atomic import write_atomically

EXPIRES_SECONDS = 150.0
_RENEWED_SECONDS = 30.0
_SILENCE_SECONDS = 75.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Word(NamedTuple):
    """What the file says: whose lease, how the user calls that machine, when it was last renewed (Unix seconds)."""

    owner: str
    who: str
    at: float

    def fresh(self) -> bool:
        # Pods that share a volume may have clocks that differ: what seems to come from the future is fresh, too.
        return abs(time.time() - self.at) < EXPIRES_SECONDS


class Leases:
    """Those that the launcher of this agent holds; renewed while it gives signs of life, and given back at the end."""

    def __init__(self) -> None:
        self._held: Dict[str, Word] = {}
        self._turn = threading.Lock()
        self._heard = time.monotonic()
        self._renewing = False

    def heard(self) -> None:
        """The launcher gave a sign of life."""
        self._heard = time.monotonic()

    def claim(self, path: str, mine: Word, take: bool) -> Optional[Word]:
        """Hold the lease at *path*; returns the fresh word of another machine instead, unless told to *take* it."""
        with self._turn:
            found = read(path)
            if found is not None and found.owner != mine.owner and found.fresh() and not take:
                self._held.pop(path, None)
                return found
            self._held[path] = mine
            try:
                _write(path, mine)
            except OSError as error:
                # A full volume must not keep anybody from making room there; the word is written when there is some.
                if error.errno not in _FULL:
                    raise
            if not self._renewing:
                self._renewing = True
                threading.Thread(target=self._renew, name="agent-lease", daemon=True).start()
            return None

    def release(self, path: str) -> None:
        """Give the lease at *path* back, if it is still ours."""
        with self._turn:
            mine, found = self._held.pop(path, None), read(path)
            if mine is not None and found is not None and found.owner == mine.owner:
                with suppress(FileNotFoundError):
                    os.unlink(path)

    def release_all(self) -> None:
        """The agent ends."""
        for path in list(self._held):
            with suppress(OSError):  # the volume may be gone; the word then grows old by itself
                self.release(path)

    def _renew(self) -> None:
        while True:
            time.sleep(_RENEWED_SECONDS)
            if time.monotonic() - self._heard > _SILENCE_SECONDS:
                continue
            with self._turn:
                for path, mine in list(self._held.items()):
                    with suppress(OSError):  # a full or absent volume: the next claim says so
                        self._renew_one(path, mine)

    def _renew_one(self, path: str, mine: Word) -> None:
        found = read(path)
        if found is None or found.owner == mine.owner:
            _write(path, mine)
        else:
            del self._held[path]  # another machine took it; ours learns it when it claims again


LEASES = Leases()


def read(path: str) -> Optional[Word]:
    """What lies at *path*; None where nothing does that makes sense."""
    try:
        with open(path, "rb") as stream:
            found = json.loads(stream.read().decode("ascii"))
        return Word(str(found["owner"]), str(found["who"]), float(found["at"]))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def _write(path: str, word: Word) -> None:
    write_atomically(path, json.dumps(word._replace(at=time.time())._asdict()).encode("ascii"))
