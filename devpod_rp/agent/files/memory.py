"""What one look found out, for the next look: it holds as long as what it was found out about is in the same state.

A look that repeats itself then reads what changed, and nothing else. Only who looks for information remembers; whoever
decides about a stop reads everything anew.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Callable, Dict, Hashable, Iterator, TypeVar

Answer = TypeVar("Answer")

_of_thread = threading.local()


class Memory:
    """The answers of the last two looks; *found_out* counts those that the present one had to look for."""

    def __init__(self) -> None:
        self._before: Dict[Hashable, Any] = {}
        self._now: Dict[Hashable, Any] = {}
        self.found_out = 0

    def begin(self) -> None:
        self._before, self._now, self.found_out = self._now, {}, 0

    def recall(self, key: Hashable, find: Callable[[], Answer]) -> Answer:
        for known in (self._now, self._before):
            if key in known:
                self._now[key] = known[key]
                return self._now[key]  # type: ignore[no-any-return]
        self.found_out += 1
        self._now[key] = found = find()
        return found


@contextmanager
def remembering(memory: Memory) -> Iterator[None]:
    """One look of this thread, which remembers the one before."""
    memory.begin()
    _of_thread.memory = memory
    try:
        yield
    finally:
        _of_thread.memory = None


def recall(key: Hashable, find: Callable[[], Answer]) -> Answer:
    """What *find* gives, or gave in an earlier look for the same *key*, which names the state that it looks at.

    What *find* raises is raised, and not remembered. Without a look that remembers, it is asked each time.
    """
    memory = getattr(_of_thread, "memory", None)
    return find() if memory is None else memory.recall(key, find)
