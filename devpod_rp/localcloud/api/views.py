"""A pod and a network volume as the API shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from devpod_rp.localcloud import commands, timestamps
from devpod_rp.localcloud.containers import PUBLIC_ADDRESS
from devpod_rp.localcloud.pods import actions
from devpod_rp.localcloud.records import NetworkVolume, Pod, Status


def pod(record: Pod, now: float, *, stale_port_seconds: float = 0.0) -> dict[str, Any]:
    """The ``Pod`` object. ``ssh.proxy`` is null: the local cloud has no SSH proxy.

    For *stale_port_seconds* after a start it shows the SSH port of the run before, as RunPod was seen to.
    """
    command = commands.decode(record.args)
    running = record.status is Status.RUNNING
    stale = record.started_at is not None and now < record.started_at + stale_port_seconds
    ports = record.former_ports if stale and record.former_ports else record.external_ports
    shown: dict[str, Any] = {
        "id": record.id,
        "name": record.name,
        "image": record.image,
        "args": record.args,
        "entrypoint": list(command.entrypoint),
        "cmd": list(command.cmd),
        "disk": record.disk,
        "ports": list(record.ports),
        "env": dict(record.env),
        "registry": record.registry,
        "status": record.status.value,
        "actions": list(actions(record)),
        "mounts": _mounts(record),
        "cloud": record.cloud,
        "dataCenterId": record.data_center,
        "cudaVersion": record.cuda_version,
        "ssh": {"proxy": None, "direct": _direct(ports) if running else None},
        "template": None,
        "cost": record.price_per_hour if record.status.active else 0.0,
        "locked": record.locked,
        "globalNetworking": _global_networking(record),
        "runtime": _runtime(record, now) if running else None,
        "createdAt": timestamps.rfc3339(record.created_at),
        "startedAt": timestamps.rfc3339(record.started_at) if record.started_at else None,
    }
    if record.gpu and not record.without_gpu:
        shown["gpu"] = dict(record.gpu)
    if record.cpu:
        shown["cpu"] = dict(record.cpu)
    return shown


def network_volume(record: NetworkVolume) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "size": record.size,
        "dataCenter": record.data_center,
        "type": record.type,
    }


def _mounts(record: Pod) -> dict[str, Any]:
    if record.persistent:
        return {"persistent": dict(record.persistent)}
    if record.network:
        return {"network": [dict(record.network)]}
    return {}


def _direct(ports: Mapping[str, int]) -> dict[str, Any] | None:
    port = ports.get("22/tcp")
    if port is None:
        return None
    return {
        "host": PUBLIC_ADDRESS,
        "port": port,
        "username": "root",
        "command": f"ssh root@{PUBLIC_ADDRESS} -p {port}",
    }


def _runtime(record: Pod, now: float) -> dict[str, Any]:
    """Only what is known: nothing measures the container's load, and a simulated GPU is idle."""
    rows = []
    for entry in record.ports:
        number, _, protocol = entry.partition("/")
        public = record.external_ports.get(entry, int(number))
        rows.append({"private": int(number), "public": public, "type": protocol, "ip": PUBLIC_ADDRESS})
    runtime: dict[str, Any] = {"uptime": max(0, int(now - (record.started_at or now))), "ports": rows}
    if record.gpu:
        runtime["gpus"] = [{"util": 0, "memoryUtil": 0} for _ in range(record.gpu_count)]
    return runtime


def _global_networking(record: Pod) -> dict[str, Any]:
    if not record.global_networking:
        return {"enabled": False}
    last = hashlib.sha256(record.id.encode()).digest()
    return {
        "enabled": True,
        "ip": f"10.{last[0]}.{last[1]}.{last[2]}",
        "internalDns": f"{record.id}.runpod.internal",
    }
