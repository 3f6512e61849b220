"""Money: what accrues when, where it is shown, and what happens when it runs out."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone

import pytest

from devpod_rp.localcloud import billing
from devpod_rp.localcloud.cloud import Cloud
from devpod_rp.localcloud.ledger import Ledger
from devpod_rp.localcloud.records import NetworkVolume, Pod, Status
from tests.localcloud.conftest import GPU
from tests.localcloud.double import DoubleHost, eventually, quick_settings

HOUR = 3600.0
MONTH = 730 * HOUR
START = datetime(2026, 11, 23, 10, 30, tzinfo=timezone.utc).timestamp()


class Clock:
    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def a_pod(**changes):
    pod = Pod(
        id="p",
        name="dev",
        created_at=START,
        status=Status.RUNNING,
        image="runpod/base",
        disk=100,
        ports=(),
        cloud="SECURE",
        data_center="EU-RO-1",
        price_per_hour=0.69,
        billed_until=START,
        api_key="k",
        gpu={"id": GPU, "count": 1},
        persistent={"size": 50, "path": "/workspace"},
    )
    return dataclasses.replace(pod, **changes)


def a_volume(**changes):
    volume = NetworkVolume("v", "data", 100, "EU-RO-1", "STANDARD", START, START)
    return dataclasses.replace(volume, **changes)


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    yield ledger
    ledger.close()


def spent(ledger, resource="pod"):
    with ledger.transaction() as books:
        found = {}
        for cost in books.costs(resource, 0, 2**40):
            found[cost.component] = found.get(cost.component, 0.0) + cost.usd
        return found


@pytest.mark.parametrize("status", [Status.PROVISIONING, Status.STARTING, Status.RUNNING])
def test_a_live_pod_pays_compute_and_both_disks(ledger, status):
    with ledger.transaction() as books:
        books.save_pod(a_pod(status=status))
        books.settle(START + HOUR)
    assert spent(ledger) == pytest.approx({"gpu": 0.69, "disk": (100 * 0.10 + 50 * 0.10) / 730})


def test_a_stopped_pod_pays_double_for_its_volume_disk_and_nothing_else(ledger):
    with ledger.transaction() as books:
        books.save_pod(a_pod(status=Status.EXITED))
        books.settle(START + MONTH)
    assert spent(ledger) == pytest.approx({"disk": 50 * 0.20})


def test_a_cpu_pod_without_a_volume_costs_nothing_when_stopped(ledger):
    with ledger.transaction() as books:
        books.save_pod(a_pod(gpu=None, cpu={"id": "cpu3c", "vcpuCount": 2}, persistent=None))
        books.settle(START + HOUR)
        books.save_pod(dataclasses.replace(books.pod("p"), status=Status.EXITED))
        books.settle(START + MONTH)
    assert spent(ledger) == pytest.approx({"cpu": 0.69, "disk": 100 * 0.10 / 730})


@pytest.mark.parametrize(
    ("volume", "component", "monthly"),
    [
        (a_volume(), "standard", 7.0),
        (a_volume(size=1500), "standard", 70.0 + 25.0),
        (a_volume(type="HIGH_PERFORMANCE"), "high_performance", 14.0),
    ],
)
def test_a_network_volume_pays_whatever_pods_do(ledger, volume, component, monthly):
    with ledger.transaction() as books:
        books.save_volume(volume)
        books.settle(START + MONTH)
    assert spent(ledger, "volume") == pytest.approx({component: monthly})


def test_money_accrues_by_the_second_and_leaves_the_balance(ledger):
    with ledger.transaction() as books:
        books.put("balance", 10.0)
        books.save_pod(a_pod(persistent=None, disk=0))
        for second in range(1, 61):
            books.settle(START + second)
        assert books.balance_usd == pytest.approx(10.0 - 0.69 / 60)


def test_settling_twice_or_with_a_clock_set_back_charges_nothing_twice(ledger):
    with ledger.transaction() as books:
        books.save_pod(a_pod())
        for now in (START + HOUR, START + HOUR, START, START + HOUR):
            books.settle(now)
    assert spent(ledger)["gpu"] == pytest.approx(0.69)


def test_costs_fall_into_the_clock_hours_they_arose_in(ledger):
    with ledger.transaction() as books:
        books.save_pod(a_pod())
        books.settle(START + 2 * HOUR)
        costs = [cost for cost in books.costs("pod", 0, 2**40) if cost.component == "gpu"]
    assert [(cost.hour - START) / 60 for cost in costs] == [-30, 30, 90]
    assert [cost.usd for cost in costs] == pytest.approx([0.345, 0.69, 0.345])


def test_nothing_accrues_while_the_server_is_dead(tmp_path):
    clock = Clock()
    settings = quick_settings(tmp_path, heartbeat_seconds=3600)
    dead = Cloud(settings, DoubleHost(), clock)
    with dead.ledger.transaction() as books:
        books.put("balance", 100.0)
        books.save_pod(a_pod(status=Status.EXITED))
        books.save_volume(a_volume())
    clock.now += HOUR
    with dead.ledger.transaction() as books:
        books.settle(clock.now)  # the last heartbeat
    before = spent(dead.ledger) | spent(dead.ledger, "volume")
    dead.ledger.close()

    clock.now += MONTH
    alive = Cloud(settings, DoubleHost(), clock)
    alive.open()
    try:
        with alive.ledger.transaction() as books:
            books.settle(clock.now)
        assert spent(alive.ledger) | spent(alive.ledger, "volume") == before
    finally:
        alive.close()


def test_the_billing_api_reports_what_a_pod_cost(local):
    pod = local.running()
    other = local.running(name="other")
    answer = local.client.get("/v2/billing/pods", params={"podId": pod["id"], "lastN": 1, "bucketSize": "hour"}).json()
    [record] = answer["records"]
    assert record["podId"] == pod["id"]
    assert record["gpuAmount"] > 0
    assert record["totalAmount"] == pytest.approx(record["gpuAmount"] + record["cpuAmount"] + record["diskAmount"])
    assert answer["metadata"]["query"]["podId"] == pod["id"]
    everything = local.client.get("/v2/billing/pods").json()
    assert {each["podId"] for each in everything["records"]} == {pod["id"], other["id"]}
    assert everything["metadata"]["uniquePodCount"] == 2
    totals = everything["metadata"]["totals"]
    assert totals["totalAmount"] == pytest.approx(sum(each["totalAmount"] for each in everything["records"]))


def test_the_history_of_a_terminated_pod_stays(local):
    pod = local.running()
    local.client.delete(f"/v2/pods/{pod['id']}")
    records = local.client.get("/v2/billing/pods", params={"podId": pod["id"]}).json()["records"]
    assert records[0]["gpuAmount"] > 0


def test_network_volumes_have_their_own_bill(local):
    volume = local.volume(size=4000)
    answer = local.client.get("/v2/billing/network-volumes", params={"networkVolumeId": volume["id"]}).json()
    assert answer["records"][0]["standardAmount"] > 0


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"lastN": 3, "startTime": "2026-01-01T00:00:00Z"}, 400),
        ({"startTime": "2026-02-01T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"}, 400),
        ({"startTime": "1026-02-01T00:00:00Z", "bucketSize": "hour"}, 400),
        ({"startTime": "yesterday"}, 422),
        ({"bucketSize": "minute"}, 422),
        ({"lastN": 0}, 422),
    ],
)
def test_windows_that_make_no_sense_are_refused(local, query, status):
    assert local.client.get("/v2/billing/pods", params=query).status_code == status


@pytest.mark.parametrize(
    ("size", "start", "end"),
    [
        ("hour", "2026-11-23T10:00", "2026-11-23T11:00"),
        ("day", "2026-11-23T00:00", "2026-11-24T00:00"),
        ("week", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("month", "2026-11-01T00:00", "2026-12-01T00:00"),
        ("year", "2026-01-01T00:00", "2027-01-01T00:00"),
    ],
)
def test_a_window_snaps_outwards_to_its_buckets(size, start, end):
    moment = datetime.fromtimestamp(START, timezone.utc)
    [(first, last)] = billing.buckets(moment, moment.replace(minute=31), size)
    assert (f"{first:%Y-%m-%dT%H:%M}", f"{last:%Y-%m-%dT%H:%M}") == (start, end)
    assert billing.last_buckets(1, moment, size) == [(first, last)]
    assert len(billing.last_buckets(14, moment, size)) == 14


def test_out_of_credit_pods_are_stopped_and_their_files_kept(local):
    pod = local.running()
    local.client.put("/local/account", json={"balance_usd": 0})
    local.until(pod["id"], "EXITED")
    assert (local.settings.root / "volume-disks" / pod["id"]).exists()


def test_out_of_credit_as_on_runpod_pods_without_a_network_volume_are_lost(local):
    volume = local.volume()
    lost = local.running()
    kept = local.running(mounts={"network": [{"volumeId": volume["id"], "path": "/workspace"}]})
    local.faults(zero_balance="runpod")
    local.client.put("/local/account", json={"balance_usd": 0})
    local.until(kept["id"], "EXITED")
    eventually(lambda: local.client.get(f"/v2/pods/{lost['id']}").status_code == 404, "the other is terminated")
