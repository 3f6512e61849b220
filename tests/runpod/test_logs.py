"""The pod's log as Server-Sent Events: the past ends by itself, the present survives a broken connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from devpod_rp.runpod import errors
from devpod_rp.runpod.model import LogLine
from tests.runpod.scripted import Script, lost, problem

OPENED = "Mon, 01 Jun 2026 12:00:00 GMT"


class Stream(httpx.SyncByteStream):
    """Chunks as they arrive, then the end, or the way the connection broke."""

    def __init__(self, chunks: list[bytes], end: Exception | None) -> None:
        self._chunks, self._end = chunks, end

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        if self._end is not None:
            raise self._end


def stream(*chunks: bytes, end: Exception | None = None) -> Callable[[httpx.Request], httpx.Response]:
    headers = {"Content-Type": "text/event-stream", "Date": OPENED}
    return lambda _: httpx.Response(200, headers=headers, stream=Stream(list(chunks), end))


def event(text: str, number: int = 1, ts: str = "2026-06-01T11:00:00Z") -> bytes:
    data = json.dumps({"ts": ts, "source": "container", "line": text})
    return f"id: {ts}/{number:012d}\ndata: {data}\n\n".encode()


def past(script: Script) -> list[str]:
    return [each.line for each in script.client.pod_logs("p1")]


def quiet() -> httpx.ReadTimeout:
    """Nothing came for a while."""
    return httpx.ReadTimeout("")


def test_the_past_is_told_oldest_first_with_time_and_source() -> None:
    script = Script([stream(event("one"), event("two", 2))])
    found = list(script.client.pod_logs("p1", source="container", tail=7))
    assert found[0] == LogLine("2026-06-01T11:00:00Z", "container", "one")
    assert [each.line for each in found] == ["one", "two"]
    assert script.asked == ["GET /v2/pods/p1/logs?source=container&tail=7"]
    assert script.requests[0].headers["Accept"] == "text/event-stream"


def test_lines_are_whole_however_the_bytes_arrive() -> None:
    whole = event("naïve\u2028one line") + event("two", 2).replace(b"\n", b"\r\n")
    assert past(Script([stream(*[bytes([byte]) for byte in whole])])) == ["naïve\u2028one line", "two"]


def test_data_in_several_lines_is_one_event() -> None:
    assert past(Script([stream(b'id: 1\ndata: {"line":\ndata: "split"}\n\n')])) == ["split"]


@pytest.mark.parametrize("data", [b"not json", b'"text"', b"{}", b"[1]"])
def test_data_of_another_shape_is_shown_as_it_is(data: bytes) -> None:
    assert past(Script([stream(b"data: " + data + b"\n\n")])) == [data.decode()]


def test_unknown_fields_are_left_out() -> None:
    assert past(Script([stream(b"retry: 10\nevent: log\n" + event("one"))])) == ["one"]


@pytest.mark.parametrize(
    "after", [stream(event("one"), b": keep\n\n", event("later", 2)), stream(event("one"), end=quiet())]
)
def test_the_past_ends_with_silence_or_a_sign_of_life(after) -> None:
    assert past(Script([after])) == ["one"]


def test_the_past_ends_with_the_first_line_younger_than_the_question() -> None:
    young = event("young", 2, ts="2026-06-01T12:00:05.123456789Z")
    assert past(Script([stream(event("old"), young)])) == ["old"]


def test_an_empty_log_ends_with_silence() -> None:
    assert past(Script([stream(end=quiet())])) == []


def test_a_past_that_breaks_off_is_an_error_and_not_a_short_log() -> None:
    cut = stream(event("one"), end=httpx.RemoteProtocolError("peer closed connection"))
    with pytest.raises(errors.Unreachable, match="broke off: peer closed connection"):
        past(Script([cut]))


def test_a_past_whose_connection_fails_is_asked_for_again() -> None:
    assert past(Script([lost(), problem(503), problem(429, retry_after="2"), stream(event("one"))])) == ["one"]


def test_a_refusal_to_show_the_log_is_said() -> None:
    with pytest.raises(errors.NotFound):
        past(Script([problem(404)]))
    with pytest.raises(errors.Unauthorized):
        past(Script([problem(401)]))


def test_following_takes_up_after_the_last_line_seen() -> None:
    script = Script(
        [stream(event("one", 1), end=lost()), stream(event("two", 2)), stream(event("three", 3)), problem(404)]
    )
    follow = script.client.pod_logs("p1", follow=True)
    assert [next(follow).line for _ in range(3)] == ["one", "two", "three"]
    seen = [each.headers.get("Last-Event-ID") for each in script.requests]
    assert seen == [None, "2026-06-01T11:00:00Z/000000000001", "2026-06-01T11:00:00Z/000000000002"]


def test_following_ends_when_the_pod_is_gone() -> None:
    script = Script([stream(event("one")), problem(404)])
    assert [each.line for each in script.client.pod_logs("p1", follow=True)] == ["one"]


def test_following_a_pod_that_never_was_is_an_error() -> None:
    with pytest.raises(errors.NotFound):
        list(Script([problem(404)]).client.pod_logs("p1", follow=True))


def test_following_shows_young_lines_and_stays_through_silence() -> None:
    young = event("young", 2, ts="2026-06-01T12:00:05Z")
    script = Script([stream(event("one"), b": keep\n\n", young, end=quiet()), stream(event("three", 3)), problem(404)])
    assert [each.line for each in script.client.pod_logs("p1", follow=True)] == ["one", "young", "three"]


def test_following_gives_up_after_ten_failures_without_a_line() -> None:
    script = Script([stream(event("one"), end=lost())] + [lost()] * 9)
    follow = script.client.pod_logs("p1", follow=True)
    assert next(follow).line == "one"
    with pytest.raises(errors.Unreachable):
        next(follow)
    assert len(script.requests) == 10


def test_the_hourly_rate_limit_is_not_waited_for() -> None:
    with pytest.raises(errors.RateLimited):
        past(Script([problem(429, retry_after="1800")]))
