"""Where news waits for the loop, whatever thread it comes from."""

from __future__ import annotations

import itertools
import queue
from typing import Any

from devpod_rp.keeper.clock import Clock
from devpod_rp.sync.watch import Batch

_SETTLING_BATCHES = 20


class Inbox:
    """Any thread may :meth:`put` a message; the rest is the loop's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._later: list[Any] = []

    def put(self, message: Any) -> None:
        self._queue.put(message)

    @property
    def empty(self) -> bool:
        return not self._later and self._queue.empty()

    def next(self, seconds: float) -> Any:
        """The next message, or None after *seconds* without one."""
        return self._later.pop(0) if self._later else self._clock.next_message(self._queue, seconds)

    def read(self) -> list[Any]:
        """All that came, in order; batches that follow each other are one."""
        messages, self._later = self._later, []
        while not self._queue.empty():
            messages.append(self._queue.get())
        read: list[Any] = []
        for heard, some in itertools.groupby(messages, lambda message: isinstance(message, Batch)):
            # Hundreds of batches come during a long cycle, and what waits already is copied with each.
            several = list(some)
            read += [Batch.joined(several)] if heard else several
        return read

    def settled(self, seconds: float) -> frozenset[str]:
        """The paths heard of until nothing comes for *seconds*; other news is read later."""
        heard: frozenset[str] = frozenset()
        for _ in range(_SETTLING_BATCHES):
            message = self._clock.next_message(self._queue, seconds)
            if message is None:
                break
            if isinstance(message, Batch):
                heard |= message.paths
            else:
                self._later.append(message)
        return heard
