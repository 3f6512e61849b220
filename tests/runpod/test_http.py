"""What the client does with every kind of failure: repeat, wait, give up, or say that it may have happened."""

from __future__ import annotations

import logging

import httpx
import pytest

from devpod_rp.errors import AuthenticationError, ConfigurationError, ExitCode
from devpod_rp.runpod import errors
from devpod_rp.runpod.client import RunPod
from devpod_rp.runpod.model import CreatePodRequest
from tests.runpod.scripted import KEY, Scripted, pod, problem

REQUEST = CreatePodRequest(name="devpod-thing", env={"TOKEN": "hf_secret"})
BROKEN = [
    httpx.ReadTimeout("timed out"),
    httpx.RemoteProtocolError("Server disconnected without sending a response."),
    httpx.ReadError("Connection reset by peer"),
]
FINAL = [
    (400, "Bad mount path", errors.BadRequest, ExitCode.UNEXPECTED),
    (400, "There are no longer any instances available", errors.NoCapacity, ExitCode.NO_CAPACITY),
    (401, "Unauthorized", errors.Unauthorized, ExitCode.AUTHENTICATION),
    (402, "Insufficient balance", errors.InsufficientBalance, ExitCode.AUTHENTICATION),
    (403, "Forbidden", errors.Forbidden, ExitCode.AUTHENTICATION),
    (404, "Not found", errors.NotFound, ExitCode.UNEXPECTED),
    (409, "Pod is not running", errors.Conflict, ExitCode.UNEXPECTED),
    (422, "Invalid request", errors.Invalid, ExitCode.CONFIGURATION),
    (500, "not enough free GPUs on the host machine", errors.NoCapacity, ExitCode.NO_CAPACITY),
]


@pytest.mark.parametrize("status, detail, kind, code", FINAL, ids=[f"{case[0]} {case[1][:9]}" for case in FINAL])
@pytest.mark.parametrize("call", ["look", "create"])
def test_a_refusal_is_final_and_says_what_it_means(call, status, detail, kind, code):
    cloud = Scripted(problem(status, detail))
    with pytest.raises(kind) as caught:
        cloud.client().get_pod("abc") if call == "look" else cloud.client().create_pod(REQUEST)
    assert len(cloud.requests) == 1
    assert detail in caught.value.message
    assert caught.value.exit_code == code


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_question_is_repeated_while_the_cloud_has_trouble(status):
    cloud = Scripted(problem(status), problem(status), httpx.Response(200, json=pod()))
    assert cloud.client().get_pod("abc123").id == "abc123"
    assert len(cloud.pauses) == 2
    assert cloud.pauses[0] < cloud.pauses[1]


def test_trouble_that_stays_is_told_after_five_attempts():
    cloud = Scripted(problem(503, "maintenance"))
    with pytest.raises(errors.ServerError, match="maintenance"):
        cloud.client().list_pods()
    assert len(cloud.requests) == 5


@pytest.mark.parametrize("fault", BROKEN, ids=lambda each: type(each).__name__)
def test_a_question_is_repeated_after_a_broken_connection(fault):
    cloud = Scripted(fault, httpx.Response(200, json=pod()))
    assert cloud.client().get_pod("abc123").id == "abc123"


@pytest.mark.parametrize(
    "fault",
    [*BROKEN, problem(500), problem(502), httpx.Response(201, text="<html>Sign in to the WiFi</html>")],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else str(each.status_code),
)
def test_a_creation_is_never_repeated_once_it_may_have_happened(fault):
    cloud = Scripted(fault, httpx.Response(201, json=pod()))
    with pytest.raises(errors.Ambiguous, match="may have happened"):
        cloud.client().create_pod(REQUEST)
    assert len(cloud.requests) == 1


