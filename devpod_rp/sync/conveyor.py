"""Work that is prepared in threads, sent in order by another, and answered while the next is on its way."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

from devpod_rp.errors import DevpodError

_WORKERS = 2

Ready = TypeVar("Ready")
Answer = TypeVar("Answer")


class Conveyor(Generic[Ready, Answer]):
    """*send* puts what was prepared on the wire and returns a way to wait for the answer, which goes to *take*.

    *send* is called in a thread of its own, because a wire that is full holds it up, and *take* in the caller's; both
    in the order in which the work was put. At most *under_way* answers are waited for at a time, and of what was put
    at most *unsent* (else as many) was not sent yet, because that takes memory. Leaving the block waits for all of
    them; an error ends it, and nothing is sent any more.
    """

    def __init__(
        self,
        send: Callable[[Ready], Callable[[], Answer]],
        take: Callable[[Answer], None],
        under_way: int,
        unsent: int | None = None,
    ) -> None:
        self._send = send
        self._take = take
        self._under_way = under_way
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="devpod-rp-upload")
        self._wire = ThreadPoolExecutor(1, thread_name_prefix="devpod-rp-send")
        self._room = threading.Semaphore(under_way + 1 if unsent is None else unsent)
        self._stopped = threading.Event()
        self._asked: deque[Future[Callable[[], Answer]]] = deque()

    def put(self, prepare: Callable[..., Ready], *arguments: Any) -> None:
        self._room.acquire()
        self._asked.append(self._wire.submit(self._pass_on, self._pool.submit(prepare, *arguments)))
        while len(self._asked) > self._under_way:
            self._take_next()

    def _pass_on(self, ready: Future[Ready]) -> Callable[[], Answer]:
        try:
            if self._stopped.is_set():
                raise CancelledError
            return self._send(ready.result())
        except BaseException:
            self._stopped.set()
            raise
        finally:
            self._room.release()

    def _take_next(self) -> None:
        self._take(self._asked.popleft().result()())

    def __enter__(self) -> Conveyor[Ready, Answer]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Who interrupts does not wait for a wire that may be stuck: that ends with the connection.
        patient = kind is None or issubclass(kind, Exception)
        try:
            if kind is None:
                while self._asked:
                    self._take_next()
            else:
                self._stopped.set()
                if patient:
                    self._drop_answers()
        except BaseException as error:
            self._stopped.set()
            patient = isinstance(error, Exception)
            raise
        finally:
            self._wire.shutdown(wait=patient, cancel_futures=True)
            self._pool.shutdown(wait=patient, cancel_futures=True)

    def _drop_answers(self) -> None:
        """What is still under way is carried out all the same; nobody is told, so the next cycle finds it."""
        for asked in self._asked:
            with suppress(DevpodError, OSError, CancelledError):
                asked.result()()
