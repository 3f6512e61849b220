"""The agent answers in order, says no with a code, survives its own defects, and never outlives its launcher."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from devpod_rp.agent import operations
from devpod_rp.agent.files import durable
from devpod_rp.agent.main import serve
from devpod_rp.agent.wire import Frame, Handler, Header, Refusal, Request, read_frame, write_frame

Reply = Iterator[tuple[Header, bytes]]


class Conversation:
    """A service in a thread, spoken to over two pipes."""

    def __init__(self, operations: Mapping[str, Handler]) -> None:
        read_end, write_end = os.pipe()
        self.requests: BinaryIO = os.fdopen(write_end, "wb")
        source = os.fdopen(read_end, "rb")
        read_end, write_end = os.pipe()
        self.answers: BinaryIO = os.fdopen(read_end, "rb")
        sink = os.fdopen(write_end, "wb")
        self.gave_up = threading.Event()

        def run() -> None:
            with sink:
                serve(source, sink, operations, give_up=self.gave_up.set)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def ask(self, number: int, op: str, **fields: Any) -> None:
        write_frame(self.requests, Frame({"id": number, "op": op, **fields}))

    def answer(self) -> Header:
        frame = read_frame(self.answers)
        assert frame is not None
        return frame.header

    def ended(self) -> bool:
        self.thread.join(10)
        return not self.thread.is_alive()


def echo(request: Request) -> Reply:
    yield {"said": request.header.get("say")}, request.body


def test_requests_are_answered_in_order() -> None:
    talk = Conversation({"echo": echo})
    for number in range(1, 6):
        talk.ask(number, "echo", say=number)
    assert [talk.answer()["said"] for _ in range(5)] == [1, 2, 3, 4, 5]


def test_only_the_last_frame_says_that_no_more_follows() -> None:
    def three(_request: Request) -> Reply:
        for number in range(3):
            yield {"n": number}, b""

    talk = Conversation({"three": three})
    talk.ask(7, "three")
    assert [talk.answer() for _ in range(3)] == [
        {"n": 0, "id": 7, "ok": True, "more": True},
        {"n": 1, "id": 7, "ok": True, "more": True},
        {"n": 2, "id": 7, "ok": True, "more": False},
    ]


def test_an_operation_without_a_reply_still_answers() -> None:
    def quiet(_request: Request) -> Reply:
        yield from ()

    talk = Conversation({"quiet": quiet})
    talk.ask(1, "quiet")
    assert talk.answer() == {"id": 1, "ok": True, "more": False}


def test_ping_overtakes_the_request_in_hand() -> None:
    release = threading.Event()

    def slow(_request: Request) -> Reply:
        release.wait(10)
        yield {}, b""

    talk = Conversation({"slow": slow})
    talk.ask(1, "slow")
    talk.ask(2, "ping")
    assert talk.answer()["id"] == 2
    release.set()
    assert talk.answer()["id"] == 1


def test_what_the_disk_takes_its_time_for_holds_nothing_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = threading.Event()
    monkeypatch.setattr(durable, "flush_everything", lambda _descriptor: written.wait(10))
    talk = Conversation({"echo": echo})
    talk.ask(1, "files.settle", root=str(tmp_path), state=str(tmp_path / ".devpod_rp"))
    talk.ask(2, "echo", say="meanwhile")
    assert talk.answer()["said"] == "meanwhile"
    written.set()
    assert talk.answer() == {"id": 1, "ok": True, "more": False}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refusal("changed", "not what you expect"), "changed"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/workspace/x"), "no-space"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "no-space"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), "not-found"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), "not-permitted"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "not-permitted"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "unexpected"),
        (ZeroDivisionError("one line\nand another"), "unexpected"),
        (MemoryError(), "unexpected"),
    ],
)
def test_every_failure_becomes_a_refusal_and_the_next_request_is_answered(error: Exception, code: str) -> None:
    def fail(_request: Request) -> Reply:
        raise error
        yield

    talk = Conversation({"fail": fail, "echo": echo})
    talk.ask(1, "fail")
    talk.ask(2, "echo", say="fine")
    refusal = talk.answer()
    assert (refusal["id"], refusal["ok"], refusal["code"]) == (1, False, code)
    assert "\n" not in refusal["message"]
    assert talk.answer()["said"] == "fine"


def test_what_was_yielded_before_a_refusal_is_not_lost() -> None:
    def half(_request: Request) -> Reply:
        yield {"first": True}, b""
        raise Refusal("busy", "later")

    talk = Conversation({"half": half})
    talk.ask(1, "half")
    assert talk.answer() == {"first": True, "id": 1, "ok": True, "more": True}
    assert talk.answer()["code"] == "busy"


@pytest.mark.parametrize("op", ["nothing.like.it", None, 7, ["echo"], {"echo": 1}])
def test_an_operation_it_does_not_know_is_a_bad_request(op: Any) -> None:
    talk = Conversation({"echo": echo})
    write_frame(talk.requests, Frame({"id": 1, "op": op}))
    assert talk.answer()["code"] == "bad-request"


def test_it_ends_when_the_requests_end() -> None:
    talk = Conversation({"echo": echo})
    talk.requests.close()
    assert talk.ended()
    assert not talk.gave_up.is_set()


def test_it_ends_in_the_middle_of_an_answer_and_lets_the_operation_clean_up() -> None:
    cleaned = threading.Event()

    def endless(_request: Request) -> Reply:
        try:
            while True:
                yield {}, b"x" * 1000
        finally:
            cleaned.set()

    talk = Conversation({"endless": endless})
    talk.ask(1, "endless")
    talk.answer()
    talk.requests.close()
    while read_frame(talk.answers) is not None:
        pass
    assert talk.ended()
    assert cleaned.is_set()


def test_it_ends_when_nobody_reads_the_answers() -> None:
    def large(_request: Request) -> Reply:
        while True:
            yield {}, b"x" * 100_000

    talk = Conversation({"large": large})
    talk.answers.close()
    talk.ask(1, "large")
    assert talk.ended()


def test_it_ends_when_a_request_is_no_frame() -> None:
    talk = Conversation({"echo": echo})
    talk.requests.write(b"\xff" * 64)
    talk.requests.flush()
    assert talk.ended()


@pytest.mark.slow
def test_a_step_that_hangs_after_the_end_is_given_up() -> None:
    started, release = threading.Event(), threading.Event()

    def hang(_request: Request) -> Reply:
        started.set()
        release.wait(20)
        yield {}, b""

    talk = Conversation({"hang": hang})
    talk.ask(1, "hang")
    assert started.wait(10)
    talk.requests.close()
    assert talk.gave_up.wait(10)
    release.set()
    assert talk.ended()


def test_hello_says_which_protocol_and_where() -> None:
    talk = Conversation(operations.ONE_BY_ONE)
    talk.ask(1, "system.hello")
    hello = talk.answer()
    assert hello["protocol"] == 1
    assert hello["pid"] == os.getpid()
    assert set(hello) >= {"python", "executable", "hostname", "boot_id", "container_started_at"}
