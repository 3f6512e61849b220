"""Every request our client can send is one that RunPod's OpenAPI file allows."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpod_rp.runpod import model
from devpod_rp.runpod.client import RunPod
from tests.localcloud.conformance import openapi, validator
from tests.runpod.scripted import Scripted

needs_specification = pytest.mark.skipif(openapi() is None, reason="RunPod's OpenAPI file is not here")

REQUEST = model.CreatePodRequest(name="dev", image="img", gpu=model.CreateGpuConfig(id="NVIDIA L4", count=1))
FULL = model.CreatePodRequest(
    name="dev",
    image="runpod/pytorch:1",
    disk=50,
    gpu=model.CreateGpuConfig(
        id="NVIDIA L4", count=2, min_cuda_version="12.8", min_ram_per_gpu=16, min_vcpu_count_per_gpu=4
    ),
    cloud=model.Cloud.COMMUNITY,
    data_center_ids=["EU-RO-1"],
    mounts=model.Mounts(persistent=model.PersistentMount(size=20, path="/workspace")),
    ports=["22/tcp", "8888/http"],
    env={"A": "b"},
    start_ssh=True,
    start_jupyter=False,
    cmd=["sleep", "1"],
)
CPU = model.CreatePodRequest(
    name="dev",
    image="ubuntu:24.04",
    cpu=model.CreateCpuConfig(id="cpu3c", vcpu_count=4),
    mounts=model.Mounts(network=[model.NetworkMount(volume_id="v1", path="/workspace")]),
)
VOLUME = model.CreateNetworkVolumeRequest(name="data", size=10, data_center="EU-RO-1")

# One call per public verb of the client, and its answer.
CALLS: dict[str, tuple[Callable[[RunPod], Any], Any]] = {
    "create_pod": (lambda c: [c.create_pod(each) for each in (REQUEST, FULL, CPU)], {}),
    "list_pods": (lambda c: c.list_pods(), {"pods": []}),
    "get_pod": (lambda c: c.get_pod("p1"), {}),
    "update_pod": (
        lambda c: [
            c.update_pod("p1", each)
            for each in (
                model.UpdatePodRequest(name="x", disk=20, ports=["22/tcp"], env={"A": "b"}, image="i"),
                model.UpdatePodRequest(locked=True),
            )
        ],
        {},
    ),
    "start_pod": (lambda c: c.start_pod("p1"), {}),
    "stop_pod": (lambda c: c.stop_pod("p1"), {}),
    "restart_pod": (lambda c: c.restart_pod("p1"), {}),
    "delete_pod": (lambda c: c.delete_pod("p1"), {}),
    "pod_logs": (lambda c: list(c.pod_logs("p1", source="container", tail=5)), {}),
    "network_volumes": (lambda c: c.network_volumes(), {"networkVolumes": []}),
    "create_network_volume": (lambda c: c.create_network_volume(VOLUME), {}),
    "get_network_volume": (lambda c: c.get_network_volume("v1"), {}),
    "update_network_volume": (
        lambda c: c.update_network_volume("v1", model.UpdateNetworkVolumeRequest(name="n", size=20)),
        {},
    ),
    "delete_network_volume": (lambda c: c.delete_network_volume("v1"), {}),
    "ssh_keys": (lambda c: c.ssh_keys(), {"keys": []}),
    "put_ssh_keys": (lambda c: c.put_ssh_keys(["ssh-ed25519 AAAA me"]), {"keys": []}),
    "gpu_types": (lambda c: c.gpu_types(count=2, cloud="SECURE", min_cuda="12.8"), {"gpus": []}),
    "cpu_types": (lambda c: c.cpu_types(), {"cpus": []}),
    "data_centers": (lambda c: c.data_centers(), {"dataCenters": []}),
    "templates": (lambda c: [c.templates(each) for each in ("official", "verified", "community")], {"templates": []}),
    "pod_billing": (lambda c: c.pod_billing("p1", bucketSize="day", lastN=3), {"records": []}),
    "network_volume_billing": (lambda c: c.network_volume_billing(bucketSize="day", lastN=3), {"records": []}),
}
ANYTHING = {
    "id": "x1",
    "name": "x",
    "status": "RUNNING",
    "size": 10,
    "dataCenter": "EU-RO-1",
}


def requests_of(verb: str) -> list[httpx.Request]:
    call, answer = CALLS[verb]
    cloud = Scripted(httpx.Response(200, json={**ANYTHING, **answer}))
    call(cloud.client())
    assert cloud.requests
    return cloud.requests


def operation(request: httpx.Request) -> tuple[str, dict[str, Any]]:
    """The JSON pointer and the content of the operation in the OpenAPI file that *request* is."""
    for path, operations in openapi()["paths"].items():  # type: ignore[index]
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path) and request.method.lower() in operations:
            escaped = path.replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
            return f"/paths/{escaped}/{request.method.lower()}", operations[request.method.lower()]
    raise AssertionError(f"{request.method} {request.url.path} is not in the specification")


def complaints(request: httpx.Request) -> list[str]:
    pointer, content = operation(request)
    if not request.content:
        return [] if "requestBody" not in content else ["the body is missing"]
    schema = validator(f"{pointer}/requestBody/content/application~1json/schema")
    return [f"{each.json_path}: {each.message}" for each in schema.iter_errors(json.loads(request.content))]


def test_no_verb_of_the_client_was_left_out() -> None:
    verbs = {name for name, _ in inspect.getmembers(RunPod, inspect.isfunction) if not name.startswith("_")}
    assert verbs - {"close"} == set(CALLS)


@needs_specification
@pytest.mark.parametrize("verb", CALLS)
def test_every_request_is_in_the_specification(verb: str) -> None:
    for request in requests_of(verb):
        assert complaints(request) == []


@needs_specification
@pytest.mark.parametrize("verb", CALLS)
def test_every_query_is_in_the_specification(verb: str) -> None:
    for request in requests_of(verb):
        _, content = operation(request)
        known = {}
        for each in content.get("parameters", []):
            named = openapi()["components"]["parameters"][each["$ref"].rpartition("/")[2]] if "$ref" in each else each  # type: ignore[index]
            if named["in"] == "query":
                known[named["name"]] = named["schema"]
        for name, value in parse_qsl(request.url.query.decode()):
            assert name in known, f"{request.method} {request.url}"
            allowed = known[name].get("enum") or known[name].get("items", {}).get("enum")
            assert allowed is None or value in allowed


@needs_specification
def test_the_check_itself_notices_a_wrong_body() -> None:
    request = httpx.Request("POST", "https://rest.example/v2/pods", json={"name": "dev", "novelty": 1})
    assert complaints(request) != []


names = st.text(min_size=1, max_size=20)


@needs_specification
@given(
    name=names,
    gpu=st.none() | st.builds(model.CreateGpuConfig, id=names, count=st.integers(1, 8)),
    disk=st.none() | st.integers(1, 1000),
    cloud=st.sampled_from(model.Cloud),
    centers=st.none() | st.lists(st.sampled_from(["EU-RO-1", "US-KS-2"]), min_size=1, unique=True),
    mount=st.none() | st.builds(model.PersistentMount, size=st.integers(10, 1000), path=st.just("/workspace")),
    env=st.none() | st.dictionaries(st.from_regex(r"[A-Z_]{1,9}", fullmatch=True), st.text(max_size=20), max_size=3),
)
def test_every_pod_we_can_ask_for_is_valid(name, gpu, disk, cloud, centers, mount, env) -> None:
    request = model.CreatePodRequest(
        name=name,
        image="img",
        gpu=gpu,
        disk=disk,
        cloud=cloud,
        data_center_ids=centers,
        mounts=model.Mounts(persistent=mount) if mount else None,
        env=env,
    )
    schema = validator("/components/schemas/CreatePodRequest")
    assert [each.message for each in schema.iter_errors(request.body())] == []
