"""When what was heard of is worth looking at: complete files at once, files being written and deletions a moment later.

Editors write into a file in several steps, or delete it and make it anew; who looks in between sees an empty file or
none. Pure: time comes in as a number.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, NamedTuple, Optional

from devpod_rp.agent.files.inotify import COMPLETE, GONE, LOST, Sign


class Pace(NamedTuple):
    """Seconds to wait after the last sign of a path: *complete*, *open* (being written) and *gone*.

    A path that never rests is told all the same when it is *longest* old. Between two batches lie *between* seconds, so
    that a burst comes in few of them.
    """

    complete: float = 0.005
    open: float = 0.05
    gone: float = 0.1
    longest: float = 0.2
    between: float = 0.02

    def after(self, what: str) -> float:
        return self.complete if what == COMPLETE else self.gone if what == GONE else self.open


class Told(NamedTuple):
    """Paths that are due, and whether only a look at everything helps."""

    paths: FrozenSet[str]
    full: bool


class _Waiting(NamedTuple):
    first: float
    last: float
    due: float


class Settling:
    """Collects signs and says which paths are due."""

    def __init__(self, pace: Optional[Pace] = None) -> None:
        self._pace = pace or Pace()
        self._waiting: Dict[str, _Waiting] = {}
        self._full = False
        self._not_before = 0.0

    def hear(self, sign: Sign, now: float) -> None:
        if sign.what == LOST:
            self._full = True
            return
        first = self._waiting[sign.path].first if sign.path in self._waiting else now
        due = min(now + self._pace.after(sign.what), first + self._pace.longest)
        self._waiting[sign.path] = _Waiting(first, now, due)

    def condense(self, most: int) -> None:
        """Forget single paths when more than *most* wait: only a look at everything helps then."""
        if len(self._waiting) > most:
            self._waiting.clear()
            self._full = True

    def forget(self, before: float) -> None:
        """Drop what was not heard of again since *before*."""
        self._waiting = {path: each for path, each in self._waiting.items() if each.last >= before}

    def next_due(self) -> Optional[float]:
        """When something is due next; None while nothing waits."""
        if self._full:
            return 0.0
        due = min((each.due for each in self._waiting.values()), default=None)
        return None if due is None else max(due, self._not_before)

    def oldest(self) -> Optional[float]:
        """When the oldest of what waits was heard of."""
        return min((each.first for each in self._waiting.values()), default=None)

    def take(self, now: Optional[float]) -> Told:
        """What is due at *now*, or everything that waits (None).

        A complete file joins a batch that goes anyway, instead of waiting for one of its own.
        """
        if now is None:
            due = frozenset(self._waiting)
        elif now < self._not_before:
            due = frozenset()
        else:
            soon = now + self._pace.complete
            first = min((each.due for each in self._waiting.values()), default=soon + 1)
            due = frozenset(path for path, each in self._waiting.items() if first <= now and each.due <= soon)
        for path in due:
            del self._waiting[path]
        if due and now is not None:
            self._not_before = now + self._pace.between
        full, self._full = self._full, False
        return Told(due, full)
