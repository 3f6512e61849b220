"""The GraphQL half of the API: spot pods, preemption, starts without a GPU, the account's balance."""

from __future__ import annotations

from typing import Any

import pytest

from tests.localcloud.conftest import GPU, LocalCloud
from tests.localcloud.double import eventually

POD: dict[str, Any] = {
    "cloudType": "SECURE",
    "gpuCount": 2,
    "gpuTypeId": GPU,
    "imageName": "runpod/base:1.0.2-ubuntu2404",
    "containerDiskInGb": 10,
    "volumeInGb": 20,
    "volumeMountPath": "/workspace",
    "name": "spot",
    "ports": "22/tcp,8888/http",
    "startSsh": True,
    "env": [{"key": "A", "value": "x=1"}],
}
RENT = """
mutation($input: PodRentInterruptableInput!) {
  podRentInterruptable(input: $input) { id costPerHr desiredStatus podType env volumeInGb }
}"""

BID_AGAIN = """
mutation($id: String!, $bid: Float!) { podBidResume(input: {podId: $id, bidPerGpu: $bid, gpuCount: 2}) { id } }"""


def ask(local: LocalCloud, document: str, **variables: Any) -> dict[str, Any]:
    response = local.client.post("/graphql", json={"query": document, "variables": variables})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def rented(local: LocalCloud, **changes: Any) -> str:
    answer = ask(local, RENT, input={**POD, "bidPerGpu": 0.4, **changes})
    pod_id: str = answer["data"]["podRentInterruptable"]["id"]
    local.until(pod_id, "RUNNING")
    return pod_id


def refusal(answer: dict[str, Any]) -> str:
    message: str = answer["errors"][0]["message"]
    return message


def test_a_spot_pod_costs_its_bid_and_is_a_pod_like_any_other(local: LocalCloud) -> None:
    made = ask(local, RENT, input={**POD, "bidPerGpu": 0.4})["data"]["podRentInterruptable"]
    assert {**made, "id": ""} == {
        "id": "",
        "costPerHr": 0.8,
        "desiredStatus": "RUNNING",
        "podType": "INTERRUPTABLE",
        "env": ["A=x=1"],
        "volumeInGb": 20,
    }
    pod = local.until(made["id"], "RUNNING")
    assert (pod["name"], pod["cost"], pod["ports"]) == ("spot", 0.8, ["22/tcp", "8888/http"])
    assert pod["mounts"] == {"persistent": {"size": 20, "path": "/workspace"}}


def test_a_bid_below_the_market_gets_nothing(local: LocalCloud) -> None:
    prices = ask(local, "query($id: String) {gpuTypes(input: {id: $id}) {secureSpotPrice securePrice}}", id=GPU)[
        "data"
    ]["gpuTypes"][0]
    assert 0 < prices["secureSpotPrice"] < prices["securePrice"]
    refused = ask(local, RENT, input={**POD, "bidPerGpu": prices["secureSpotPrice"] - 0.01})
    assert "no longer any instances available" in refusal(refused)
    assert local.client.get("/v2/pods").json()["pods"] == []


def test_all_clouds_means_the_cheaper_one_that_has_it(local: LocalCloud) -> None:
    assert local.pod(rented(local, cloudType="ALL", gpuCount=1, bidPerGpu=0.2))["cloud"] == "COMMUNITY"


def test_an_outbid_pod_is_stopped_and_comes_back_on_a_bid_or_on_demand(local: LocalCloud) -> None:
    pod_id = rented(local)
    assert local.client.post(f"/local/pods/{pod_id}/preempt").status_code == 200
    assert local.until(pod_id, "EXITED")["cost"] == 0
    told = ask(local, "query($id: String!) {pod(input: {podId: $id}) {desiredStatus lastStatusChange}}", id=pod_id)
    assert told["data"]["pod"] == {"desiredStatus": "EXITED", "lastStatusChange": "Exited by Runpod: outbid"}
    eventually(lambda: local.did("wipe", pod_id), "its container disk is wiped")

    low = ask(local, BID_AGAIN, id=pod_id, bid=0.01)
    assert "no longer any instances available" in refusal(low)
    ask(local, BID_AGAIN, id=pod_id, bid=0.5)
    assert local.until(pod_id, "RUNNING")["cost"] == 1.0

    local.client.post(f"/local/pods/{pod_id}/preempt")
    local.until(pod_id, "EXITED")
    ask(local, "mutation($id: String!) {podResume(input: {podId: $id, gpuCount: 2}) {id}}", id=pod_id)
    assert local.until(pod_id, "RUNNING")["cost"] == pytest.approx(2 * 0.69)
    assert local.client.post(f"/local/pods/{pod_id}/preempt").status_code == 409


def test_only_a_running_spot_pod_can_be_outbid(local: LocalCloud) -> None:
    pod = local.running()
    assert local.client.post(f"/local/pods/{pod['id']}/preempt").status_code == 409
    assert local.client.post("/local/pods/nothing/preempt").status_code == 404


def test_a_pod_whose_host_is_full_starts_without_a_gpu_and_later_with_one_again(local: LocalCloud) -> None:
    pod_id = local.running()["id"]
    local.act(pod_id, "stop")
    local.until(pod_id, "EXITED")
    local.faults(start="not-enough-gpus")
    assert local.act(pod_id, "start").status_code == 400
    ask(local, "mutation($id: String!) {podResume(input: {podId: $id, gpuCount: 0}) {id}}", id=pod_id)
    bare = local.until(pod_id, "RUNNING")
    assert "gpu" not in bare
    assert 0 < bare["cost"] < 0.2
    local.faults()
    local.act(pod_id, "stop")
    local.until(pod_id, "EXITED")
    local.act(pod_id, "start")
    whole = local.until(pod_id, "RUNNING")
    assert (whole["gpu"]["count"], whole["cost"]) == (1, 0.69)


def test_the_account_tells_balance_and_burn(local: LocalCloud) -> None:
    local.client.put("/local/account", json={"balance_usd": 12.5})
    pod_id = rented(local)
    me = ask(local, "{myself {clientBalance currentSpendPerHr pods {id} networkVolumes {id}}}")["data"]["myself"]
    assert me["clientBalance"] == pytest.approx(12.5, abs=0.01)
    assert me["currentSpendPerHr"] == 0.8
    assert me["pods"] == [{"id": pod_id}]


def test_introspection_is_disabled_and_nonsense_is_said_with_200(local: LocalCloud) -> None:
    assert "introspection" in refusal(ask(local, "{__schema {types {name}}}"))
    assert refusal(ask(local, "{nothing}"))
    assert refusal(ask(local, "not graphql {{{"))
    assert local.client.post("/graphql", json={"q": 1}).status_code == 400


def test_the_key_may_stand_in_the_address_and_must_be_right(local: LocalCloud) -> None:
    import httpx

    query = {"query": "{myself {id}}"}
    with httpx.Client(base_url=local.url, trust_env=False) as client:
        assert client.post("/graphql", params={"api_key": local.token}, json=query).status_code == 200
        assert client.post("/graphql", params={"api_key": "wrong"}, json=query).status_code == 401
        assert client.post("/graphql", json=query).status_code == 401
