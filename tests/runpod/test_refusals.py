"""What the cloud says reaches the user as it was meant, whatever shape it comes in."""

from __future__ import annotations

import httpx
import pytest

from devpod_rp.errors import ConfigurationError, DevpodError, ExitCode
from devpod_rp.runpod import errors
from devpod_rp.runpod.client import RunPod
from tests.runpod.scripted import KEY, Script, problem

CODES = {
    400: (errors.BadRequest, ExitCode.UNEXPECTED),
    401: (errors.Unauthorized, ExitCode.AUTHENTICATION),
    402: (errors.InsufficientBalance, ExitCode.AUTHENTICATION),
    403: (errors.Forbidden, ExitCode.AUTHENTICATION),
    404: (errors.NotFound, ExitCode.UNEXPECTED),
    409: (errors.Conflict, ExitCode.UNEXPECTED),
    422: (errors.Invalid, ExitCode.CONFIGURATION),
}


def refusal(answer: httpx.Response) -> errors.ApiError:
    with pytest.raises(errors.ApiError) as caught:
        Script([answer]).client.get_pod("p1")
    return caught.value


@pytest.mark.parametrize("status", CODES)
def test_every_status_has_its_class_and_exit_code(status: int) -> None:
    error = refusal(problem(status, "RunPod's words"))
    kind, code = CODES[status]
    assert type(error) is kind
    assert (error.exit_code, error.status, error.detail) == (code, status, "RunPod's words")
    assert "RunPod's words" in str(error)


def test_a_422_names_every_field_that_is_wrong() -> None:
    error = refusal(problem(422, "validation failed", errors=["/gpu: unknown field", "/disk: too small"]))
    assert error.errors == ("/gpu: unknown field", "/disk: too small")
    assert str(error) == "The cloud refused: validation failed (/gpu: unknown field; /disk: too small)"


@pytest.mark.parametrize(
    "body, detail",
    [
        ({"error": "pod is locked"}, "pod is locked"),
        ({"title": "Conflict"}, "Conflict"),
        ({"detail": None, "error": "", "title": "Gone"}, "Gone"),
        ({"detail": {"reason": "odd"}}, "{'reason': 'odd'}"),
        ({}, "HTTP 409"),
        ([], "[]"),
        ("text", '"text"'),
        ({"detail": "no", "errors": "not a list"}, "no"),
    ],
)
def test_every_shape_of_error_document_is_read(body: object, detail: str) -> None:
    assert refusal(httpx.Response(409, json=body)).detail == detail


def test_plain_text_is_shown_and_a_page_is_not() -> None:
    assert refusal(httpx.Response(409, text="upstream\n said no")).detail == "upstream said no"
    page = httpx.Response(409, headers={"Content-Type": "text/html"}, text="<html>a whole page</html>")
    assert refusal(page).detail == "HTTP 409"


@pytest.mark.parametrize("field", ["detail", "error", "title"])
def test_no_answer_can_play_tricks_with_the_terminal(field: str) -> None:
    error = refusal(httpx.Response(409, json={field: "\x1b]0;owned\x07\x1b[2Jno\nway\u202e"}))
    assert str(error).isprintable()
    assert error.detail.endswith("no way?")
    listed = refusal(httpx.Response(422, json={"detail": "bad", "errors": ["\x1b[31mred"]}))
    assert str(listed).isprintable()


def test_an_endless_complaint_is_cut() -> None:
    assert len(str(refusal(httpx.Response(409, json={"detail": "x" * 100_000})))) < 1000


@pytest.mark.parametrize("url", ["", "api.runpod.io", "ftp://api", "https://", "http://[::1", "file:///x"])
def test_a_url_that_is_none_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no address of an API"):
        RunPod(url, KEY)


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "rpa_ümlaut", "tab\t"])
def test_a_key_that_cannot_be_one_is_refused_before_anything_is_sent(key: str) -> None:
    with pytest.raises(DevpodError) as caught:
        RunPod("https://api.example", key)
    assert caught.value.exit_code == ExitCode.AUTHENTICATION
    assert not key or key not in str(caught.value)
