"""What is asked again, how often and after how long; and that nothing that costs money is ever asked for twice."""

from __future__ import annotations

import httpx
import pytest

from devpod_rp.runpod import errors
from tests.runpod.scripted import POD, REQUEST, Script, lost, ok, problem, refused

CAPACITY = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again."
)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_question_is_asked_again_while_the_cloud_fails(status: int) -> None:
    script = Script([problem(status), problem(status), ok()])
    assert script.client.get_pod("p1").id == "p1"
    assert len(script.waits) == 2
    assert all(0 < wait <= 9 for wait in script.waits)


@pytest.mark.parametrize("fault", [lost, refused, lambda: httpx.RemoteProtocolError("cut off")])
def test_a_question_is_asked_again_when_the_connection_fails(fault) -> None:
    script = Script([fault(), fault(), ok()])
    assert script.client.get_pod("p1").id == "p1"


def test_a_question_is_asked_five_times_and_then_given_up() -> None:
    script = Script([problem(503, "overloaded")] * 5)
    with pytest.raises(errors.ServerError, match="overloaded") as caught:
        script.client.get_pod("p1")
    assert caught.value.exit_code == 6
    assert len(script.requests) == 5


def test_a_cloud_that_never_answers_is_unreachable() -> None:
    script = Script([refused()] * 5)
    with pytest.raises(errors.Unreachable, match="cannot be reached: connection refused") as caught:
        script.client.list_pods()
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422])
def test_a_refusal_is_final(status: int) -> None:
    script = Script([problem(status)])
    with pytest.raises(errors.ApiError):
        script.client.get_pod("p1")
    script = Script([problem(status)])
    with pytest.raises(errors.ApiError):
        script.client.create_pod(REQUEST)


def test_the_rate_limit_says_how_long_to_wait() -> None:
    script = Script([problem(429, retry_after="7"), problem(429, retry_after="60"), ok()])
    assert script.client.get_pod("p1").id == "p1"
    assert script.waits == [7.0, 60.0]


def test_a_creation_turned_away_by_the_rate_limit_is_asked_again() -> None:
    script = Script([problem(429, retry_after="3"), ok(status=201)])
    assert script.client.create_pod(REQUEST).id == "p1"
    assert script.waits == [3.0]
    assert script.asked == ["POST /v2/pods"] * 2


def test_the_hourly_rate_limit_is_not_waited_for() -> None:
    script = Script([problem(429, "slow down", retry_after="1800")])
    with pytest.raises(errors.RateLimited) as caught:
        script.client.get_pod("p1")
    assert caught.value.retry_after == 1800
    assert caught.value.hint == "try again in 1800 seconds."
    assert script.waits == []


def test_a_server_error_with_a_long_retry_after_is_not_waited_for() -> None:
    script = Script([problem(503, retry_after="600")])
    with pytest.raises(errors.ServerError):
        script.client.get_pod("p1")


@pytest.mark.parametrize("header", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "soon", "1.5", ""])
def test_a_retry_after_of_another_kind_falls_back_to_our_own_wait(header: str) -> None:
    script = Script([problem(429, retry_after=header), ok()])
    assert script.client.get_pod("p1").id == "p1"
    assert 0 < script.waits[0] <= 9


@pytest.mark.parametrize(
    "fault", [lost(), httpx.RemoteProtocolError("cut"), httpx.WriteError("x"), problem(500), problem(502)]
)
def test_a_creation_whose_answer_is_lost_is_never_sent_again(fault) -> None:
    script = Script([fault])
    with pytest.raises(errors.Ambiguous, match="may have happened") as caught:
        script.client.create_pod(REQUEST)
    assert caught.value.exit_code == 6
    assert script.asked == ["POST /v2/pods"]


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"", b"[]", b'{"id": 7}', b"null"])
def test_a_creation_whose_answer_cannot_be_read_may_have_happened(body: bytes) -> None:
    script = Script([httpx.Response(201, content=body)])
    with pytest.raises(errors.Ambiguous):
        script.client.create_pod(REQUEST)


def test_a_creation_that_never_reached_the_cloud_is_sent_again() -> None:
    script = Script([refused(), httpx.ConnectTimeout("no answer to SYN"), ok(status=201)])
    assert script.client.create_pod(REQUEST).id == "p1"


@pytest.mark.parametrize("status", [400, 500])
def test_nothing_free_is_told_from_a_bad_request_by_runpods_words(status: int) -> None:
    script = Script([problem(status, CAPACITY), problem(400, "image is required")])
    with pytest.raises(errors.NoCapacity) as caught:
        script.client.create_pod(REQUEST)
    assert caught.value.exit_code == 5
    with pytest.raises(errors.BadRequest) as wrong:
        script.client.create_pod(REQUEST)
    assert not isinstance(wrong.value, errors.NoCapacity)


def test_a_host_without_free_gpus_is_no_capacity() -> None:
    full = httpx.Response(400, json={"error": "not enough free GPUs on the host machine"})
    with pytest.raises(errors.NoCapacity, match="not enough free GPUs"):
        Script([full]).client.start_pod("p1")


def test_an_action_whose_answer_is_lost_is_not_repeated() -> None:
    script = Script([lost()])
    with pytest.raises(errors.Ambiguous):
        script.client.stop_pod("p1")


@pytest.mark.parametrize("verb", ["delete_pod", "delete_network_volume"])
def test_deleting_what_is_gone_is_fine(verb: str) -> None:
    script = Script([lost(), problem(404)])
    getattr(script.client, verb)("x1")
    assert len(script.requests) == 2


def test_deleting_what_is_in_use_is_refused() -> None:
    with pytest.raises(errors.Conflict, match="attached"):
        Script([problem(409, "the volume is attached to a pod")]).client.delete_network_volume("v1")


def test_an_empty_204_is_success() -> None:
    Script([httpx.Response(204)]).client.delete_pod("p1")


def test_the_answer_to_a_question_has_to_be_the_apis() -> None:
    for answer in (httpx.Response(200, text="<html>sign in</html>"), ok([POD]), ok({"id": "p1"})):
        with pytest.raises(errors.NotTheApi) as caught:
            Script([answer]).client.get_pod("p1")
        assert caught.value.exit_code == 6
        assert "RUNPOD_API_URL" in str(caught.value.hint)
