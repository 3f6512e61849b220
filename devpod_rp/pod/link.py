"""A conversation with the agent in a pod: start it over one SSH channel, ask, get answers, notice when it is gone."""

from __future__ import annotations

import itertools
import logging
import queue
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

from devpod_rp.agent.operations import SOURCES, needs_all_rooms
from devpod_rp.agent.wire import Frame, WireError, read_frame, write_frame
from devpod_rp.errors import DevpodError, UnreachableError
from devpod_rp.pod import bootstrap
from devpod_rp.pod.answers import Hello, check_answer, checked_hello
from devpod_rp.pod.channel import Channel, Connection, Signs, WatchedInput, WatchedOutput
from devpod_rp.pod.errors import AgentRefused, AgentStartFailed, LinkLost

__all__ = ["AgentLink", "AgentRefused", "AgentStartFailed", "Answer", "Channel", "Connection", "Hello", "LinkLost"]

log = logging.getLogger(__name__)

_START_SECONDS = 30.0
_JOIN_SECONDS = 5.0
_NOISE_LINE_BYTES = 64 << 10
_NOISE_BYTES = 4 << 20
_LAST_WORDS_BYTES = 256 << 10
_LOGGED_CHARACTERS = 2000


class Answer:
    """The answer to one request, to be called once: waits for its last frame."""

    def __init__(self, frames: Iterator[Frame], waiter: _Waiter) -> None:
        self._frames = frames
        self._waiter = waiter

    @property
    def has_come(self) -> bool:
        """Whether there is something of it, or the link has ended: an answer of one frame need not be waited for."""
        return not self._waiter.empty()

    def __call__(self) -> Frame:
        for frame in self._frames:
            last = frame
        return last


