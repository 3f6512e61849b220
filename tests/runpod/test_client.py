"""What goes over the wire: every request is one that RunPod documents, every answer is read to its end."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from pydantic import ValidationError

from devpod_rp.runpod.client import RunPod
from devpod_rp.runpod.model import (
    Cloud,
    CreateCpuConfig,
    CreateGpuConfig,
    CreateNetworkVolumeRequest,
    CreatePodRequest,
    Mounts,
    NetworkMount,
    PersistentMount,
    PodStatus,
    UpdateNetworkVolumeRequest,
    UpdatePodRequest,
)
from tests.localcloud.conformance import openapi, validator
from tests.runpod.scripted import Scripted, pod

GPU_POD = CreatePodRequest(
    name="devpod-thing-1234",
    image="runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
    disk=50,
    gpu=CreateGpuConfig(
        id="NVIDIA GeForce RTX 4090", count=2, min_cuda_version="12.8", min_ram_per_gpu=32, min_vcpu_count_per_gpu=8
    ),
    cloud=Cloud.COMMUNITY,
    data_center_ids=["EU-RO-1", "US-KS-2"],
    mounts=Mounts(persistent=PersistentMount(size=20, path="/workspace")),
    ports=["22/tcp", "8888/http"],
    env={"PUBLIC_KEY": "ssh-ed25519 AAAA me", "QUOTES": "a \"b\" 'c' $d\n"},
    start_ssh=True,
)
CPU_POD = CreatePodRequest(
    name="cpu",
    image="ubuntu:24.04",
    disk=10,
    cpu=CreateCpuConfig(id="cpu3c", vcpu_count=4),
    mounts=Mounts(network=[NetworkMount(volume_id="vol1", path="/workspace")]),
    cmd=["bash", "-c", "sleep infinity"],
)
VOLUME = {"id": "vol1", "name": "data", "size": 20, "dataCenter": "EU-RO-1"}
CALLS: dict[str, tuple[Callable[[RunPod], object], object, str, str]] = {
    "a GPU pod": (lambda cloud: cloud.create_pod(GPU_POD), pod(), "post", "/v2/pods"),
    "a CPU pod": (lambda cloud: cloud.create_pod(CPU_POD), pod(), "post", "/v2/pods"),
    "a renamed pod": (lambda cloud: cloud.update_pod("a", UpdatePodRequest(name="b")), pod(), "patch", "/v2/pods/{id}"),
    "a changed pod": (
        lambda cloud: cloud.update_pod("a", UpdatePodRequest(ports=["22/tcp"], env={"A": "1"}, disk=60, locked=True)),
        pod(),
        "patch",
        "/v2/pods/{id}",
    ),
    "start": (lambda cloud: cloud.start_pod("a"), pod(), "post", "/v2/pods/{id}/action"),
    "stop": (lambda cloud: cloud.stop_pod("a"), pod(), "post", "/v2/pods/{id}/action"),
    "restart": (lambda cloud: cloud.restart_pod("a"), pod(), "post", "/v2/pods/{id}/action"),
    "a new volume": (
        lambda cloud: cloud.create_network_volume(
            CreateNetworkVolumeRequest(name="data", size=20, data_center="EU-RO-1")
        ),
        VOLUME,
        "post",
        "/v2/network-volumes",
    ),
    "a grown volume": (
        lambda cloud: cloud.update_network_volume("vol1", UpdateNetworkVolumeRequest(size=30)),
        VOLUME,
        "patch",
        "/v2/network-volumes/{id}",
    ),
    "keys": (lambda cloud: cloud.put_ssh_keys(["ssh-ed25519 AAAA me"]), None, "put", "/v2/account/ssh-keys"),
}


@pytest.mark.skipif(openapi() is None, reason="RunPod's OpenAPI file does not lie beside the project")
@pytest.mark.parametrize("what", CALLS)
def test_every_body_is_one_that_runpod_documents(what):
    call, answer, method, path = CALLS[what]
    cloud = Scripted(httpx.Response(200, json=answer))
    call(cloud.client())
    (request,) = cloud.requests
    assert request.method == method.upper()
    pointer = f"/paths/{path.replace('/', '~1')}/{method}/requestBody/content/application~1json/schema"
    validator(pointer).validate(json.loads(request.content))


def test_what_is_not_set_is_not_sent():
    cloud = Scripted(httpx.Response(200, json=pod()))
    cloud.client().update_pod("a", UpdatePodRequest(name="b"))
    assert json.loads(cloud.requests[0].content) == {"name": "b"}


def test_a_body_with_a_field_that_does_not_exist_cannot_be_built():
    with pytest.raises(ValidationError, match="gpus"):
        CreatePodRequest(name="a", gpus=1)  # type: ignore[call-arg]


def test_all_pages_are_read():
    cloud = Scripted(
        httpx.Response(200, json={"pods": [pod("a")], "pagination": {"hasNextPage": True, "nextCursor": "x"}}),
        httpx.Response(200, json={"pods": [pod("b")], "pagination": {"hasNextPage": True, "nextCursor": "y"}}),
        httpx.Response(200, json={"pods": [pod("c")], "pagination": {"hasNextPage": False, "nextCursor": None}}),
    )
    assert [each.id for each in cloud.client().list_pods()] == ["a", "b", "c"]
    assert [request.url.params.get("cursor") for request in cloud.requests] == [None, "x", "y"]


def test_a_server_that_does_not_paginate_is_asked_once():
    cloud = Scripted(httpx.Response(200, json={"pods": [pod("a"), pod("b")]}))
    assert [each.id for each in cloud.client().list_pods()] == ["a", "b"]
    assert len(cloud.requests) == 1


def test_a_cursor_that_stands_still_ends_the_list():
    page = {"pods": [pod("a")], "pagination": {"hasNextPage": True, "nextCursor": "x"}}
    cloud = Scripted(httpx.Response(200, json=page))
    assert len(cloud.client().list_pods()) == 2
    assert len(cloud.requests) == 2


def test_what_runpod_adds_later_does_no_harm():
    cloud = Scripted(httpx.Response(200, json=pod(status="DREAMING", astrology={"sign": "lion"})))
    assert cloud.client().get_pod("abc123").status is PodStatus.UNKNOWN


def test_the_catalogs_placeholder_is_no_gpu():
    gpu = {"id": "unknown", "name": "unknown", "price": {"secure": 0, "community": 0}, "maxCount": {}}
    cloud = Scripted(httpx.Response(200, json={"gpus": [gpu]}))
    assert cloud.client().gpu_types(count=2, min_cuda="12.8") == []
    assert dict(cloud.requests[0].url.params) == {
        "include": "AVAILABILITY",
        "product": "POD",
        "count": "2",
        "minCudaVersion": "12.8",
    }
