"""What the API refuses, with the status and the words that RunPod uses."""

from __future__ import annotations

import httpx
import pytest

from devpod_rp.localcloud.problems import NO_CAPACITY
from tests.localcloud.conftest import GPU

NETWORK = {"network": [{"volumeId": "nope", "path": "/workspace"}]}


def test_no_key_and_a_wrong_key_are_refused(local):
    for headers, detail in (
        ({"Authorization": ""}, "missing bearer token"),
        ({"Authorization": "Basic abc"}, "missing bearer token"),
        ({"Authorization": "Bearer wrong"}, "invalid bearer token"),
    ):
        response = local.client.get("/v2/pods", headers=headers)
        assert response.status_code == 401
        assert response.json() == {"title": "Unauthorized", "status": 401, "detail": detail}
        assert "ratelimit" not in response.headers


def test_a_body_that_is_too_large_is_refused_before_the_key_is_looked_at(local):
    response = httpx.post(f"{local.url}/v2/pods", content=b"x" * 102_401, trust_env=False)
    assert response.status_code == 413

    def chunks():
        for _ in range(11):
            yield b"x" * 10_000

    assert httpx.post(f"{local.url}/v2/pods", content=chunks(), trust_env=False).status_code == 413


def test_unknown_fields_are_named(local):
    response = local.client.post("/v2/network-volumes", json={"name": "v", "size": 10, "dataCenterId": "EU-RO-1"})
    assert response.status_code == 422
    assert response.json() == {
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "Request validation failed.",
        "errors": ["$: missing property 'dataCenter'", "$: additional properties 'dataCenterId' not allowed"],
    }


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"cloud": "ALL"}, "$.cloud: value must be one of 'SECURE', 'COMMUNITY'"),
        ({"gpu": {"id": GPU, "count": "1"}}, "$.gpu.count: got string, want integer"),
        ({"gpu": {"id": GPU, "count": 0}}, "$.gpu.count: minimum: got 0, want 1"),
        ({"gpu": {"id": GPU, "type": "x"}}, "$.gpu: additional properties 'type' not allowed"),
        ({"mounts": {"persistent": {"size": 5, "path": "/w"}}}, "$.mounts.persistent.size: minimum: got 5, want 10"),
        ({"mounts": {"persistent": {"size": 10}}}, "$.mounts.persistent: missing property 'path'"),
        ({"env": {"A": 1}}, "$.env.A: got integer, want string"),
        ({"name": ""}, "$.name: minLength: got 0, want 1"),
        ({"image": None}, "$: missing property 'image'"),
        ({"imageName": "x"}, "$: additional properties 'imageName' not allowed"),
        ({"ports": ["22"]}, "$.ports[0]: '22' is not of the form port/protocol with protocol tcp or http"),
        ({"ports": ["22/udp"]}, "$.ports[0]: '22/udp' is not of the form port/protocol with protocol tcp or http"),
    ],
)
def test_each_violation_of_the_schema_is_listed(local, change, error):
    response = local.client.post("/v2/pods", json=local.body(**change))
    assert response.status_code == 422
    assert response.json()["errors"] == [error]


@pytest.mark.parametrize(
    "change",
    [
        {"gpu": {"id": "NVIDIA GeForce RTX 4090 Ti", "count": 1}},
        {"gpu": {"id": GPU}},
        {"gpu": {"id": GPU, "count": 64}},
        {"gpu": {"id": "NVIDIA B200", "count": 1}},
        {"dataCenterIds": ["AP-JP-1"]},
        {"dataCenterIds": ["XX-NO-1"]},
        {"gpu": {"id": GPU, "count": 1, "allowedCudaVersions": ["11.0"]}},
        {"gpu": {"id": GPU, "count": 1, "minCudaVersion": "99.0"}},
        {"gpu": {"id": GPU, "count": 1, "minRamPerGpu": 9999}},
        {"gpu": None, "mounts": None, "cpu": {"id": "cpu9x", "vcpuCount": 2}},
    ],
    ids=[
        "unknown gpu",
        "count omitted",
        "too many",
        "out of stock",
        "not offered there",
        "unknown data center",
        "cuda version",
        "cuda floor",
        "too much ram",
        "unknown cpu flavor",
    ],
)
def test_no_capacity_in_runpods_words(local, change):
    response = local.client.post("/v2/pods", json=local.body(**change))
    assert response.status_code == 400
    assert response.json()["detail"] == NO_CAPACITY


