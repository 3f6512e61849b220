"""What the cloud billed and what is left: the billing endpoints, the balance, and our own ledger, put together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from devpod_rp.environments import Environment, history
from devpod_rp.errors import DevpodError
from devpod_rp.lifecycle.money import prices, runway, spending
from devpod_rp.lifecycle.money.runway import Runway
from devpod_rp.lifecycle.money.spending import Amount, Charge, Row

if TYPE_CHECKING:
    from devpod_rp.runpod.client import RunPod
    from devpod_rp.runpod.model import Pod

_RUNNING = ("RUNNING", "STARTING", "PROVISIONING")


@dataclass(frozen=True)
class Cost:
    """What one environment costs and has cost; *billed* is False where only our own ledger could say."""

    price: prices.Price
    this_run: Amount | None
    in_all: Amount
    billed: bool
    simulated: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "per_hour": round(self.price.per_hour, 4),
            "compute_per_hour": round(self.price.compute_per_hour, 4),
            "storage_per_hour": round(self.price.storage_per_hour, 4),
            "stopped_per_month": round(self.price.stopped_per_month, 2),
            "this_run": None if self.this_run is None else round(self.this_run.total, 4),
            "in_all": round(self.in_all.total, 4),
            "source": "bills and our ledger" if self.billed else "our ledger",
            "simulated": self.simulated,
        }


@dataclass(frozen=True)
class Account:
    """The account's costs by day and environment; *unbilled* says why there are no bills, if there are none."""

    rows: tuple[Row, ...]
    runway: Runway
    unbilled: str | None
    simulated: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "days": [
                {
                    "day": row.day.isoformat(),
                    "environment": row.name,
                    "compute": round(row.amount.compute, 4),
                    "storage": round(row.amount.storage, 4),
                    "total": round(row.amount.total, 4),
                }
                for row in self.rows
            ],
            "total": round(sum(row.amount.total for row in self.rows), 4),
            "account": self.runway.as_json(),
            "unbilled": self.unbilled,
            "simulated": self.simulated,
        }


def cost_of(environment: Environment, client: RunPod | None = None, *, clock: Callable[[], float] = time.time) -> Cost:
    """What *environment* costs now and has cost; without a *client* by our own ledger alone."""
    now = clock()
    moments = history.read(environment.id)
    began = spending.run_began(spending.stretches(moments, now))
    charges: list[Charge] | None = None
    first = moments[0].at if moments else now
    if client is not None and first < spending.billed_until(now):
        try:
            mine = {each for moment in moments for each in (moment.pod_id, moment.volume_id) if each is not None}
            charges = [each for each in bills(client, first, now) if each.resource in mine]
        except DevpodError:
            charges = None  # the ledger alone then, and the answer says so
    return Cost(
        price=prices.of(environment),
        this_run=None if began is None else spending.spent_since(began, moments, None, now),
        in_all=spending.spent_since(spending.day_start(first), moments, charges, now),
        billed=charges is not None,
        simulated=environment.cloud == "local",
    )


def account(cloud: str, client: RunPod, *, days: int, clock: Callable[[], float] = time.time) -> Account:
    """What everything of *cloud* cost in the last *days* days, today included, and how long the money lasts."""
    now = clock()
    start = spending.day_start(now) - (days - 1) * 24 * spending.HOUR
    charges, unbilled = None, None
    try:
        charges = bills(client, start, now)
    except DevpodError as error:
        unbilled = error.message
    histories = {each: moments for each, moments in history.read_all().items() if moments[-1].cloud == cloud}
    rows = spending.table(histories, charges, start, now)
    return Account(tuple(rows), runway_of(client), unbilled, cloud == "local")


def runway_of(client: RunPod) -> Runway:
    """How long the account's money lasts.

    Raises:
        DevpodError: the pods and volumes cannot be listed. An unknown balance is no error: RunPod tells it by GraphQL
            only, which retires in 2027.
    """
    consumers = [_consumer(each) for each in client.list_pods() if str(each.status.value) != "TERMINATED"]
    consumers += [runway.network_volume(each.id, each.name, each.size) for each in client.network_volumes()]
    try:
        told = client.spot.account()
    except DevpodError as error:
        return runway.runway(None, 0.0, consumers, unknown=error.message)
    return runway.runway(told.balance, told.spend_per_hour, consumers)


def bills(client: RunPod, start: float, now: float) -> list[Charge]:
    """Every complete charge from the day of *start* on: whole days, then hours."""
    cut = spending.billed_until(now)
    begin, last_day = spending.day_start(start), spending.day_start(cut)
    charges = []
    if begin < last_day:
        charges += _charges(client, begin, last_day, "day")
    if last_day < cut:
        charges += _charges(client, last_day, cut, "hour")
    return charges


def _charges(client: RunPod, start: float, end: float, bucket: str) -> list[Charge]:
    window = {"bucketSize": bucket, "startTime": _rfc3339(start), "endTime": _rfc3339(end)}
    charges = [
        Charge(each.pod_id, _unix(each.start_time), Amount(each.gpu_amount + each.cpu_amount, each.disk_amount))
        for each in client.pod_billing(**window)
    ]
    charges += [
        Charge(each.network_volume_id, _unix(each.start_time), Amount(0.0, each.total_amount))
        for each in client.network_volume_billing(**window)
    ]
    return charges


def _consumer(pod: Pod) -> runway.Consumer:
    mounts = pod.mounts
    kind, size = "none", 0.0
    if mounts and mounts.network:
        kind = "network"
    elif mounts and mounts.persistent:
        kind, size = "disk", float(mounts.persistent.size)
    return runway.pod(
        pod.id,
        pod.name,
        compute=pod.cost,
        running=str(pod.status.value) in _RUNNING,
        container_gb=float(pod.disk or 0),
        volume=kind,
        volume_gb=size,
    )


def _rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat().replace("+00:00", "Z")


def _unix(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
