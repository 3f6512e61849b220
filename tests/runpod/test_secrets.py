"""The API key and the values of variables show up in nothing that a debugger, a traceback or a log might print."""

from __future__ import annotations

import traceback

import httpx
import pytest

from devpod_rp.errors import DevpodError
from devpod_rp.lifecycle.account.clouds import Cloud
from devpod_rp.runpod.model import CreatePodRequest, Pod, UpdatePodRequest
from tests.runpod.scripted import KEY, Scripted, pod, problem

VALUE = "hf_TOKENTOKENTOKEN"
REQUEST = CreatePodRequest(name="dev", env={"HF_TOKEN": VALUE})


@pytest.mark.parametrize(
    "fault",
    [
        problem(401),
        problem(500),
        httpx.ReadTimeout("timed out"),
        httpx.ConnectError("refused"),
        httpx.Response(201, json={"id": VALUE, "env": VALUE}),
    ],
    ids=str,
)
def test_neither_is_in_a_traceback(fault) -> None:
    with pytest.raises(DevpodError) as caught:
        Scripted(fault).client().create_pod(REQUEST)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert VALUE not in shown


def test_the_key_is_in_no_repr() -> None:
    client = Scripted(httpx.Response(200, json=pod())).client()
    for each in (client, *vars(client).values(), *vars(vars(client)["_http"]).values()):
        assert KEY not in repr(each)
    assert KEY not in repr(Cloud("runpod", "https://api.example", KEY, "a test"))


def test_values_of_variables_are_in_no_repr() -> None:
    env = {"HF_TOKEN": VALUE}
    for each in (REQUEST, UpdatePodRequest(env=env), Pod(id="p1", name="dev", status="RUNNING", env=env)):
        assert VALUE not in repr(each)
        assert VALUE not in str(each)
