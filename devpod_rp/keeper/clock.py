"""Time, as the keeper needs it; tests bring their own."""

from __future__ import annotations

import queue
import time
from typing import Protocol, TypeVar

Message = TypeVar("Message")


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that never go back; on most systems they stand still while the machine sleeps."""

    def wall(self) -> float:
        """Seconds since the epoch."""

    def next_message(self, inbox: queue.SimpleQueue[Message], seconds: float) -> Message | None:
        """The next message, or None after *seconds* without one."""


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def next_message(self, inbox: queue.SimpleQueue[Message], seconds: float) -> Message | None:
        try:
            return inbox.get(timeout=seconds)
        except queue.Empty:
            return None


class Drift:
    """Notices that the machine slept: the wall clock went on while the monotonic one stood still.

    Where both go on (Windows), the long gap between two looks tells the same.
    """

    def __init__(self, clock: Clock, threshold_seconds: float) -> None:
        self._clock = clock
        self._threshold_seconds = threshold_seconds
        self.mark()

    def mark(self) -> None:
        """Start a new comparison, after a stretch of work of unknown length."""
        self._monotonic, self._wall = self._clock.monotonic(), self._clock.wall()

    def slept(self) -> bool:
        """Whether the clocks parted since the last look. A clock set by hand counts too: that check is cheap."""
        monotonic, wall = self._clock.monotonic(), self._clock.wall()
        passed = monotonic - self._monotonic
        parted = abs(wall - self._wall - passed)
        self._monotonic, self._wall = monotonic, wall
        return max(parted, passed) > self._threshold_seconds
