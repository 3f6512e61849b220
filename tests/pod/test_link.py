"""Asking the agent: from many threads, with large bodies, over links that die anywhere and pods that lie."""

from __future__ import annotations

import json
import os
import shlex
import signal
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from devpod_rp.agent.wire import MAX_BODY_BYTES, Header, Refusal, Request, WireError
from devpod_rp.pod import bootstrap
from devpod_rp.pod.link import AgentLink, AgentRefused, AgentStartFailed, LinkLost
from tests.pod.conftest import Open, Until
from tests.pod.local import LocalConnection, RecordedConnection, ThreadConnection

HELLO: dict[str, Any] = {
    "id": 1,
    "ok": True,
    "more": False,
    "protocol": 1,
    "python": "3.11.2",
    "executable": "/usr/bin/python3",
    "hostname": "pod",
    "pid": 77,
    "boot_id": None,
    "container_started_at": None,
}


def framed(header: object, body: bytes = b"") -> bytes:
    encoded = json.dumps(header).encode()
    return struct.pack(">II", len(encoded), len(body)) + encoded + body


def echo(request: Request) -> Iterator[tuple[Header, bytes]]:
    yield {"said": request.header.get("say")}, request.body


def count(request: Request) -> Iterator[tuple[Header, bytes]]:
    for number in range(request.header["to"]):
        yield {"number": number}, b"x" * number


def refuse(request: Request) -> Iterator[tuple[Header, bytes]]:
    yield {"first": True}, b""
    raise Refusal("changed", "somebody else was here")


@pytest.fixture
def link(opened: Open) -> AgentLink:
    return opened(ThreadConnection({"echo": echo, "count": count, "refuse": refuse}))


# Asking.


def test_a_call_returns_fields_and_body(link: AgentLink) -> None:
    frame = link.call("echo", b"\0bytes\xff", say="na\udcffme\n")
    assert frame.header["said"] == "na\udcffme\n"
    assert frame.body == b"\0bytes\xff"


def test_a_stream_yields_every_frame_in_order(link: AgentLink) -> None:
    frames = list(link.stream("count", to=500))
    assert [frame.header["number"] for frame in frames] == list(range(500))
    assert [len(frame.body) for frame in frames] == list(range(500))


def test_an_abandoned_stream_leaves_the_link_usable(link: AgentLink) -> None:
    for frame in link.stream("count", to=500):
        if frame.header["number"] == 3:
            break
    assert link.call("echo", say="still here").header["said"] == "still here"


def test_a_refusal_in_the_middle_of_a_stream_carries_its_code(link: AgentLink) -> None:
    frames = link.stream("refuse")
    assert next(frames).header["first"]
    with pytest.raises(AgentRefused, match="somebody else was here") as refused:
        next(frames)
    assert refused.value.code == "changed"
    assert link.alive


def test_an_unknown_operation_is_refused(link: AgentLink) -> None:
    with pytest.raises(AgentRefused) as refused:
        link.call("tree.fell")
    assert refused.value.code == "bad-request"


def test_eight_threads_get_their_own_answers(link: AgentLink) -> None:
    def ask(thread: int) -> bool:
        answers = [link.call("echo", b"%d" % number, say=[thread, number]) for number in range(100)]
        return [(frame.header["said"], frame.body) for frame in answers] == [
            ([thread, number], b"%d" % number) for number in range(100)
        ]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(8)))


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 262143, 262144, 262145, 524288, 1048577])
def test_bodies_around_the_borders_of_blocks_arrive_whole(link: AgentLink, size: int) -> None:
    body = os.urandom(size)
    assert link.call("echo", body).body == body


def test_64_mib_there_and_back_take_less_than_five_seconds(link: AgentLink) -> None:
    body = os.urandom(1 << 20) * 64
    began = time.monotonic()
    assert link.call("echo", body).body == body
    assert time.monotonic() - began < 5


def test_a_body_beyond_the_limit_is_the_callers_mistake_and_harms_nothing(link: AgentLink) -> None:
    with pytest.raises(WireError):
        link.call("echo", bytes(MAX_BODY_BYTES + 1))
    assert link.call("echo", say=1).header["said"] == 1


# Signs of life.


