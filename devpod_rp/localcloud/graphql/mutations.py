"""What can be ordered: on-demand and spot pods, and starts that REST v2 cannot express."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from devpod_rp.localcloud import schemas
from devpod_rp.localcloud.api.rehearsal import rehearsed
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.graphql.resolving import Info, Input, Resolver
from devpod_rp.localcloud.graphql.views import pod_view
from devpod_rp.localcloud.problems import NO_CAPACITY, NO_SPOT_CAPACITY, Problem, bad_request
from devpod_rp.localcloud.records import Pod
from devpod_rp.localcloud.validation import check


def _deploy(info: Info, input: Input | None = None) -> dict[str, Any]:
    return _made(info.context, input or {}, None)


def _rent(info: Info, input: Input) -> dict[str, Any]:
    return _made(info.context, input, float(input["bidPerGpu"]))


def _deploy_cpu(info: Info, input: Input) -> dict[str, Any]:
    return _made(info.context, input, None)


def _made(cloud: Cloud, wanted: Input, bid: float | None) -> dict[str, Any]:
    """A pod in the cheaper of the clouds asked for that has it."""
    asked = wanted.get("cloudType") or "ALL"
    only_secure = wanted.get("networkVolumeId") or wanted.get("instanceId")
    tiers = ["SECURE"] if only_secure else ["COMMUNITY", "SECURE"] if asked == "ALL" else [asked]
    bodies = [check(_create_body(wanted, tier), schemas.CREATE_POD) for tier in tiers]

    def first_to_be_had(factor: float) -> Pod:
        for body in bodies[:-1]:
            try:
                return cloud.pods.create(body, price_factor=factor, bid_per_gpu=bid)
            except Problem as problem:
                if problem.detail not in (NO_CAPACITY, NO_SPOT_CAPACITY):
                    raise
        return cloud.pods.create(bodies[-1], price_factor=factor, bid_per_gpu=bid)

    return _shown(cloud, rehearsed(cloud, first_to_be_had))


def _create_body(wanted: Input, tier: str) -> dict[str, Any]:
    """The create body of REST v2 that means the same."""
    body: dict[str, Any] = {
        "name": wanted.get("name") or "my pod",
        "image": wanted.get("imageName"),
        "disk": wanted.get("containerDiskInGb"),
        "gpu": None if wanted.get("instanceId") else _gpu(wanted),
        "cpu": _cpu(wanted["instanceId"]) if wanted.get("instanceId") else None,
        "cloud": tier,
        "args": wanted.get("dockerArgs") or None,
        "env": {each["key"]: each["value"] for each in wanted.get("env") or ()},
        "ports": [each.strip() for each in (wanted.get("ports") or "").split(",") if each.strip()] or None,
        "startSsh": wanted.get("startSsh"),
        "startJupyter": wanted.get("startJupyter"),
        "templateId": wanted.get("templateId"),
        "dataCenterIds": [wanted["dataCenterId"]] if wanted.get("dataCenterId") else None,
    }
    path = wanted.get("volumeMountPath") or "/workspace"
    if wanted.get("networkVolumeId"):
        body["mounts"] = {"network": [{"volumeId": wanted["networkVolumeId"], "path": path}]}
    elif wanted.get("volumeInGb"):
        body["mounts"] = {"persistent": {"size": wanted["volumeInGb"], "path": path}}
    return {key: value for key, value in body.items() if value is not None}


def _gpu(wanted: Input) -> dict[str, Any]:
    count = wanted.get("gpuCount") or 1
    gpu = {
        "id": wanted.get("gpuTypeId") or "",
        "count": count,
        "minCudaVersion": wanted.get("minCudaVersion"),
        "allowedCudaVersions": wanted.get("allowedCudaVersions"),
        # GraphQL counts for the whole pod, REST v2 for one GPU.
        "minVcpuCountPerGpu": math.ceil((wanted.get("minVcpuCount") or 0) / count) or None,
        "minRamPerGpu": math.ceil((wanted.get("minMemoryInGb") or 0) / count) or None,
    }
    return {key: value for key, value in gpu.items() if value is not None}


def _cpu(instance: str) -> dict[str, Any]:
    """``cpu3c-2-4`` means two vCPUs (and 4 GB) of the flavor cpu3c."""
    flavor, _, size = instance.partition("-")
    vcpus = size.partition("-")[0]
    if not vcpus.isdigit():
        raise bad_request(f"'{instance}' is no instance id.")
    return {"id": flavor, "vcpuCount": int(vcpus)}


def _bid_resume(info: Info, input: Input) -> dict[str, Any]:
    cloud: Cloud = info.context
    return _shown(cloud, cloud.pods.start(input["podId"], bid_per_gpu=float(input["bidPerGpu"])))


def _resume(info: Info, input: Input) -> dict[str, Any]:
    cloud: Cloud = info.context
    return _shown(cloud, cloud.pods.start(input["podId"], without_gpu=input.get("gpuCount") == 0))


def _stop(info: Info, input: Input) -> dict[str, Any]:
    cloud: Cloud = info.context
    pod = cloud.pods.act(input["podId"], "stop")
    assert pod is not None  # only terminate leaves none
    return _shown(cloud, pod)


def _terminate(info: Info, input: Input) -> None:
    cloud: Cloud = info.context
    cloud.pods.terminate(input["podId"])


def _shown(cloud: Cloud, pod: Pod) -> dict[str, Any]:
    return pod_view(pod, cloud.clock())


MUTATIONS: Mapping[str, Resolver] = {
    "podFindAndDeployOnDemand": _deploy,
    "deployCpuPod": _deploy_cpu,
    "podRentInterruptable": _rent,
    "podBidResume": _bid_resume,
    "podResume": _resume,
    "podStop": _stop,
    "podTerminate": _terminate,
}
