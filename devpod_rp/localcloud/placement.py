"""Finding a machine for a pod, or refusing it as RunPod's scheduler does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devpod_rp.localcloud.catalog import Cpu, Gpu, Level
from devpod_rp.localcloud.market import Market, matching_cuda
from devpod_rp.localcloud.problems import bad_request, no_capacity
from devpod_rp.localcloud.records import NetworkVolume


@dataclass(frozen=True)
class Place:
    """The machine a pod gets: the response's ``gpu`` or ``cpu`` block, its data center, and USD per hour in all."""

    data_center: str
    price_per_hour: float
    gpu: Mapping[str, Any] | None = None
    cpu: Mapping[str, Any] | None = None
    cuda_version: str | None = None


def place(request: Mapping[str, Any], market: Market, volume: NetworkVolume | None) -> Place:
    """A machine for *request* (a validated create body with its template already merged in).

    Data centers asked for are enforced, although the specification calls them preferred. *volume* pins the pod to its
    data center.

    Raises:
        Problem: 400 in RunPod's words; an unknown GPU id and an omitted ``gpu.count`` are "no capacity" there too.
    """
    centers = _centers(request, market, volume)
    cloud = request.get("cloud", "SECURE")
    if market.faults.create == "no-capacity":
        raise no_capacity()
    if "cpu" in request:
        return _place_cpu(request["cpu"], cloud, centers, market)
    return _place_gpu(request["gpu"], cloud, centers, market)


def _centers(request: Mapping[str, Any], market: Market, volume: NetworkVolume | None) -> Sequence[str]:
    asked = request.get("dataCenterIds") or list(market.catalog.data_centers)
    if volume is not None:
        if volume.data_center not in asked:
            raise bad_request(
                f"Network volume {volume.id} is in data center {volume.data_center}; "
                "the pod must be placed in the same data center."
            )
        asked = [volume.data_center]
    if request.get("globalNetworking"):
        asked = [
            each
            for each in asked
            if each in market.catalog.data_centers and market.catalog.data_centers[each].global_network
        ]
        if not asked:
            raise bad_request("Global networking is not available in the requested data centers.")
    return asked


def _place_gpu(wanted: Mapping[str, Any], cloud: str, centers: Sequence[str], market: Market) -> Place:
    gpu = market.catalog.gpus.get(wanted["id"])
    # Observed on RunPod: without an explicit count the scheduler matches no machine, whatever the specification says.
    if gpu is None or "count" not in wanted:
        raise no_capacity()
    count = int(wanted["count"])
    if wanted.get("minRamPerGpu", 0) > gpu.ram_gb or wanted.get("minVcpuCountPerGpu", 0) > gpu.vcpus:
        raise no_capacity()
    constrained = bool(wanted.get("allowedCudaVersions")) or "minCudaVersion" in wanted
    versions = matching_cuda(gpu.cuda, wanted.get("allowedCudaVersions") or (), wanted.get("minCudaVersion"))
    if constrained and not versions:
        raise no_capacity()
    center = _best(centers, gpu, market, {each: market.gpu_level(gpu, each, count, cloud) for each in centers})
    return Place(
        data_center=center,
        price_per_hour=market.gpu_price_usd(gpu, cloud) * count,
        gpu={"id": gpu.id, "count": count, "vcpuCount": gpu.vcpus * count, "memory": gpu.ram_gb * count},
        cuda_version=versions[-1] if versions else None,
    )


def _place_cpu(wanted: Mapping[str, Any], cloud: str, centers: Sequence[str], market: Market) -> Place:
    cpu = market.catalog.cpus.get(wanted["id"])
    if cpu is None or cloud != "SECURE":
        raise no_capacity()
    vcpus = int(wanted["vcpuCount"])
    if vcpus & (vcpus - 1) or not cpu.vcpu_min <= vcpus <= cpu.vcpu_max:
        raise bad_request(
            f"vcpuCount must be a power of two between {cpu.vcpu_min} and {cpu.vcpu_max} for CPU flavor {cpu.id}."
        )
    center = _best(centers, cpu, market, {each: market.cpu_level(cpu, each, vcpus) for each in centers})
    return Place(
        data_center=center,
        price_per_hour=market.cpu_price_usd(cpu) * vcpus,
        cpu={"id": cpu.id, "vcpuCount": vcpus, "memory": max(1, int(cpu.ram_gb_per_vcpu * vcpus))},
    )


def _best(centers: Sequence[str], resource: Gpu | Cpu, market: Market, levels: Mapping[str, Level]) -> str:
    offered = {center.id for center in market.offering(resource)}
    stocked = [center for center in centers if center in offered and levels[center] > Level.NONE]
    if not stocked:
        raise no_capacity()
    return max(stocked, key=lambda center: levels[center])