def test_ping_is_answered_while_a_request_is_worked_on(opened: Open) -> None:
    release = threading.Event()

    def work(_request: Request) -> Iterator[tuple[Header, bytes]]:
        release.wait(10)
        yield {}, b""

    link = opened(ThreadConnection({"work": work}))
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(link.call, "work")
        assert link.ping(timeout=5) < 5
        assert not busy.done()
        release.set()
        busy.result(10)


def test_a_silent_agent_breaks_the_link_for_everybody_who_waits() -> None:
    silent = threading.Event()

    class Silent(RecordedConnection):
        def close(self) -> None:
            super().close()
            silent.set()

    class Stalled(Silent):
        def __init__(self) -> None:
            super().__init__(lambda greeting: greeting + framed(HELLO))
            inner = self.stdout

            class Stalling:
                def readline(self, size: int, /) -> bytes:
                    return inner.readline(size)

                def read(self, size: int, /) -> bytes:
                    data = inner.read(size)
                    if not data:
                        silent.wait(10)
                    return data

            self.stdout = Stalling()  # type: ignore[assignment]

    link = AgentLink.open(Stalled())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(link.call, "anything")
        with pytest.raises(LinkLost, match=r"no sign of life for 0\.2 s"):
            link.ping(timeout=0.2)
        with pytest.raises(LinkLost):
            waiting.result(10)
    assert not link.alive
    link.close()


# A real process.


def test_a_killed_agent_fails_every_waiting_thread_and_every_later_call(opened: Open, until: Until) -> None:
    connection = LocalConnection()
    link = opened(connection)
    os.kill(link.hello.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(link.call, "system.hello") for _ in range(4)]
        os.kill(link.hello.pid, signal.SIGKILL)
        for future in waiting:
            with pytest.raises(LinkLost):
                future.result(10)
    until(lambda: not link.alive)
    with pytest.raises(LinkLost):
        link.call("system.hello")
    with pytest.raises(LinkLost):
        link.ping()


def test_what_an_operation_prints_never_reaches_the_wire(opened: Open) -> None:
    connection = LocalConnection()
    link = opened(connection)
    with pytest.raises(AgentRefused):
        link.call("exposure.copies", b"this is not JSON")  # its traceback goes to standard error
    assert link.ping() < 5


def test_the_agent_ends_when_its_input_ends(opened: Open) -> None:
    connection = LocalConnection()
    opened(connection)
    connection.channels[0].stdin.close()
    assert connection.channels[0].process.wait(10) == 0


def test_the_agent_ends_when_its_parent_is_gone_though_its_input_stays_open(opened: Open, until: Until) -> None:
    # As when sshd is killed while another of its children still holds the stream.
    connection = LocalConnection(
        shell=lambda command: f"exec 3<&0; sh -c {shlex.quote(command)} <&3 3<&- & wait",
    )
    link = opened(connection)
    assert _runs(link.hello.pid)
    os.kill(connection.channels[0].process.pid, signal.SIGKILL)
    until(lambda: not _runs(link.hello.pid))


def test_closing_the_link_ends_the_reader_the_agent_and_the_connection(until: Until) -> None:
    before = set(threading.enumerate())  # another test of this process may have left one that still ends
    connection = LocalConnection()
    link = AgentLink.open(connection)
    link.close()
    link.close()
    assert connection.closed
    assert not _runs(link.hello.pid)
    assert not set(threading.enumerate()) - before
    with pytest.raises(LinkLost, match="closed"):
        link.call("system.hello")


