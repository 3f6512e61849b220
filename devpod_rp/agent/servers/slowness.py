"""Whether a volume is fit to run an editor's server from: thousands of small files, and locks."""

from __future__ import annotations

import fcntl
import os
import shutil
import statistics
import threading
import time
from typing import Callable, List

_FILES, _BYTES = 64, 4096
_SLOW_SECONDS = 0.003  # for one file: a server would take five seconds and more


def slowness(
    volume: str,
    lock: Callable[[int, int], None] = fcntl.flock,
    clock: Callable[[], float] = time.monotonic,
    patience_seconds: float = 5.0,
) -> str:
    """Why servers should not run from *volume*; empty if they may."""
    found: List[str] = []

    def measure() -> None:
        try:
            found.append(_measured(os.path.join(volume, ".devpod", "measuring"), lock, clock))
        except OSError as error:
            found.append("it takes no small files now ({0})".format(error.strerror))

    # Locks of a network file system have been seen to wait for ever; the thread ends with the agent.
    thread = threading.Thread(target=measure, name="measure", daemon=True)
    thread.start()
    thread.join(patience_seconds)
    return found[0] if found else "it does not answer within {0:.0f} s".format(patience_seconds)


def _measured(folder: str, lock: Callable[[int, int], None], clock: Callable[[], float]) -> str:
    os.makedirs(folder, mode=0o700, exist_ok=True)
    try:
        with open(os.path.join(folder, "lock"), "wb") as stream:
            try:
                lock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                return "it has no working locks ({0})".format(error.strerror)
        taken = []
        for number in range(_FILES):
            began = clock()
            path = os.path.join(folder, str(number))
            with open(path, "wb") as stream:
                stream.write(b"x" * _BYTES)
            with open(path, "rb") as stream:
                stream.read()
            taken.append(clock() - began)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    each = statistics.median(taken)  # a busy machine is slow now and then
    return "a small file takes {0:.0f} ms".format(1000 * each) if each > _SLOW_SECONDS else ""