@pytest.mark.parametrize(
    "change",
    [
        {"mounts": {"persistent": {"size": 20, "path": "/w"}, **NETWORK}},
        {"mounts": {"network": []}},
        {"mounts": NETWORK},
        {"mounts": {"persistent": {"size": 20, "path": "relative"}}},
        {"mounts": {"persistent": {"size": 20, "path": "/"}}},
        {"mounts": {"persistent": {"size": 20, "path": "/a/../etc"}}},
        {"gpu": None, "cpu": {"id": "cpu3c", "vcpuCount": 2}},
        {"gpu": None, "mounts": None, "cpu": {"id": "cpu3c", "vcpuCount": 6}},
        {"gpu": None},
        {"cpu": {"id": "cpu3c", "vcpuCount": 2}},
        {"image": ""},
        {"disk": None},
        {"registry": "unknown"},
        {"env": {f"K{number}": "v" for number in range(51)}},
        {"ports": [f"{port}/http" for port in range(8000, 8011)]},
        {"gpu": {"id": GPU, "count": 1, "allowedCudaVersions": ["12.8"], "minCudaVersion": "12.4"}},
        {"args": "echo 'open"},
    ],
    ids=[
        "both mounts",
        "empty network",
        "unknown volume",
        "relative path",
        "root path",
        "dotted path",
        "cpu with persistent",
        "vcpus no power of two",
        "neither gpu nor cpu",
        "gpu and cpu",
        "empty image",
        "no disk",
        "unknown registry",
        "too many variables",
        "too many http ports",
        "two cuda constraints",
        "open quote",
    ],
)
def test_requests_that_break_a_rule_are_bad_requests(local, change):
    response = local.client.post("/v2/pods", json=local.body(**change))
    assert response.status_code == 400, response.text
    assert response.json()["detail"] != NO_CAPACITY


def test_a_cpu_pod_without_a_volume_runs(local):
    pod = local.running(gpu=None, mounts=None, cpu={"id": "cpu3g", "vcpuCount": 4})
    assert pod["cpu"] == {"id": "cpu3g", "vcpuCount": 4, "memory": 16}
    assert "gpu" not in pod
    assert pod["cudaVersion"] is None


def test_unknown_paths_and_ids_have_their_own_words(local):
    assert local.client.get("/v2/pod").json()["detail"] == "The requested path was not found."
    assert local.client.get("/v2/pods/").json()["detail"] == "The requested path was not found."
    assert local.client.get("/v2/pods/none").json()["detail"] == "resource not found"
    assert local.client.get("/").status_code == 404


def test_other_methods_are_answered_with_those_allowed(local):
    response = local.client.put("/v2/pods", json={})
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"
    assert response.json() == {
        "title": "Method Not Allowed",
        "status": 405,
        "detail": "The requested method is not allowed for this path.",
    }


@pytest.mark.parametrize("content", [b"{", b"[1", b"\xff\xfe", b"[" * 50_000])
def test_a_body_that_is_not_json_is_a_bad_request(local, content):
    assert local.client.post("/v2/pods", content=content).status_code == 400


@pytest.mark.parametrize("body", [[], "x", 1, None])
def test_a_body_that_is_no_object_is_refused(local, body):
    import json

    response = local.client.post("/v2/pods", content=json.dumps(body))
    assert response.status_code == 422
    assert response.json()["errors"][0].startswith("$: got ")


def test_unknown_query_parameters_are_ignored(local):
    assert local.client.get("/v2/pods", params={"colour": "blue"}).status_code == 200


def test_every_response_carries_an_id_and_the_quota(local):
    first = local.client.get("/v2/pods")
    second = local.client.get("/v2/pods")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert first.headers["ratelimit-policy"] == '"minute";q=6000;w=60, "hour";q=200000;w=3600, "day";q=2000000;w=86400'
    assert first.headers["ratelimit"] != second.headers["ratelimit"]


def test_without_credit_nothing_starts(local):
    pod = local.running()
    local.act(pod["id"], "stop")
    local.client.put("/local/account", json={"balance_usd": 0.10})
    assert local.client.post("/v2/pods", json=local.body()).status_code == 402
    assert local.act(pod["id"], "start").status_code == 402
