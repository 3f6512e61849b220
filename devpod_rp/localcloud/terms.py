"""What a pod costs per hour, by the terms it was asked for: on demand, with a bid, or without its GPUs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devpod_rp.localcloud.market import Market
from devpod_rp.localcloud.problems import NoFreeGpus, bad_request, no_spot_capacity
from devpod_rp.localcloud.records import Pod


def price_at_start(pod: Pod, market: Market) -> float:
    """Today's price (USD per hour) for a stopped pod. It stays bound to its host, so that needs its GPUs free.

    Raises:
        Problem: 400, the host has no free GPUs or the bid is below the market's.
    """
    if pod.without_gpu:
        return market.price_without_gpu_usd()
    if pod.gpu and (gpu := market.catalog.gpus.get(pod.gpu["id"])):
        if market.free_gpus(gpu, pod.data_center) < pod.gpu_count:
            raise NoFreeGpus
        if pod.bid_per_gpu is not None:
            return spot_price(pod.gpu, pod.cloud, pod.bid_per_gpu, market)
        return market.gpu_price_usd(gpu, pod.cloud) * pod.gpu_count
    if pod.cpu and (cpu := market.catalog.cpus.get(pod.cpu["id"])):
        return market.cpu_price_usd(cpu) * int(pod.cpu["vcpuCount"])
    return pod.price_per_hour


def spot_price(gpu: Mapping[str, Any] | None, cloud: str, bid_per_gpu: float, market: Market) -> float:
    """USD per hour for a whole spot pod: its bid.

    Raises:
        Problem: 400, the bid is below the market's.
    """
    if gpu is None:
        raise bad_request("Spot pods have GPUs.")
    if bid_per_gpu < market.minimum_bid_usd(market.catalog.gpus[gpu["id"]], cloud):
        raise no_spot_capacity()
    return bid_per_gpu * int(gpu["count"])
