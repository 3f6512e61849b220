"""When the money ends at the present burn, and what ends then. Pure; money is USD.

RunPod's rule (docs.runpod.io, accounts-billing/billing): at a balance of zero, pods with a network volume are stopped
and keep their data; pods without one are terminated, and their volume disks are gone. Network volumes stay for a while,
and may be deleted if their charges go unpaid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from devpod_rp.agent.watchdog.limits import spoken
from devpod_rp.lifecycle.money import prices

LOW_HOURS = 24.0
"""A runway shorter than this is worth a warning."""

ALARM_HOURS = (LOW_HOURS, 6.0, 1.0)
"""How much of the runway may be left when somebody who does not ask is told, each once."""


@dataclass(frozen=True)
class Consumer:
    """A pod or network volume of the account; *volume* is the pod's storage: "disk", "network" or "none"."""

    id: str
    name: str
    kind: str
    volume: str
    running: bool
    per_hour: float

    @property
    def fate(self) -> str:
        """What becomes of it at a balance of zero."""
        if self.kind == "volume":
            return "kept for now; RunPod may delete it while its charges are unpaid"
        if self.volume == "network":
            return "stopped; its network volume keeps the data"
        if self.volume == "disk":
            return "terminated, and its volume disk with it"
        return "terminated"

    @property
    def dies(self) -> bool:
        return self.kind == "pod" and self.volume != "network"


@dataclass(frozen=True)
class Runway:
    """How long *balance* lasts at *burn* USD per hour; both None where the cloud does not tell the balance."""

    balance: float | None
    burn: float
    consumers: tuple[Consumer, ...]
    unknown: str | None = None

    @property
    def hours_left(self) -> float | None:
        if self.balance is None or self.burn <= 0:
            return None
        return max(0.0, self.balance) / self.burn

    @property
    def low(self) -> bool:
        return self.hours_left is not None and self.hours_left < LOW_HOURS

    @property
    def spoken(self) -> str:
        """The balance in one line."""
        if self.balance is None:
            return f"unknown: {self.unknown}"
        if self.hours_left is None:
            return f"${self.balance:.2f}, nothing is spent now"
        return f"${self.balance:.2f}, lasts {spoken(self.hours_left * 3600)} at ${self.burn:.2f}/h"

    @property
    def warnings(self) -> list[str]:
        """What ends when the money does; nothing while it lasts long enough."""
        if not self.low:
            return []
        return [f"at $0.00: {each.name} ({each.id}) is {each.fate}" for each in self.consumers]

    def as_json(self) -> dict[str, Any]:
        return {
            "balance": self.balance,
            "burn_per_hour": round(self.burn, 4),
            "hours_left": None if self.hours_left is None else round(self.hours_left, 2),
            "low": self.low,
            "unknown": self.unknown,
            "at_zero": [{**asdict(each), "fate": each.fate, "dies": each.dies} for each in self.consumers],
        }


def alarm(hours_left: float | None, said: float | None) -> float | None:
    """The lowest of `ALARM_HOURS` that is crossed, unless it was *said* already."""
    crossed = [each for each in ALARM_HOURS if hours_left is not None and hours_left < each]
    return crossed[-1] if crossed and (said is None or crossed[-1] < said) else None


def pod(
    id: str, name: str, *, compute: float, running: bool, container_gb: float, volume: str, volume_gb: float
) -> Consumer:
    """A pod with its disks; a network volume is a consumer of its own, because it bills whatever pods do."""
    own_gb = volume_gb if volume == "disk" else 0.0
    price = prices.price(
        compute_per_hour=compute,
        container_disk_gb=container_gb,
        volume_kind="disk" if volume == "disk" else "none",
        volume_gb=own_gb,
        running=running,
        exists=True,
    )
    return Consumer(id, name, "pod", volume, running, price.per_hour)


def network_volume(id: str, name: str, size_gb: float) -> Consumer:
    per_month = prices.volume_per_month("network", size_gb, running=False)
    return Consumer(id, name, "volume", "network", True, per_month / prices.HOURS_PER_MONTH)


def runway(
    balance: float | None, spend_per_hour: float, consumers: Sequence[Consumer], *, unknown: str | None = None
) -> Runway:
    """The runway at the higher of what the cloud says is spent and what its pods and volumes come to."""
    burn = max(spend_per_hour, sum(each.per_hour for each in consumers))
    return Runway(balance, burn, tuple(each for each in consumers if each.per_hour > 0), unknown)
