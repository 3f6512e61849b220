"""A pod as GraphQL shows it, which names most things differently from REST v2."""

from __future__ import annotations

from typing import Any

from devpod_rp.localcloud.containers import PUBLIC_ADDRESS
from devpod_rp.localcloud.records import Pod, Status


def pod_view(pod: Pod, now: float) -> dict[str, Any]:
    volume = pod.persistent or pod.network or {}
    resources = pod.gpu or pod.cpu or {}
    uptime = int(now - pod.started_at) if pod.started_at else 0
    return {
        "id": pod.id,
        "name": pod.name,
        "podType": "INTERRUPTABLE" if pod.bid_per_gpu is not None else "RESERVED",
        "imageName": pod.image,
        "desiredStatus": _desired(pod),
        "lastStatusChange": _last_change(pod),
        "uptimeSeconds": uptime,
        "costPerHr": pod.price_per_hour,
        "containerDiskInGb": pod.disk,
        "volumeInGb": int(pod.persistent["size"]) if pod.persistent else 0,
        "volumeMountPath": volume.get("path"),
        "gpuCount": pod.gpu_count,
        "memoryInGb": resources.get("memory"),
        "vcpuCount": resources.get("vcpuCount"),
        "dockerArgs": pod.args,
        "dockerId": None,
        "port": None,
        "env": [f"{name}={value}" for name, value in pod.env.items()],
        "ports": ",".join(pod.ports),
        "machineId": f"machine-{pod.data_center.lower()}",
        "machine": {
            "gpuDisplayName": pod.gpu["id"] if pod.gpu else None,
            "location": pod.data_center,
            "podHostId": f"{pod.id}-{pod.api_key[-8:]}",
        },
        "runtime": _runtime(pod, uptime) if pod.status is Status.RUNNING else None,
    }


def _desired(pod: Pod) -> str:
    return "RUNNING" if pod.status.active else "TERMINATED" if pod.status.gone else "EXITED"


def _last_change(pod: Pod) -> str:
    if pod.preempted:
        return "Exited by Runpod: outbid"
    if pod.failure is not None:
        return f"Exited by Runpod: {pod.failure}"
    return f"{'Rented' if pod.status.active else 'Exited'} by User"


def _runtime(pod: Pod, uptime: int) -> dict[str, Any]:
    return {
        "uptimeInSeconds": uptime,
        "ports": [
            {
                "ip": PUBLIC_ADDRESS,
                "isIpPublic": True,
                "privatePort": int(port.partition("/")[0]),
                "publicPort": public,
                "type": port.partition("/")[2],
            }
            for port, public in pod.external_ports.items()
        ],
        "gpus": [
            {"id": f"GPU-{index}", "gpuUtilPercent": 0.0, "memoryUtilPercent": 0.0} for index in range(pod.gpu_count)
        ],
        "container": {"cpuPercent": 0.0, "memoryPercent": 0.0},
    }
