"""``/v2/billing``: what pods and network volumes cost, in time buckets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from devpod_rp.localcloud import billing, timestamps
from devpod_rp.localcloud.api.call import Call, Reply
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.ledger import Cost
from devpod_rp.localcloud.problems import bad_request, invalid

_SIZES = ["hour", "day", "week", "month", "year"]
_DEFAULT_WINDOW = timedelta(days=30)
_MOST_BUCKETS = 10_000

Amounts = Callable[[Sequence[Cost]], dict[str, float]]
Bucket = tuple[datetime, datetime]


def list_pods(cloud: Cloud, call: Call) -> Reply:
    return _reply(cloud, call, "pod", "podId", "uniquePodCount", _pod_amounts)


def list_network_volumes(cloud: Cloud, call: Call) -> Reply:
    return _reply(cloud, call, "volume", "networkVolumeId", "uniqueNetworkVolumeCount", _volume_amounts)


def _reply(cloud: Cloud, call: Call, resource: str, id_key: str, count_key: str, amounts: Amounts) -> Reply:
    size, buckets = _window(call, datetime.fromtimestamp(cloud.clock(), timezone.utc))
    only = call.one(id_key)
    start, end = buckets[0][0], buckets[-1][1]
    with cloud.ledger.transaction() as books:
        books.settle(cloud.clock())
        costs = books.costs(resource, start.timestamp(), end.timestamp(), only)
    records = _records(costs, buckets, id_key, amounts)
    query: dict[str, Any] = {**_range(start, end), "bucketSize": size}
    if only is not None:
        query[id_key] = only
    return Reply(
        document={
            "records": records,
            "metadata": {
                "query": query,
                "recordCount": len(records),
                count_key: len({record[id_key] for record in records}),
                "totals": amounts(costs),
            },
        }
    )


def _window(call: Call, now: datetime) -> tuple[str, list[Bucket]]:
    size = call.one("bucketSize", {"enum": _SIZES}) or "day"
    last = call.whole("lastN", 1, _MOST_BUCKETS)
    start, end = _moment(call, "startTime"), _moment(call, "endTime")
    if last is not None:
        if start or end:
            raise bad_request("lastN and startTime/endTime are mutually exclusive.")
        return size, billing.last_buckets(last, now, size)
    end = end or now
    try:
        start = start or end - _DEFAULT_WINDOW
    except OverflowError as error:
        raise invalid([f"endTime: {error}"]) from None
    if start >= end:
        raise bad_request("startTime must be before endTime.")
    if (end - start) / timedelta(hours=1 if size == "hour" else 24) > _MOST_BUCKETS:
        raise bad_request(f"The window holds more than {_MOST_BUCKETS} buckets.")
    return size, billing.buckets(start, end, size)


def _moment(call: Call, name: str) -> datetime | None:
    text = call.one(name)
    if text is None:
        return None
    try:
        return timestamps.parse(text).astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise invalid([f"{name}: {error}"]) from None


def _records(costs: Sequence[Cost], buckets: Sequence[Bucket], id_key: str, amounts: Amounts) -> list[dict[str, Any]]:
    records = []
    for start, end in buckets:
        within = [cost for cost in costs if start.timestamp() <= cost.hour < end.timestamp()]
        for resource_id in sorted({cost.id for cost in within}):
            mine = [cost for cost in within if cost.id == resource_id]
            records.append({**_range(start, end), id_key: resource_id, **amounts(mine)})
    return records


def _range(start: datetime, end: datetime) -> dict[str, str]:
    return {"startTime": timestamps.rfc3339(start), "endTime": timestamps.rfc3339(end)}


def _pod_amounts(costs: Sequence[Cost]) -> dict[str, float]:
    return _amounts(costs, {"gpuAmount": "gpu", "cpuAmount": "cpu", "diskAmount": "disk"})


def _volume_amounts(costs: Sequence[Cost]) -> dict[str, float]:
    return _amounts(costs, {"standardAmount": "standard", "highPerformanceAmount": "high_performance"})


def _amounts(costs: Sequence[Cost], components: Mapping[str, str]) -> dict[str, float]:
    amounts = {
        key: sum(cost.usd for cost in costs if cost.component == component) for key, component in components.items()
    }
    return {"totalAmount": sum(amounts.values()), **amounts}
