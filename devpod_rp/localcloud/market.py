"""Prices and stock as they are now: the catalog, what faults make of it, minus what running pods hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from devpod_rp.localcloud.catalog import Catalog, Cpu, DataCenter, Gpu, Level
from devpod_rp.localcloud.faults import Faults
from devpod_rp.localcloud.records import Pod


@dataclass(frozen=True)
class Market:
    """One moment of the market; *pods* are all pods of the ledger, of which the active ones occupy stock."""

    catalog: Catalog
    faults: Faults
    pods: Sequence[Pod]

    def gpu_price_usd(self, gpu: Gpu, cloud: str) -> float:
        """USD per hour for one GPU."""
        return self.faults.prices.get(gpu.id, {}).get(cloud.lower(), gpu.price_usd(cloud))

    def minimum_bid_usd(self, gpu: Gpu, cloud: str) -> float:
        """The lowest bid (USD per hour for one GPU) that gets a spot pod now."""
        return round(self.gpu_price_usd(gpu, cloud) * gpu.spot_share, 3)

    def price_without_gpu_usd(self) -> float:
        """USD per hour for a GPU pod that is started without a GPU, to fetch its data."""
        return 2 * min(cpu.secure_usd_per_vcpu for cpu in self.catalog.cpus.values())

    def cpu_price_usd(self, cpu: Cpu) -> float:
        """USD per hour for one vCPU."""
        return self.faults.prices.get(cpu.id, {}).get("secure", cpu.secure_usd_per_vcpu)

    def free_gpus(self, gpu: Gpu, data_center: str) -> int:
        level = self.faults.stock_of(gpu.id, data_center)
        if level is not None:
            return int(level)
        held = sum(
            pod.gpu_count
            for pod in self.pods
            if pod.gpu and pod.gpu["id"] == gpu.id and pod.data_center == data_center and pod.status.active
        )
        return max(0, int(gpu.stock.get(data_center, Level.NONE)) - held)

    def gpu_level(self, gpu: Gpu, data_center: str, count: int, cloud: str) -> Level:
        """How likely a pod with *count* of *gpu* finds a machine in *data_center*."""
        free = self.free_gpus(gpu, data_center)
        if free < count or count > gpu.max_count(cloud):
            return Level.NONE
        return Level.of(free)

    def cpu_level(self, cpu: Cpu, data_center: str, vcpus: int = 2) -> Level:
        if not cpu.vcpu_min <= vcpus <= cpu.vcpu_max:
            return Level.NONE
        level = self.faults.stock_of(cpu.id, data_center)
        if level is not None:
            return level
        held = sum(
            1
            for pod in self.pods
            if pod.cpu and pod.cpu["id"] == cpu.id and pod.data_center == data_center and pod.status.active
        )
        return Level.of(max(0, int(cpu.stock.get(data_center, Level.NONE)) - held))

    def offering(self, resource: Gpu | Cpu) -> list[DataCenter]:
        """The data centers that offer *resource*, in stock or not."""
        override = self.faults.stock.get(resource.id)
        extra = set(override) if isinstance(override, dict) else set()
        return [center for key, center in self.catalog.data_centers.items() if key in resource.stock or key in extra]


def matching_cuda(offered: Iterable[str], allowed: Sequence[str] = (), minimum: str | None = None) -> list[str]:
    """The CUDA versions of *offered* that a constraint admits, newest last; compared numerically (12.11 > 12.2).

    A bare major as *minimum* means any release of that major or later.
    """
    found = [
        version
        for version in offered
        if (not allowed or version in allowed) and (minimum is None or _numeric(version) >= _numeric(minimum))
    ]
    return sorted(found, key=_numeric)


def _numeric(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor or 0)
