"""What was spent, by our own ledger and by the cloud's bills: pure arithmetic. Times are Unix time, money is USD.

A bill is exact and late (RunPod's lags about an hour); our ledger is prompt and knows only what we looked at. So each
hour is taken from the bill once it is old enough, else from the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone

from devpod_rp.environments.history import REMOVED, Moment
from devpod_rp.lifecycle.money import prices

HOUR = 3600.0
_DAY = 24 * HOUR
_BILLS_LAG_SECONDS = HOUR
_RUNNING = ("RUNNING", "STARTING", "PROVISIONING")


@dataclass(frozen=True)
class Amount:
    """Money for machines and for disks."""

    compute: float = 0.0
    storage: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.compute + other.compute, self.storage + other.storage)

    @property
    def total(self) -> float:
        return self.compute + self.storage


@dataclass(frozen=True)
class Stretch:
    """A time in which nothing about the price changed; *run* tells one run of a pod from the next."""

    start: float
    end: float
    compute_per_hour: float
    storage_per_hour: float
    running: bool

    def between(self, start: float, end: float) -> Amount:
        """What the part of it in [*start*, *end*) cost."""
        hours = max(0.0, min(end, self.end) - max(start, self.start)) / HOUR
        return Amount(self.compute_per_hour * hours, self.storage_per_hour * hours)


@dataclass(frozen=True)
class Charge:
    """One line of a bill: what the pod or network volume *resource* cost in the day or hour that began at *start*."""

    resource: str
    start: float
    amount: Amount


@dataclass(frozen=True)
class Row:
    """What one environment (or a pod or volume that is none's) cost on one day (UTC)."""

    day: date
    name: str
    amount: Amount


def stretches(moments: Sequence[Moment], now: float) -> list[Stretch]:
    """The history of one environment as stretches of constant price, up to *now*."""
    found = []
    for number, moment in enumerate(moments):
        end = moments[number + 1].at if number + 1 < len(moments) else now
        if end <= moment.at or moment.status == REMOVED:
            continue
        price = _price(moment)
        running = price.compute_per_hour > 0 or (moment.pod_id is not None and moment.status in _RUNNING)
        found.append(Stretch(moment.at, end, price.compute_per_hour, price.storage_per_hour, running))
    return found


def run_began(found: Sequence[Stretch]) -> float | None:
    """When the run that is still going on began; None if nothing runs."""
    began = None
    for stretch in reversed(found):
        if not stretch.running:
            break
        began = stretch.start
    return began


def between(found: Iterable[Stretch], start: float, end: float) -> Amount:
    """What *found* cost in [*start*, *end*)."""
    return sum((each.between(start, end) for each in found), Amount())


def billed_until(now: float) -> float:
    """Up to when bills are complete: the last full hour that is old enough."""
    return (now - _BILLS_LAG_SECONDS) // HOUR * HOUR


def owners(histories: Mapping[str, Sequence[Moment]]) -> dict[str, str]:
    """Which environment (by id) each pod and network volume belongs to, or belonged to last."""
    found = {}
    for environment, moments in histories.items():
        for moment in moments:
            for resource in (moment.pod_id, moment.volume_id):
                if resource is not None:
                    found[resource] = environment
    return found


def spent_since(start: float, moments: Sequence[Moment], charges: Sequence[Charge] | None, now: float) -> Amount:
    """What an environment cost from *start* to *now*; *charges* are its own bills by hour or day, None: no bills."""
    ledger = stretches(moments, now)
    if charges is None:
        return between(ledger, start, now)
    cut = max(start, billed_until(now))
    billed = sum((each.amount for each in charges if start <= each.start < cut), Amount())
    return billed + between(ledger, cut, now)


def table(
    histories: Mapping[str, Sequence[Moment]], charges: Sequence[Charge] | None, start: float, now: float
) -> list[Row]:
    """One row per day and environment that cost anything from *start* to *now*, newest day first, dearest first.

    What is billed and belongs to no environment is listed under its own id.
    """
    cut = start if charges is None else max(start, billed_until(now))
    sums: dict[tuple[date, str], Amount] = {}
    for moments in histories.values():
        for stretch in stretches(moments, now):
            for begin, end in _days(max(cut, stretch.start), min(now, stretch.end)):
                key = (day_of(begin), moments[-1].name)
                sums[key] = sums.get(key, Amount()) + stretch.between(begin, end)
    whose = owners(histories)
    for charge in charges or ():
        if start <= charge.start < cut:
            owner = whose.get(charge.resource)
            key = (day_of(charge.start), histories[owner][-1].name if owner else charge.resource)
            sums[key] = sums.get(key, Amount()) + charge.amount
    rows = [Row(day, name, amount) for (day, name), amount in sums.items() if amount.total > 0]
    return sorted(rows, key=lambda row: (-row.day.toordinal(), -row.amount.total, row.name))


def day_of(moment: float) -> date:
    return datetime.fromtimestamp(moment, timezone.utc).date()


def day_start(moment: float) -> float:
    """Midnight (UTC) before *moment*."""
    return moment // _DAY * _DAY


def _days(start: float, end: float) -> Iterator[tuple[float, float]]:
    while start < end:
        until = min(end, day_start(start) + _DAY)
        yield start, until
        start = until


def _price(moment: Moment) -> prices.Price:
    network = moment.volume_kind == "network"
    alive = moment.pod_id is not None and moment.status != "TERMINATED"
    return prices.price(
        compute_per_hour=moment.cost_per_hour,
        container_disk_gb=moment.container_disk_gb,
        volume_kind=moment.volume_kind,
        volume_gb=moment.volume_gb,
        running=moment.pod_id is not None and moment.status in _RUNNING,
        exists=moment.volume_id is not None if network else alive,
    )
