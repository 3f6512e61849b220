"""What can be asked: the account, a pod, and the GPU types with their spot prices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devpod_rp.localcloud.catalog import Gpu, Level
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.graphql.resolving import Info, Input, Resolver
from devpod_rp.localcloud.graphql.views import pod_view
from devpod_rp.localcloud.market import Market
from devpod_rp.localcloud.problems import Problem


def _myself(info: Info) -> dict[str, Any]:
    cloud: Cloud = info.context
    pods = cloud.pods.all()
    with cloud.ledger.transaction() as books:
        books.settle(cloud.clock())
        balance, volumes, keys = books.balance_usd, books.volumes(), books.get("ssh_keys", [])
    return {
        "id": "user_local",
        "email": "you@local.invalid",
        "pubKey": "\n".join(keys),
        "clientBalance": round(balance, 6),
        "currentSpendPerHr": round(sum(pod.price_per_hour for pod in pods if pod.status.active), 6),
        "spendLimit": 80.0,
        "pods": [pod_view(pod, cloud.clock()) for pod in pods],
        "networkVolumes": [
            {"id": each.id, "name": each.name, "size": each.size, "dataCenterId": each.data_center}
            for each in volumes
            if not each.deleted
        ],
    }


def _pod(info: Info, input: Input | None = None) -> dict[str, Any] | None:
    cloud: Cloud = info.context
    try:
        return pod_view(cloud.pods.get((input or {})["podId"]), cloud.clock())
    except Problem as problem:
        if problem.status == 404:
            return None
        raise


def _gpu_types(info: Info, input: Input | None = None) -> list[dict[str, Any]]:
    cloud: Cloud = info.context
    wanted = input or {}
    named = [wanted["id"]] if wanted.get("id") else wanted.get("ids")
    market = cloud.market()
    return [_gpu(gpu, market) for gpu in cloud.catalog.gpus.values() if not named or gpu.id in named]


def _gpu(gpu: Gpu, market: Market) -> dict[str, Any]:
    secure, community = gpu.max_secure > 0, gpu.max_community > 0

    def lowest_price(_info: Info, input: Input | None = None) -> dict[str, Any]:
        return _lowest_price(gpu, market, input or {})

    return {
        "id": gpu.id,
        "displayName": gpu.name,
        "manufacturer": gpu.manufacturer,
        "memoryInGb": gpu.memory_gb,
        "cudaCores": 0,
        "secureCloud": secure,
        "communityCloud": community,
        "securePrice": market.gpu_price_usd(gpu, "SECURE") if secure else None,
        "communityPrice": market.gpu_price_usd(gpu, "COMMUNITY") if community else None,
        "secureSpotPrice": market.minimum_bid_usd(gpu, "SECURE") if secure else None,
        "communitySpotPrice": market.minimum_bid_usd(gpu, "COMMUNITY") if community else None,
        "maxGpuCount": max(gpu.max_secure, gpu.max_community),
        "maxGpuCountSecureCloud": gpu.max_secure,
        "maxGpuCountCommunityCloud": gpu.max_community,
        "lowestPrice": lowest_price,
    }


def _lowest_price(gpu: Gpu, market: Market, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The cheapest of the clouds asked for (both unless ``secureCloud`` says which), for ``gpuCount`` GPUs."""
    count, only = int(wanted.get("gpuCount") or 1), wanted.get("secureCloud")
    clouds = [
        cloud
        for cloud, is_secure in (("SECURE", True), ("COMMUNITY", False))
        if gpu.max_count(cloud) >= count and only in (None, is_secure)
    ]
    centers = [wanted["dataCenterId"]] if wanted.get("dataCenterId") else [each.id for each in market.offering(gpu)]
    level = max((market.gpu_level(gpu, each, count, cloud) for each in centers for cloud in clouds), default=Level.NONE)
    return {
        "minimumBidPrice": min((market.minimum_bid_usd(gpu, cloud) for cloud in clouds), default=None),
        "uninterruptablePrice": min((market.gpu_price_usd(gpu, cloud) for cloud in clouds), default=None),
        "stockStatus": level.name.capitalize(),
        "availableGpuCounts": list(range(1, max(gpu.max_secure, gpu.max_community) + 1)),
    }


QUERIES: Mapping[str, Resolver] = {"myself": _myself, "pod": _pod, "gpuTypes": _gpu_types}
