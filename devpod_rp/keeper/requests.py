"""Where requests wait for the loop: each one is answered, whatever becomes of the keeper."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from devpod_rp.errors import DevpodError, UnreachableError


@dataclass(frozen=True, eq=False)
class Request:
    """An operation for the loop to carry out, and the promise of its result."""

    op: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    answer: Future[dict[str, Any]] = field(default_factory=Future)

    def refuse(self, error: DevpodError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def fulfil(self, result: dict[str, Any]) -> None:
        if not self.answer.done():
            self.answer.set_result(result)


class Desk:
    """Takes requests from any thread and *put*s them before the loop."""

    def __init__(self, put: Callable[[Request], None]) -> None:
        self._put = put
        self._lock = threading.Lock()
        self._open: set[Request] | None = set()

    def hand_in(self, op: str, fields: Mapping[str, Any]) -> Request:
        """Put *op* before the loop.

        Raises:
            UnreachableError: the keeper is ending.
        """
        request = Request(op, fields)
        with self._lock:
            if self._open is None:
                raise _ended()
            self._open.add(request)
            self._put(request)
        return request

    def result_of(self, request: Request) -> dict[str, Any]:
        """Wait for the answer.

        Raises:
            DevpodError: what stood in the way; UnreachableError if the keeper ends before it answers.
        """
        try:
            return request.answer.result()
        finally:
            with self._lock:
                if self._open is not None:
                    self._open.discard(request)

    def close(self) -> None:
        """Refuse what is still open and everything that comes later."""
        with self._lock:
            waiting, self._open = self._open or set(), None
        for request in waiting:
            request.refuse(_ended())


def _ended() -> UnreachableError:
    return UnreachableError("The keeper was told to end.", hint="devpod-rp up starts it again.")