def test_closing_from_another_thread_frees_a_waiting_one(opened: Open, until: Until) -> None:
    link = opened(LocalConnection())
    os.kill(link.hello.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(link.call, "system.hello")
        os.kill(link.hello.pid, signal.SIGCONT)
        link.close()
        failure = waiting.exception(10)
        assert failure is None or isinstance(failure, LinkLost)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


# Streams that are cut, and pods that lie.


def test_a_link_cut_at_any_byte_of_its_start_fails_with_an_error_of_ours() -> None:
    def until_byte(cut: int) -> RecordedConnection:
        return RecordedConnection(lambda greeting: (b"noise\n" + greeting + framed(HELLO))[:cut])

    whole = len(b"noise\n" + bootstrap.greeting("0" * 16) + framed(HELLO))
    for cut in range(whole):
        with pytest.raises((AgentStartFailed, LinkLost)):
            AgentLink.open(until_byte(cut))


def test_what_start_files_print_is_no_answer_and_is_known() -> None:
    link = AgentLink.open(RecordedConnection(lambda greeting: b"Welcome\nback\n" + greeting + framed(HELLO)))
    assert link.noise == "Welcome\nback"
    silent = AgentLink.open(RecordedConnection(lambda greeting: greeting + framed(HELLO)))
    assert silent.noise == ""


def test_an_answer_cut_at_any_byte_is_lost_never_half() -> None:
    first = framed({"id": 2, "ok": True, "more": True}, b"first")
    answer = first + framed({"id": 2, "ok": True, "more": False}, b"last")
    for cut in range(len(answer)):
        link = AgentLink.open(_answering(answer[:cut]))
        bodies: list[bytes] = []
        with pytest.raises(LinkLost):
            bodies.extend(frame.body for frame in link.stream("anything"))
        assert bodies == ([b"first"] if cut >= len(first) else [])
        link.close()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"protocol": 2}, "speaks protocol 2"),
        ({"protocol": None}, "speaks protocol None"),
        ({"pid": "77"}, "does not say who it is"),
        ({"hostname": None}, "does not say who it is"),
        ({"ok": False, "code": "unexpected", "message": "no memory"}, "no memory"),
    ],
)
def test_an_agent_of_another_version_is_refused_with_a_clear_error(change: dict[str, object], error: str) -> None:
    with pytest.raises(AgentStartFailed, match=error):
        AgentLink.open(RecordedConnection(lambda greeting: greeting + framed({**HELLO, **change})))


@pytest.mark.parametrize(
    "lie",
    [
        struct.pack(">II", 0xFFFFFFFF, 0),
        struct.pack(">II", 2, 0xFFFFFFFF) + b"{}",
        struct.pack(">II", 4, 0) + b"[1]\n",
        struct.pack(">II", 6, 0) + b"{nope}",
        struct.pack(">II", 200_000, 0) + b"[" * 200_000,
        struct.pack(">II", 9, 0) + b'{"a":NaN}',
        framed({"id": 2}),
        framed({"id": 2, "ok": "yes", "more": False}),
        framed({"id": 2, "ok": True}),
        framed({"id": 2, "ok": True, "more": "no"}),
        framed({"id": 2, "ok": False}),
        framed({"id": 2, "ok": False, "code": "rm -rf", "message": "x"}),
        framed({"id": 2, "ok": False, "code": "busy", "message": 7}),
        framed({"id": -1, "ok": True, "more": False}),
        framed({"id": 99, "ok": True, "more": False}),
        framed({"id": "2", "ok": True, "more": False}),
        framed({"id": [2], "ok": True, "more": False}),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 4096,
    ],
)
def test_what_is_not_the_protocol_ends_the_link(lie: bytes) -> None:
    link = AgentLink.open(_answering(lie))
    with pytest.raises(LinkLost):
        link.call("anything")
    assert not link.alive
    link.close()


def test_a_shell_that_prints_without_end_is_given_up(opened: Open) -> None:
    with pytest.raises(LinkLost, match="prints without end"):
        AgentLink.open(LocalConnection(shell=lambda command: "yes | head -c 9000000; " + command))


def _answering(answer: bytes) -> RecordedConnection:
    """An agent that says hello, waits for the first request, gives *answer* and hangs up."""
    hello = framed(HELLO)
    requested = threading.Event()

    class Listening(RecordedConnection):
        def write(self, data: bytes | memoryview, /) -> int:
            if b'"anything"' in bytes(data):
                requested.set()
            return super().write(data)

    connection = Listening(lambda greeting: greeting + hello + answer)
    inner = connection.stdout

    class Paced:
        taken = 0

        def readline(self, size: int, /) -> bytes:
            return inner.readline(size)

        def read(self, size: int, /) -> bytes:
            if self.taken >= len(hello):
                requested.wait(10)
            data = inner.read(size)
            self.taken += len(data)
            return data

    connection.stdout = Paced()  # type: ignore[assignment]
    return connection
