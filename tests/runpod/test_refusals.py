"""Whatever an answer says, it reaches the person as one harmless line."""

from __future__ import annotations

import httpx
import pytest

from devpod_rp.runpod import errors
from tests.runpod.scripted import KEY, Scripted


def refusal(answer: httpx.Response) -> errors.ApiError:
    with pytest.raises(errors.ApiError) as caught:
        Scripted(answer).client().get_pod("p1")
    return caught.value


@pytest.mark.parametrize(
    "body, detail",
    [
        ({"title": "Conflict"}, "Conflict"),
        ({"detail": None, "error": "", "title": "Gone"}, "Gone"),
        ({"detail": {"reason": "odd"}}, "{'reason': 'odd'}"),
        ({}, "HTTP 409"),
        ({"detail": "no", "errors": "not a list"}, "no"),
    ],
)
def test_every_shape_of_error_document_is_read(body: object, detail: str) -> None:
    assert refusal(httpx.Response(409, json=body)).detail == detail


@pytest.mark.parametrize("field", ["detail", "error", "title"])
def test_no_answer_can_play_tricks_with_the_terminal(field: str) -> None:
    error = refusal(httpx.Response(409, json={field: "\x1b]0;owned\x07\x1b[2Jno\nway\u202e"}))
    assert str(error).isprintable()
    assert error.detail.endswith("no way?")
    listed = refusal(httpx.Response(422, json={"detail": "bad", "errors": ["\x1b[31mred"]}))
    assert str(listed).isprintable()


def test_an_endless_complaint_is_cut() -> None:
    assert len(str(refusal(httpx.Response(409, json={"detail": "x" * 100_000})))) < 1000


def _shows_the_request(request: httpx.Request) -> httpx.Response:
    sent = request.headers
    return httpx.Response(409, json={"detail": str(dict(sent)), "errors": [sent["authorization"]]})


@pytest.mark.parametrize(
    "proxy",
    [_shows_the_request, lambda request: httpx.Response(409, text=f"no: {request.headers['authorization']}")],
    ids=["document", "text"],
)
def test_a_proxy_that_complains_by_showing_the_request_does_not_give_away_the_key(proxy) -> None:
    error = refusal(proxy)
    assert "Bearer" in str(error)
    assert KEY not in repr(error) + str(error.as_json())


def test_the_key_goes_to_no_other_host_when_the_cloud_redirects() -> None:
    cloud = Scripted(httpx.Response(302, headers={"Location": "https://evil.example/v2/pods/p1"}))
    with pytest.raises(errors.ApiError):
        cloud.client().get_pod("p1")
    assert [each.url.host for each in cloud.requests] == ["rest.example"]
