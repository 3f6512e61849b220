"""``/v2/catalog``: GPU types, CPU flavors and data centers, with stock when asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from devpod_rp.localcloud.api.call import Call, Reply
from devpod_rp.localcloud.catalog import Cpu, DataCenter, Gpu, Level
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.market import Market, matching_cuda
from devpod_rp.localcloud.problems import bad_request, invalid, not_found
from devpod_rp.localcloud.validation import Schema

_GPU_FILTERS = ["count", "cloud", "countryCodes", "cudaVersions", "minCudaVersion"]
_GPU_PRODUCTS: Schema = {"enum": ["POD", "CLUSTER", "SERVERLESS"]}
_CPU_PRODUCTS: Schema = {"enum": ["POD", "SERVERLESS"]}
_CLOUDS: Schema = {"enum": ["SECURE", "COMMUNITY"]}
_COMPLIANCE: Schema = {
    "enum": (
        "GDPR ISO_IEC_27001 ISO_14001 PCI_DSS HITRUST SOC_1_TYPE_2 SOC_2_TYPE_2 SOC_3_TYPE_2 ITAR FISMA_HIGH HIPAA "
        "RENEWABLE"
    ).split()
}
_REGIONS: Schema = {
    "enum": [
        "NORTH_AMERICA",
        "SOUTH_AMERICA",
        "EUROPE",
        "ASIA",
        "MIDDLE_EAST",
        "AFRICA",
        "OCEANIA",
        "ANTARCTICA",
        "UNKNOWN",
    ]
}


@dataclass(frozen=True)
class _GpuQuery:
    """What stock was asked for."""

    count: int
    cloud: str
    countries: Sequence[str]
    cuda_versions: Sequence[str]
    min_cuda: str | None


def list_gpus(cloud: Cloud, call: Call) -> Reply:
    query = _gpu_query(call)
    market = cloud.market()
    gpus = list(cloud.catalog.gpus.values())
    if query and query.countries:
        gpus = [gpu for gpu in gpus if _in_countries(market.offering(gpu), query.countries)]
    return Reply(document={"gpus": [_gpu(gpu, market, query) for gpu in gpus]})


def get_gpu(cloud: Cloud, call: Call) -> Reply:
    query = _gpu_query(call)
    gpu = cloud.catalog.gpus.get(call.path["id"])
    if gpu is None:
        raise not_found()
    return Reply(document=_gpu(gpu, cloud.market(), query))


def list_cpus(cloud: Cloud, call: Call) -> Reply:
    vcpus = _cpu_query(call)
    market = cloud.market()
    return Reply(document={"cpus": [_cpu(cpu, market, vcpus) for cpu in cloud.catalog.cpus.values()]})


def get_cpu(cloud: Cloud, call: Call) -> Reply:
    vcpus = _cpu_query(call)
    cpu = cloud.catalog.cpus.get(call.path["id"])
    if cpu is None:
        raise not_found()
    return Reply(document=_cpu(cpu, cloud.market(), vcpus))


def list_data_centers(cloud: Cloud, call: Call) -> Reply:
    included = _data_center_includes(call)
    regions = call.several("regions", _REGIONS)
    storage = set(call.several("networkVolumeTypes", {"enum": ["STANDARD", "HIGH_PERFORMANCE"]}))
    compliance = set(call.several("compliance", _COMPLIANCE))
    network = call.one("globalNetwork", {"enum": ["true", "false"]})
    market = cloud.market()
    found = [
        center
        for center in cloud.catalog.data_centers.values()
        if (not regions or center.region in regions)
        and storage <= set(center.network_volume_types)
        and compliance <= set(center.compliance)
        and (network is None or center.global_network == (network == "true"))
    ]
    return Reply(document={"dataCenters": [_data_center(center, market, included) for center in found]})


def get_data_center(cloud: Cloud, call: Call) -> Reply:
    included = _data_center_includes(call)
    center = cloud.catalog.data_centers.get(call.path["id"])
    if center is None:
        raise not_found()
    return Reply(document=_data_center(center, cloud.market(), included))


def _asks_stock(call: Call, products: Schema) -> bool:
    """Whether availability is asked for; ``include=AVAILABILITY`` and ``product`` go together, 400 otherwise."""
    included = bool(call.several("include", {"enum": ["AVAILABILITY"]}, most=1))
    product = bool(call.several("product", products))
    if included and not product:
        raise bad_request("include=AVAILABILITY requires product.")
    if product and not included:
        raise bad_request("product is valid only with include=AVAILABILITY.")
    return included


def _gpu_query(call: Call) -> _GpuQuery | None:
    stock = _asks_stock(call, _GPU_PRODUCTS)
    versions = call.several("cudaVersions", {"type": "string", "pattern": r"^\d+\.\d+$"})
    floor = call.one("minCudaVersion", {"type": "string", "pattern": r"^\d+(\.\d+)?$"})
    query = _GpuQuery(
        count=call.whole("count", 1) or 1,
        cloud=call.one("cloud", _CLOUDS) or "SECURE",
        countries=call.several("countryCodes", {"type": "string", "pattern": "^[A-Z]{2}$"}),
        cuda_versions=versions,
        min_cuda=floor,
    )
    call.only_with(_GPU_FILTERS, stock, "include=AVAILABILITY")
    if versions and floor:
        raise bad_request("cudaVersions and minCudaVersion are mutually exclusive.")
    return query if stock else None


def _cpu_query(call: Call) -> int | None:
    """The vCPU count that stock was asked for, None if stock was not asked for."""
    stock = _asks_stock(call, _CPU_PRODUCTS)
    vcpus = call.whole("vcpuCount", 2) or 2
    call.only_with(["vcpuCount"], stock, "include=AVAILABILITY")
    if vcpus & (vcpus - 1):
        raise invalid(["vcpuCount: must be a power of two"])
    return vcpus if stock else None


def _data_center_includes(call: Call) -> list[str]:
    return call.several("include", {"enum": ["GPU_AVAILABILITY", "CPU_AVAILABILITY"]})


def _gpu(gpu: Gpu, market: Market, query: _GpuQuery | None) -> dict[str, Any]:
    price: dict[str, float] = {
        "secure": market.gpu_price_usd(gpu, "SECURE"),
        "community": market.gpu_price_usd(gpu, "COMMUNITY"),
    }
    if gpu.serverless_usd is not None:
        price["serverless"] = gpu.serverless_usd
    shown: dict[str, Any] = {
        "id": gpu.id,
        "name": gpu.name,
        "pool": gpu.pool,
        "manufacturer": gpu.manufacturer,
        "memory": gpu.memory_gb,
        "secure": gpu.max_secure > 0,
        "community": gpu.max_community > 0,
        "price": price,
        "maxCount": {"secure": gpu.max_secure, "community": gpu.max_community},
    }
    return {**shown, **_gpu_stock(gpu, market, query)} if query else shown


def _gpu_stock(gpu: Gpu, market: Market, query: _GpuQuery) -> dict[str, Any]:
    versions = matching_cuda(gpu.cuda, query.cuda_versions, query.min_cuda)
    constrained = bool(query.cuda_versions) or query.min_cuda is not None
    levels: dict[DataCenter, Level] = {}
    if versions or not constrained:
        for center in market.offering(gpu):
            if not query.countries or center.country in query.countries:
                levels[center] = market.gpu_level(gpu, center.id, query.count, query.cloud)
    stock = _stock(levels)
    if versions:
        in_stock = stock["availability"] != Level.NONE.name
        stock["cudaVersions"] = [{"version": version, "available": in_stock} for version in versions]
    return stock


def _cpu(cpu: Cpu, market: Market, vcpus: int | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": cpu.id,
        "name": cpu.name,
        "group": cpu.group,
        "vcpu": {"min": cpu.vcpu_min, "max": cpu.vcpu_max},
        "ramGbPerVcpu": cpu.ram_gb_per_vcpu,
        "price": {"securePerVcpu": market.cpu_price_usd(cpu), "serverlessPerVcpu": cpu.serverless_usd_per_vcpu},
    }
    if vcpus is None:
        return shown
    return {**shown, **_stock({center: market.cpu_level(cpu, center.id, vcpus) for center in market.offering(cpu)})}


def _stock(levels: dict[DataCenter, Level]) -> dict[str, Any]:
    """``availability`` and ``dataCenters``; the latter is left out when the configuration is nowhere to be had."""
    overall = max(levels.values(), default=Level.NONE)
    stock: dict[str, Any] = {"availability": overall.name}
    if overall > Level.NONE:
        stock["dataCenters"] = [
            {"id": center.id, "name": center.name, "availability": level.name} for center, level in levels.items()
        ]
    return stock


def _data_center(center: DataCenter, market: Market, included: Sequence[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": center.id,
        "name": center.name,
        "region": center.region,
        "globalNetwork": center.global_network,
        "networkVolumeTypes": list(center.network_volume_types),
        "compliance": list(center.compliance),
    }
    if "GPU_AVAILABILITY" in included:
        gpus = [gpu for gpu in market.catalog.gpus.values() if center in market.offering(gpu)]
        if gpus:
            shown["gpuAvailability"] = [
                {"id": gpu.id, "name": gpu.name, "availability": market.gpu_level(gpu, center.id, 1, "SECURE").name}
                for gpu in gpus
            ]
    if "CPU_AVAILABILITY" in included:
        cpus = [cpu for cpu in market.catalog.cpus.values() if center in market.offering(cpu)]
        if cpus:
            shown["cpuAvailability"] = [
                {"id": cpu.id, "name": cpu.name, "availability": market.cpu_level(cpu, center.id).name} for cpu in cpus
            ]
    return shown


def _in_countries(centers: Sequence[DataCenter], countries: Sequence[str]) -> bool:
    return any(center.country in countries for center in centers)
