"""The API key and the values of variables reach the cloud and nobody else."""

from __future__ import annotations

import logging
import traceback

import httpx
import pytest

from devpod_rp.errors import DevpodError
from devpod_rp.lifecycle.clouds import Cloud
from devpod_rp.runpod.model import CreatePodRequest, Pod, UpdatePodRequest
from tests.runpod.scripted import KEY, REQUEST, Script, lost, ok, problem, refused

VALUE = "hf_TOKENTOKENTOKEN"


def echo(request: httpx.Request) -> httpx.Response:
    """A proxy that complains by showing what it was sent."""
    return httpx.Response(
        409, json={"detail": str(dict(request.headers)), "errors": [request.headers["authorization"]]}
    )


@pytest.mark.parametrize(
    "steps",
    [
        [problem(401, "bad key")],
        [lost()],
        [refused()] * 5,
        [problem(500)],
        [httpx.Response(200, text="<html>")],
        [ok({"id": KEY})],
        [echo],
        [lambda request: httpx.Response(409, text=f"no: {request.headers['authorization']}")],
    ],
)
def test_the_key_is_in_no_error_and_no_traceback(steps: list) -> None:
    with pytest.raises(DevpodError) as caught:
        Script(steps).client.create_pod(REQUEST)
    error = caught.value
    shown = "".join([*traceback.format_exception(error), repr(error), str(error.as_json()), str(error.hint)])
    assert KEY not in shown


def test_the_key_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script = Script([ok(), problem(503), ok()])
    script.client.get_pod("p1")
    script.client.get_pod("p1")
    assert script.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert "event=api method=GET path=/v2/pods/p1 status=200" in caplog.text
    assert KEY not in caplog.text


def test_the_key_is_in_no_repr() -> None:
    client = Script([]).client
    for each in (client, *vars(client).values(), *vars(vars(client)["_http"]).values()):
        assert KEY not in repr(each)
    assert KEY not in repr(Cloud("runpod", "https://api.example", KEY, "a test"))


def test_the_key_goes_to_no_other_host_when_the_cloud_redirects() -> None:
    script = Script([httpx.Response(302, headers={"Location": "https://evil.example/v2/pods/p1"})])
    with pytest.raises(DevpodError):
        script.client.get_pod("p1")
    assert [each.url.host for each in script.requests] == ["api.example"]


def test_values_of_variables_are_in_no_repr() -> None:
    env = {"HF_TOKEN": VALUE}
    for each in (
        CreatePodRequest(name="dev", env=env),
        UpdatePodRequest(env=env),
        Pod(id="p1", name="dev", status="RUNNING", env=env),
    ):
        assert VALUE not in repr(each)
        assert VALUE not in str(each)
