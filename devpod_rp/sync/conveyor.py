"""Work that is prepared in threads, sent in order, and answered while the next is on its way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

from devpod_rp.errors import DevpodError

_PREPARED = 4
_WORKERS = 2

Ready = TypeVar("Ready")
Answer = TypeVar("Answer")


class Conveyor(Generic[Ready, Answer]):
    """*send* puts what was prepared on the wire and returns a way to wait for the answer, which goes to *take*.

    Both are called in the caller's thread, in the order in which the work was put; at most *under_way* answers are
    waited for at a time. Leaving the block waits for all of them, once *sent* was told that the last is on its way; an
    error ends it.
    """

    def __init__(
        self,
        send: Callable[[Ready], Callable[[], Answer]],
        take: Callable[[Answer], None],
        under_way: int,
        sent: Callable[[], None] = lambda: None,
    ) -> None:
        self._send = send
        self._take = take
        self._under_way = under_way
        self._sent = sent
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="devpod-rp-upload")
        self._prepared: deque[Future[Ready]] = deque()
        self._asked: deque[Callable[[], Answer]] = deque()

    def put(self, prepare: Callable[..., Ready], *arguments: Any) -> None:
        self._prepared.append(self._pool.submit(prepare, *arguments))
        while len(self._prepared) > _PREPARED:
            self._send_next()

    def _send_next(self) -> None:
        self._asked.append(self._send(self._prepared.popleft().result()))
        while len(self._asked) > self._under_way:
            self._take(self._asked.popleft()())

    def __enter__(self) -> Conveyor[Ready, Answer]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._pool:
            if kind is not None:
                for future in self._prepared:
                    future.cancel()
                if issubclass(kind, Exception):
                    self._drop_answers()
                return
            while self._prepared:
                self._send_next()
            self._sent()
            while self._asked:
                self._take(self._asked.popleft()())

    def _drop_answers(self) -> None:
        """What is still under way is carried out all the same; nobody is told, so the next cycle finds it."""
        for answer in self._asked:
            with suppress(DevpodError):
                answer()
