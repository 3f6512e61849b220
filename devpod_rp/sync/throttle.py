"""A limit on what the synchronisation sends and fetches, so that a call or a colleague keeps the rest of the line."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


class Throttle:
    """Paces transfers to *bytes_per_second* on average over a few seconds; None: as fast as it goes.

    One throttle may serve several threads. Nothing is saved up while idle: a burst is one request.
    """

    def __init__(
        self,
        bytes_per_second: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = bytes_per_second or math.inf
        self._clock = clock
        self._sleep = sleep
        self._free_at = -math.inf
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Return when *count* bytes may go."""
        with self._lock:
            now = self._clock()
            wait = self._free_at - now
            self._free_at = max(self._free_at, now) + count / self._rate
        if wait > 0:
            self._sleep(wait)

    def portion(self, most: int) -> int:
        """How much to ask for at once: what takes about a second, at least 64 KiB and at most *most* bytes."""
        return int(min(most, max(self._rate, 64 << 10)))