class AgentLink:
    """The agent in one pod. Any thread may use it; requests of all threads are carried out one at a time, in order."""

    hello: Hello

    @classmethod
    def open(cls, connection: Connection, *, timeout: float = _START_SECONDS) -> AgentLink:
        """Start the agent over *connection*, which belongs to the link from now on and is closed with it.

        Raises:
            AgentStartFailed: no Python, or it did not answer within *timeout* seconds; the connection is closed.
            UnreachableError: the connection is lost.
        """
        nonce = secrets.token_hex(8)
        payload = bootstrap.payload(nonce)
        try:
            channel = connection.channel(bootstrap.command(len(payload)))
        except BaseException:
            connection.close()
            raise
        link = cls(connection, channel, bootstrap.greeting(nonce))
        try:
            link._start(payload, timeout)
        except BaseException:
            link.close()
            raise
        return link

    def __init__(self, connection: Connection, channel: Channel, greeting: bytes) -> None:
        self._connection = connection
        self._channel = channel
        self._greeting = greeting
        self._signs = Signs()
        self._input = WatchedInput(channel.stdin, self._signs)
        self._output = WatchedOutput(channel.stdout, self._signs)
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()
        self._state = threading.Lock()  # between enlisting and the end: no waiter is forgotten
        self._waiters: dict[int, _Waiter] = {}
        self._newest = 0
        self._has_all_rooms = False
        self._end: UnreachableError | None = None
        self._greeted = False
        self._noise = bytearray()
        self._reader = threading.Thread(target=self._read, name="agent-link-reader", daemon=True)

    @property
    def noise(self) -> str:
        """What the shell's start files printed before the agent began; known once the first answer is there."""
        return self._noise.decode("utf-8", "replace").strip()

    # Asking.

    def call(self, op: str, body: bytes = b"", **fields: Any) -> Frame:
        """Carry out *op* and return the last frame of the answer.

        Raises:
            AgentRefused: the agent says no.
            LinkLost: the connection or the agent died.
        """
        return self.ask(op, body, **fields)()

    def ask(self, op: str, body: bytes = b"", **fields: Any) -> Answer:
        """Send *op* now. Requests are carried out in the order in which they were sent, standing operations beside
        them. Raises as `call`, as does the answer."""
        number, waiter = self._request(op, body, fields)
        return Answer(self._frames(number, waiter), waiter)

    def stream(self, op: str, body: bytes = b"", **fields: Any) -> Iterator[Frame]:
        """Carry out *op* (sent at the first ``next``) and yield the frames of the answer as they come; at least one.

        Frames that came but were not yet taken wait in memory: ask for large content in slices. Leaving early drops
        the rest of the answer, but does not stop the work. Raises as `call`.
        """
        yield from self._frames(*self._request(op, body, fields))

    def _request(self, op: str, body: bytes, fields: dict[str, Any]) -> tuple[int, _Waiter]:
        number, waiter = self._enlist()
        try:
            self._send(Frame({**fields, "id": number, "op": op}, body))
        except BaseException:
            self._waiters.pop(number, None)
            raise
        return number, waiter

    def _frames(self, number: int, waiter: _Waiter) -> Iterator[Frame]:
        try:
            more = True
            while more:
                frame = waiter.get()
                if frame is None:
                    raise self._lost()
                if not frame.header["ok"]:
                    raise AgentRefused(frame.header["code"], frame.header["message"])
                more = frame.header["more"]
                yield frame
        finally:
            # Without the lock, which the thread that collects an abandoned generator may hold; pop is atomic.
            self._waiters.pop(number, None)

    def ping(self, timeout: float = 15.0) -> float:
        """Seconds that the agent took to answer, also while it works on a request.

        A link that moves bytes is alive however long its answer takes on a slow line: only *timeout* seconds without
        any sign of life break it.

        Raises:
            LinkLost: it is dead; everybody who waits on it is told so.
        """
        began = time.monotonic()
        while not self._sending.acquire(timeout=self._patience(began, timeout)):
            self._demand_sign(began, timeout)
        try:
            number, waiter = self._enlist()
            self._write(Frame({"id": number, "op": "ping"}))
        finally:
            self._sending.release()
        while True:
            try:
                frame = waiter.get(timeout=self._patience(began, timeout))
            except queue.Empty:
                self._demand_sign(began, timeout)
                continue
            self._waiters.pop(number, None)
            if frame is None:
                raise self._lost()
            return time.monotonic() - began

    @property
    def connection(self) -> Connection:
        """What carries the link. It may carry more beside it, and ends with it."""
        return self._connection

    @property
    def alive(self) -> bool:
        """Whether the link stands as far as anybody knows; `ping` finds out."""
        return self._end is None

    def close(self) -> None:
        """End the agent and the connection. Harmless when closed already."""
        self._finish(LinkLost("The link to the pod was closed."))
        self._connection.close()
        if self._reader.ident is not None and self._reader is not threading.current_thread():
            self._reader.join(_JOIN_SECONDS)

    def __enter__(self) -> AgentLink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The start.

    def _start(self, payload: bytes, timeout: float) -> None:
        number, waiter = self._enlist()
        self._reader.start()
        late = AgentStartFailed(
            f"The agent did not start in the pod within {timeout:g} s.",
            hint="devpod-rp ssh shows whether a shell there reacts; its start files may be waiting for something.",
        )
        # A shell that reads nothing blocks already the sending, so the time runs from before it.
        patience = threading.Timer(timeout, self._finish, [late])
        patience.daemon = True
        patience.start()
        try:
            with self._sending:
                # The first request travels with the sources: the start costs one round trip, not two.
                self._write(Frame({"id": number, "op": "system.hello"}), before=payload)
            frame = waiter.get()
        finally:
            patience.cancel()
        if frame is None:
            raise self._lost()
        if not frame.header["ok"]:
            raise AgentStartFailed(f"The agent could not say hello: {frame.header['message']}")
        self.hello = checked_hello(frame.header)
        log.debug(
            "event=agent-started pid=%d python=%s host=%r", self.hello.pid, self.hello.python, self.hello.hostname
        )

    # Sending, in any thread.

    def _enlist(self) -> tuple[int, _Waiter]:
        waiter: _Waiter = queue.SimpleQueue()
        with self._state:
            if self._end is not None:
                raise self._lost()
            self._newest = number = next(self._numbers)
            self._waiters[number] = waiter
        return number, waiter

    def _send(self, frame: Frame) -> None:
        with self._sending:
            if not self._has_all_rooms and needs_all_rooms(frame.header["op"]):
                self._write(Frame({"op": SOURCES}, bootstrap.other_rooms()))
                self._has_all_rooms = True
            self._write(frame)

    def _write(self, frame: Frame, before: bytes = b"") -> None:
        whole = False
        try:
            if before:
                self._input.write(before)
            write_frame(self._input, frame)
            whole = True
        except WireError:
            whole = True  # beyond the limits: nothing was written, and the caller's mistake is told to the caller
            raise
        except (OSError, ValueError, DevpodError) as error:
            # The reader knows better why: it sees the end of the agent, and its last words.
            self._reader.join(1.0)
            self._finish(LinkLost(f"The link to the pod broke while a request was sent: {_reason(error)}"))
            raise self._lost() from error
        finally:
            if not whole:
                # Half a frame went out (Ctrl-C comes here): nothing that follows could be understood.
                self._finish(LinkLost("The link to the pod was given up in the middle of a request."))

    def _patience(self, began: float, timeout: float) -> float:
        return max(0.0, max(began, self._signs.newest) + timeout - time.monotonic())

    def _demand_sign(self, began: float, timeout: float) -> None:
        if self._patience(began, timeout) <= 0:
            self._finish(LinkLost(f"The agent in the pod gave no sign of life for {timeout:g} s."))
            raise self._lost()

    # Receiving, in the reader's thread.

    def _read(self) -> None:
        try:
            self._await_greeting()
            while (frame := read_frame(self._output)) is not None:
                self._deliver(frame)
        except WireError as error:
            self._finish(LinkLost(f"What came from the pod is not the agent's protocol: {error}"))
        except (OSError, ValueError, DevpodError) as error:
            self._finish(LinkLost(f"The link to the pod broke: {_reason(error)}"))
        else:
            self._finish(self._obituary())

    def _await_greeting(self) -> None:
        """Skip what the pod's shell start files print; the agent's greeting begins a line of its own."""
        wanted = self._greeting.lstrip(b"\n")
        while line := self._output.readline(_NOISE_LINE_BYTES):
            if line == wanted:
                self._greeted = True
                return
            self._noise += line
            if len(self._noise) > _NOISE_BYTES:
                raise WireError("the shell prints without end before the agent starts")

    def _deliver(self, frame: Frame) -> None:
        header = frame.header
        number = header.get("id")
        check_answer(header)
        with self._state:
            waiter = self._waiters.get(number) if isinstance(number, int) else None
            asked = isinstance(number, int) and 0 < number <= self._newest
        if waiter is not None:
            waiter.put(frame)
        elif not asked:
            raise WireError(f"an answer to request {number!r}, which nobody made")

    def _obituary(self) -> UnreachableError:
        words = self._last_words()
        if self._greeted:
            return LinkLost(f"The agent in the pod ended{': ' + words if words else '.'}")
        if bootstrap.NO_PYTHON in words:
            return AgentStartFailed(
                "The pod has no Python 3.8 or newer, which the agent needs.",
                hint="choose an image with Python, or install it there: apt-get update && apt-get install -y python3",
            )
        return AgentStartFailed(f"The agent did not start in the pod: {words or 'its shell ended without a word.'}")

    def _last_words(self) -> str:
        if self._end is not None:
            return ""  # we closed it ourselves
        self._channel.close()
        text = self._channel.stderr.read(_LAST_WORDS_BYTES).decode("utf-8", "replace").strip()
        if text:
            log.debug("event=agent-stderr text=%r", text[-_LOGGED_CHARACTERS:])
        return text.rpartition("\n")[2] if bootstrap.NO_PYTHON not in text else bootstrap.NO_PYTHON

    # The end.

    def _finish(self, end: UnreachableError) -> None:
        with self._state:
            if self._end is not None:
                return
            self._end = end
            waiters = list(self._waiters.values())
        log.debug("event=agent-link-ended reason=%r", end.message)
        for waiter in waiters:
            waiter.put(None)
        self._channel.close()

    def _lost(self) -> UnreachableError:
        """The end as an error of its own for each thread that meets it."""
        end = self._end
        if end is None:
            return LinkLost("The link to the pod is gone.")
        return type(end)(end.message, hint=end.hint)


_Waiter = queue.SimpleQueue["Frame | None"]


def _reason(error: BaseException) -> str:
    return error.message if isinstance(error, DevpodError) else " ".join(str(error).split()) or type(error).__name__
