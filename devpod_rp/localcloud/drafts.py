"""From a request to a pod's record: the rules that need nothing but the request, and the pod it changes."""

from __future__ import annotations

import dataclasses
import secrets
import string
from collections.abc import Mapping
from typing import Any

from devpod_rp.localcloud import commands
from devpod_rp.localcloud.catalog import Catalog
from devpod_rp.localcloud.placement import Place
from devpod_rp.localcloud.problems import bad_request, invalid
from devpod_rp.localcloud.records import Pod, Status

_MAX_ENV = 50
_MAX_HTTP_PORTS = 10
_ID_ALPHABET = string.ascii_lowercase + string.digits


def new_pod(request: Mapping[str, Any], found: Place, now: float, account_keys: list[str]) -> Pod:
    mounts = request.get("mounts", {})
    networks = mounts.get("network") or [None]
    return Pod(
        id="".join(secrets.choice(_ID_ALPHABET) for _ in range(14)),
        name=request["name"],
        created_at=now,
        status=Status.PROVISIONING,
        image=request["image"],
        disk=int(request["disk"]),
        ports=tuple(request.get("ports", ())),
        cloud=request.get("cloud", "SECURE"),
        data_center=found.data_center,
        price_per_hour=found.price_per_hour,
        billed_until=now,
        api_key="rpa_" + secrets.token_hex(20),
        env=dict(request.get("env", {})),
        injected_env=_injected(request, account_keys),
        args=commands.stored(request),
        gpu=found.gpu,
        cpu=found.cpu,
        cuda_version=found.cuda_version,
        persistent=mounts.get("persistent"),
        network=networks[0],
        global_networking=bool(request.get("globalNetworking")),
    )


def _injected(request: Mapping[str, Any], account_keys: list[str]) -> dict[str, str]:
    """What ``startSsh`` and ``startJupyter`` add to the environment; never returned by GET."""
    given = request.get("env", {})
    injected = {}
    if request.get("startSsh") and account_keys and "PUBLIC_KEY" not in given:
        injected["PUBLIC_KEY"] = "\n".join(account_keys)
    if request.get("startJupyter") and "JUPYTER_PASSWORD" not in given:
        injected["JUPYTER_PASSWORD"] = secrets.token_urlsafe(15)
    return injected


def check_request(request: Mapping[str, Any]) -> None:
    if ("gpu" in request) == ("cpu" in request):
        raise bad_request("Exactly one of gpu or cpu must be set.")
    if not request.get("image"):
        raise bad_request("image must not be empty.")
    if request.get("registry"):
        raise bad_request("The registry credential does not exist.")
    _check_container(request)
    mounts = request.get("mounts", {})
    if "persistent" in mounts and "network" in mounts:
        raise bad_request("mounts.persistent and mounts.network are mutually exclusive.")
    if mounts.get("network") == []:
        raise bad_request("mounts.network must not be empty.")
    if "cpu" in request and "persistent" in mounts:
        raise bad_request("mounts.persistent is not supported on CPU pods; use mounts.network.")
    if "network" in mounts and request.get("cloud") == "COMMUNITY":
        raise bad_request("Network volumes are only available in Secure Cloud.")
    gpu = request.get("gpu", {})
    if gpu.get("allowedCudaVersions") and "minCudaVersion" in gpu:
        raise bad_request("gpu.allowedCudaVersions and gpu.minCudaVersion are mutually exclusive.")
    if request.get("globalNetworking") and "cpu" in request:
        raise bad_request("Global networking requires an NVIDIA GPU.")
    if "disk" not in request:
        # Observed on RunPod: said only once a machine would be found, and in these words.
        raise bad_request("You must either provide a template id or pod configuration parameters")


def _check_container(request: Mapping[str, Any]) -> None:
    if len(request.get("env", {})) > _MAX_ENV:
        raise bad_request(f"A pod can have at most {_MAX_ENV} environment variables.")
    for index, port in enumerate(request.get("ports", ())):
        number, _, protocol = port.partition("/")
        if protocol not in ("tcp", "http") or not number.isdigit() or not 1 <= int(number) <= 99_999:
            raise invalid([f"$.ports[{index}]: '{port}' is not of the form port/protocol with protocol tcp or http"])
    if sum(port.endswith("/http") for port in request.get("ports", ())) > _MAX_HTTP_PORTS:
        raise bad_request(f"A pod can expose at most {_MAX_HTTP_PORTS} HTTP ports.")
    mounts = request.get("mounts", {})
    for mount in [mounts.get("persistent"), *mounts.get("network", ())]:
        if mount and (not mount["path"].startswith("/") or ".." in mount["path"].split("/") or len(mount["path"]) < 2):
            raise bad_request("A mount path must be absolute and not the root directory.")


def edited(pod: Pod, request: Mapping[str, Any], catalog: Catalog) -> Pod:
    _check_container(request)
    if request.get("registry"):
        raise bad_request("The registry credential does not exist.")
    if request.get("globalNetworking") and not (pod.gpu and catalog.data_centers[pod.data_center].global_network):
        raise bad_request("Global networking requires an NVIDIA GPU and a data center that offers it.")
    persistent, network = _edited_mounts(pod, request.get("mounts", {}))
    return dataclasses.replace(
        pod,
        name=request.get("name", pod.name),
        image=request.get("image") or pod.image,
        args=commands.stored(request, pod.args),
        disk=int(request.get("disk", pod.disk)),
        ports=tuple(request.get("ports", pod.ports)),
        env=dict(request.get("env", pod.env)),
        locked=request.get("locked", pod.locked),
        global_networking=request.get("globalNetworking", pod.global_networking),
        persistent=persistent,
        network=network,
    )


def _edited_mounts(pod: Pod, mounts: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    persistent, network = pod.persistent, pod.network
    if "persistent" in mounts and "network" in mounts:
        raise bad_request("mounts.persistent and mounts.network are mutually exclusive.")
    if "persistent" in mounts:
        if persistent is None:
            raise bad_request("The kind of mount is fixed when a pod is created.")
        if mounts["persistent"]["size"] < persistent["size"]:
            raise bad_request("The volume disk cannot be made smaller.")
        persistent = mounts["persistent"]
    if "network" in mounts:
        if not mounts["network"]:
            raise bad_request("mounts.network must not be empty: mounts cannot be removed.")
        if network is None:
            raise bad_request("The kind of mount is fixed when a pod is created.")
        if mounts["network"][0]["volumeId"] != network["volumeId"]:
            raise bad_request("The network volume of a pod cannot be changed.")
        network = mounts["network"][0]
    return persistent, network


def container(pod: Pod) -> tuple[object, ...]:
    """What a running container was made from: any difference needs a new one."""
    return (pod.image, pod.args, pod.disk, pod.ports, dict(pod.env), pod.persistent, pod.network)