@pytest.mark.parametrize("fault", [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow")], ids=str)
def test_a_creation_is_repeated_while_it_cannot_have_reached_the_cloud(fault):
    cloud = Scripted(fault, fault, httpx.Response(201, json=pod()))
    assert cloud.client().create_pod(REQUEST).id == "abc123"
    assert len(cloud.requests) == 3


@pytest.mark.parametrize("call", ["look", "create"])
def test_who_is_told_to_wait_waits_exactly_so_long(call):
    cloud = Scripted(problem(429, "slow down", {"Retry-After": "7"}), httpx.Response(200, json=pod()))
    cloud.client().get_pod("abc123") if call == "look" else cloud.client().create_pod(REQUEST)
    assert cloud.pauses == [7.0]


def test_who_is_told_to_wait_for_an_hour_says_so_instead():
    cloud = Scripted(problem(429, "hourly quota used up", {"Retry-After": "3000"}))
    with pytest.raises(errors.RateLimited, match="hourly quota used up") as caught:
        cloud.client().get_pod("abc123")
    assert cloud.pauses == []
    assert "3000 seconds" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "answer, words",
    [
        (problem(422, "Invalid request", errors=["gpu.count: minimum: got 0, want 1"]), "gpu.count: minimum"),
        (httpx.Response(400, json={"error": "volume is in another data center"}), "volume is in another data center"),
        (httpx.Response(400, text="plain\nwords \x1b[31m"), "plain words ?[31m"),
        (httpx.Response(403, text="<html>no</html>", headers={"Content-Type": "text/html"}), "HTTP 403"),
        (httpx.Response(404, json=["surprise"]), "surprise"),
    ],
    ids=["problem", "error", "text", "html", "list"],
)
def test_every_form_of_refusal_is_read(answer, words):
    with pytest.raises(errors.ApiError) as caught:
        Scripted(answer).client().get_pod("abc123")
    assert words in caught.value.message
    assert "<html>" not in caught.value.message


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>Sign in to the WiFi</html>"),
        httpx.Response(200, json={"pods": "none"}),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"pods": [{"nothing": "known"}]}),
    ],
    ids=["portal", "wrong type", "no object", "wrong item"],
)
def test_what_is_not_the_api_is_named_so(answer):
    with pytest.raises(errors.NotTheApi, match=r"rest\.example"):
        Scripted(answer).client().list_pods()


def test_what_is_gone_already_is_deleted():
    cloud = Scripted(problem(404))
    cloud.client().delete_pod("abc123")
    cloud.client().delete_network_volume("vol1")
    assert [request.method for request in cloud.requests] == ["DELETE", "DELETE"]


def test_a_lost_deletion_is_repeated_until_it_is_certain():
    cloud = Scripted(httpx.ReadTimeout("timed out"), problem(404))
    cloud.client().delete_pod("abc123")
    assert len(cloud.requests) == 2


@pytest.mark.parametrize("url", ["", "rest.example", "ftp://rest.example", "https://", "https://[::1"])
def test_an_address_that_is_none_is_refused_before_the_key_goes_anywhere(url):
    with pytest.raises(ConfigurationError, match="is no address of an API") as caught:
        RunPod(url, KEY)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", ["", "with blank", "line\nbreak", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused_without_repeating_it(key):
    with pytest.raises(AuthenticationError) as caught:
        RunPod("https://rest.example", key)
    assert not key or key not in caught.value.message


@pytest.mark.parametrize(
    "fault",
    [*BROKEN, httpx.ConnectError("refused"), problem(401), problem(422), problem(500), httpx.Response(200, text="?")],
    ids=str,
)
def test_neither_key_nor_environment_appear_in_any_error_or_log(fault, caplog):
    caplog.set_level(logging.DEBUG)
    cloud = Scripted(fault)
    client = cloud.client()
    with pytest.raises(errors.DevpodError) as caught:
        client.create_pod(REQUEST)
    assert cloud.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    told = [caught.value.message, caught.value.hint or "", repr(caught.value), repr(client), repr(REQUEST), caplog.text]
    told += [repr(caught.value.__cause__), repr(caught.value.__context__)]
    for text in told:
        assert KEY not in text
        assert "hf_secret" not in text
