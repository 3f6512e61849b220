"""What things cost, and splitting time into the buckets of the billing API. Pure; all money is USD.

Prices from RunPod's pricing page: compute by the second; container disk 0.10 $/GB/month while the pod runs; volume
disk 0.10 running, 0.20 stopped; network volume 0.07 up to 1 TB, 0.05 beyond. A month is 730 hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from devpod_rp.localcloud.records import NetworkVolume, Pod

_MONTH_SECONDS = 730 * 3600.0
CONTAINER_DISK_GB_MONTH = 0.10
VOLUME_DISK_RUNNING_GB_MONTH = 0.10
VOLUME_DISK_STOPPED_GB_MONTH = 0.20
NETWORK_VOLUME_GB_MONTH = 0.07
NETWORK_VOLUME_BEYOND_1TB_GB_MONTH = 0.05
# The high-performance tier differs per data center on RunPod; one plausible figure stands for all of them.
HIGH_PERFORMANCE_GB_MONTH = 0.14
_HOUR = 3600


@dataclass(frozen=True)
class Rate:
    """What one component of a resource costs while nothing changes."""

    component: str
    usd_per_second: float


def pod_rates(pod: Pod) -> list[Rate]:
    """What *pod* costs in its present status; components are ``gpu``, ``cpu`` and ``disk`` as in the billing API."""
    if pod.status.gone:
        return []
    disk = 0.0
    rates = []
    if pod.status.active:
        rates.append(Rate("gpu" if pod.gpu else "cpu", pod.price_per_hour / 3600))
        disk += pod.disk * CONTAINER_DISK_GB_MONTH
    if pod.persistent:
        monthly = VOLUME_DISK_RUNNING_GB_MONTH if pod.status.active else VOLUME_DISK_STOPPED_GB_MONTH
        disk += pod.persistent["size"] * monthly
    if disk:
        rates.append(Rate("disk", disk / _MONTH_SECONDS))
    return rates


def volume_rates(volume: NetworkVolume) -> list[Rate]:
    """What a network volume costs, whatever pods do; components are ``standard`` and ``high_performance``."""
    if volume.deleted:
        return []
    if volume.type == "HIGH_PERFORMANCE":
        return [Rate("high_performance", volume.size * HIGH_PERFORMANCE_GB_MONTH / _MONTH_SECONDS)]
    beyond = max(0, volume.size - 1000)
    monthly = (volume.size - beyond) * NETWORK_VOLUME_GB_MONTH + beyond * NETWORK_VOLUME_BEYOND_1TB_GB_MONTH
    return [Rate("standard", monthly / _MONTH_SECONDS)]


def hours(start: float, end: float) -> Iterator[tuple[int, float]]:
    """The clock hours that [*start*, *end*) touches, as (epoch second of the hour, seconds spent in it)."""
    while start < end:
        hour = int(start // _HOUR) * _HOUR
        until = min(end, hour + _HOUR)
        yield hour, until - start
        start = until


def bucket_start(moment: datetime, size: str) -> datetime:
    """The start of the hour, day, week (Monday), month or year that *moment* lies in, in UTC."""
    moment = moment.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0)
    if size == "hour":
        return moment
    moment = moment.replace(hour=0)
    if size == "week":
        return moment - timedelta(days=moment.weekday())
    if size in ("month", "year"):
        moment = moment.replace(day=1)
    return moment.replace(month=1) if size == "year" else moment


def bucket_after(start: datetime, size: str) -> datetime:
    """The start of the bucket that follows the one beginning at *start*."""
    if size in ("hour", "day", "week"):
        return start + {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}[size]
    if size == "year":
        return start.replace(year=start.year + 1)
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def buckets(start: datetime, end: datetime, size: str) -> list[tuple[datetime, datetime]]:
    """The buckets that cover [*start*, *end*), both ends snapped outwards to bucket boundaries."""
    found = []
    current = bucket_start(start, size)
    while current < end:
        following = bucket_after(current, size)
        found.append((current, following))
        current = following
    return found


def last_buckets(count: int, now: datetime, size: str) -> list[tuple[datetime, datetime]]:
    """The last *count* buckets, the one in progress included, oldest first."""
    found: list[tuple[datetime, datetime]] = []
    start = bucket_start(now, size)
    while len(found) < count:
        found.append((start, bucket_after(start, size)))
        start = bucket_start(start - timedelta(seconds=1), size)
    return found[::-1]
