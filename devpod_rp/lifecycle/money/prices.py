"""What an environment costs: pure arithmetic on RunPod's list prices; all money is USD.

Prices of storage from docs.runpod.io, pods/pricing and storage/types; a month is 730 hours, as RunPod counts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devpod_rp.environments import Environment

HOURS_PER_MONTH = 730.0
CONTAINER_DISK = 0.10
"""Per GB and month while the pod runs; nothing while it is stopped."""
VOLUME_DISK_RUNNING = 0.10
VOLUME_DISK_STOPPED = 0.20
NETWORK_VOLUME = 0.07
NETWORK_VOLUME_BEYOND_1_TB = 0.05
_TB = 1000.0


@dataclass(frozen=True)
class Price:
    """What an environment costs in each of its states, and in the present one.

    *compute_per_hour* is the machine alone, 0 while it does not run; *storage_per_hour* is the disks in the present
    state; *running_per_hour* is both together for the time that the pod runs.
    """

    compute_per_hour: float
    storage_per_hour: float
    stopped_per_month: float
    running_storage_per_hour: float

    @property
    def per_hour(self) -> float:
        """The present burn."""
        return self.compute_per_hour + self.storage_per_hour

    @property
    def running_per_hour(self) -> float:
        return self.compute_per_hour + self.running_storage_per_hour


def volume_per_month(kind: str, size_gb: float, *, running: bool) -> float:
    """A volume of *kind* ("disk", "network" or "none") for a month in which its pod runs, or does not."""
    if kind == "disk":
        return size_gb * (VOLUME_DISK_RUNNING if running else VOLUME_DISK_STOPPED)
    if kind == "network":
        return min(size_gb, _TB) * NETWORK_VOLUME + max(0.0, size_gb - _TB) * NETWORK_VOLUME_BEYOND_1_TB
    return 0.0


def price(
    *,
    compute_per_hour: float,
    container_disk_gb: float,
    volume_kind: str,
    volume_gb: float,
    running: bool,
    exists: bool,
) -> Price:
    """The price of a pod and its disks; *exists* is False for one that was never made or is gone with its disk."""
    while_running = container_disk_gb * CONTAINER_DISK + volume_per_month(volume_kind, volume_gb, running=True)
    while_stopped = volume_per_month(volume_kind, volume_gb, running=False) if exists else 0.0
    now = while_running if running else while_stopped
    return Price(
        compute_per_hour=compute_per_hour if running else 0.0,
        storage_per_hour=now / HOURS_PER_MONTH,
        stopped_per_month=while_stopped,
        running_storage_per_hour=while_running / HOURS_PER_MONTH,
    )


def of(environment: Environment) -> Price:
    """The price of *environment* by its record."""
    volume = environment.volume
    network = volume.kind == "network"
    exists = volume.id is not None if network else environment.pod_id is not None and environment.status != "TERMINATED"
    return price(
        compute_per_hour=environment.cost_per_hour or 0.0,
        container_disk_gb=environment.spec.get("container_disk_gb", 0),
        volume_kind=volume.kind,
        volume_gb=volume.size_gb or 0,
        running=environment.pod_id is not None and environment.status in ("RUNNING", "STARTING", "PROVISIONING"),
        exists=exists,
    )
