"""A pod's log over a stream that stutters, breaks, lies and never ends."""

from __future__ import annotations

import json

import httpx
import pytest

from devpod_rp.runpod import errors
from tests.runpod.scripted import Scripted, Stream, problem

DATE = "Tue, 24 Nov 2026 10:00:00 GMT"


def event(number: int, text: str, ts: str = "2026-11-24T09:00:00.000000001Z") -> bytes:
    data = json.dumps({"ts": ts, "source": "container", "line": text}, ensure_ascii=False)
    return f"id: {number}\nevent: log\ndata: {data}\n\n".encode()


def stream(*chunks: bytes | Exception) -> httpx.Response:
    return httpx.Response(200, stream=Stream(chunks), headers={"Content-Type": "text/event-stream", "Date": DATE})


def lines(cloud: Scripted, **options) -> list[str]:
    return [line.line for line in cloud.client().pod_logs("abc123", **options)]


def test_the_past_is_told_in_order():
    assert lines(Scripted(stream(event(1, "one"), event(2, "two")))) == ["one", "two"]


@pytest.mark.parametrize("size", [1, 2, 7])
def test_events_may_be_cut_anywhere(size):
    whole = event(1, "grüße 🚀") + event(2, "a\u2028b\u0085c").replace(b"\n", b"\r\n")
    chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert lines(Scripted(stream(*chunks))) == ["grüße 🚀", "a\u2028b\u0085c"]


def test_the_past_ends_with_silence():
    assert lines(Scripted(stream(event(1, "one"), httpx.ReadTimeout("quiet")))) == ["one"]


def test_the_past_ends_with_a_sign_of_life_after_a_line():
    cloud = Scripted(stream(b": connected\n\n", event(1, "one"), b": keepalive\n\n", event(2, "later")))
    assert lines(cloud) == ["one"]


def test_the_past_ends_where_the_present_begins_for_a_pod_that_prints_without_pause():
    now = event(2, "now", ts="2026-11-24T10:00:05Z")
    assert lines(Scripted(stream(event(1, "then"), now, event(3, "later")))) == ["then"]


def test_following_takes_up_a_broken_stream_after_the_last_line_seen_until_the_pod_is_gone():
    cloud = Scripted(
        stream(event(1, "one"), httpx.ReadError("reset")),
        problem(502),
        stream(event(2, "two")),
        problem(404, "Pod not found"),
    )
    assert lines(cloud, follow=True) == ["one", "two"]
    assert [request.headers.get("Last-Event-ID") for request in cloud.requests] == [None, "1", "1", "2"]


def test_a_log_that_cannot_be_opened_is_an_error_and_not_an_empty_log():
    cloud = Scripted(httpx.ConnectError("refused"))
    with pytest.raises(errors.Unreachable, match="refused"):
        lines(cloud)
    assert len(cloud.requests) == 10


def test_a_log_that_breaks_off_in_the_past_is_an_error_and_not_a_short_log():
    with pytest.raises(errors.Unreachable, match="broke off"):
        lines(Scripted(stream(event(1, "one"), httpx.ReadError("reset"))))


def test_a_log_that_must_wait_waits_as_told():
    cloud = Scripted(problem(429, "slow down", {"Retry-After": "5"}), stream(event(1, "one")))
    assert lines(cloud) == ["one"]
    assert 5.0 in cloud.pauses


@pytest.mark.parametrize("status, kind", [(401, errors.Unauthorized), (404, errors.NotFound), (422, errors.Invalid)])
def test_a_refused_log_is_told_in_the_clouds_words(status, kind):
    with pytest.raises(kind, match="because"):
        lines(Scripted(problem(status, "because")))


@pytest.mark.parametrize("data", ["no json", "[1, 2]", '{"other": 1}'])
def test_data_of_another_shape_is_shown_as_it_is(data):
    assert lines(Scripted(stream(f"id: 1\ndata: {data}\n\n".encode()))) == [data]


def test_the_question_is_asked_as_it_was_meant():
    cloud = Scripted(stream(event(1, "one")))
    list(cloud.client().pod_logs("abc123", source="system", tail=7))
    assert dict(cloud.requests[0].url.params) == {"source": "system", "tail": "7"}
    assert cloud.requests[0].headers["Accept"] == "text/event-stream"


def test_following_a_pod_that_never_was_is_an_error():
    with pytest.raises(errors.NotFound):
        lines(Scripted(problem(404)), follow=True)


def test_following_stays_through_silence_and_signs_of_life():
    now = event(2, "now", ts="2026-11-24T10:00:05Z")
    cloud = Scripted(
        stream(event(1, "one"), b": keepalive\n\n", now, httpx.ReadTimeout("quiet")),
        stream(event(3, "on")),
        problem(404),
    )
    assert lines(cloud, follow=True) == ["one", "now", "on"]


def test_following_gives_up_after_ten_failures_without_a_line():
    cloud = Scripted(stream(event(1, "one"), httpx.ReadError("reset")), httpx.ReadError("reset"))
    told = cloud.client().pod_logs("abc123", follow=True)
    assert next(told).line == "one"
    with pytest.raises(errors.Unreachable):
        next(told)
    assert len(cloud.requests) == 10


def test_a_past_without_ids_that_breaks_off_is_not_told_twice():
    cloud = Scripted(stream(b'data: {"line": "one"}\n\n', httpx.ReadError("reset")))
    with pytest.raises(errors.Unreachable):
        lines(cloud)
    assert len(cloud.requests) == 1
