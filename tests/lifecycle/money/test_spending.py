"""What was spent, by ledger and by bill, as tables."""

from __future__ import annotations

from datetime import date

import pytest

from devpod_rp.environments.history import REMOVED, Moment
from devpod_rp.lifecycle.money import prices, spending
from devpod_rp.lifecycle.money.spending import Amount, Charge

# Midnight, so that days and hours are whole.
DAY0 = 20_000 * 86_400.0
HOUR = 3600.0


def moment(
    hours: float, status: str, price: float = 0.0, *, pod: str | None = "p1", kind: str = "none", gb: float = 0.0,
    disk: float = 0.0, name: str = "proj", volume: str | None = None,
) -> Moment:  # fmt: skip
    return Moment(DAY0 + hours * HOUR, name, f"id-{name}", "local", status, pod, price, disk, kind, volume, gb)


RUN = [moment(0, "RUNNING", 1.0), moment(10, "EXITED"), moment(20, "RUNNING", 2.0)]


@pytest.mark.parametrize(
    ("start", "end", "total"),
    [
        (0, 10, 10.0),
        (0, 20, 10.0),
        (0, 22, 14.0),
        (9, 21, 3.0),
        (-5, 1, 1.0),
        (22, 30, 0.0),
        (5, 5, 0.0),
    ],
)
def test_the_ledger_adds_up_what_ran(start: float, end: float, total: float) -> None:
    found = spending.stretches(RUN, DAY0 + 22 * HOUR)
    assert spending.between(found, DAY0 + start * HOUR, DAY0 + end * HOUR).total == pytest.approx(total)


def test_a_stopped_volume_disk_costs_double_and_a_deleted_environment_nothing() -> None:
    moments = [
        moment(0, "RUNNING", 0.0, kind="disk", gb=730),
        moment(1, "EXITED", 0.0, kind="disk", gb=730),
        moment(2, REMOVED, 0.0, kind="disk", gb=730),
    ]
    found = spending.stretches(moments, DAY0 + 9 * HOUR)
    assert [each.storage_per_hour for each in found] == pytest.approx([0.1, 0.2])
    assert spending.between(found, DAY0, DAY0 + 9 * HOUR) == Amount(0.0, pytest.approx(0.3))  # type: ignore[arg-type]


def test_a_network_volume_costs_while_the_environment_hibernates() -> None:
    hibernating = [moment(0, "HIBERNATED", pod=None, kind="network", gb=730, volume="v1")]
    found = spending.stretches(hibernating, DAY0 + 10 * HOUR)
    assert spending.between(found, DAY0, DAY0 + 10 * HOUR).total == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("moments", "began"),
    [
        (RUN, 20.0),
        (RUN[:2], None),
        ([moment(0, "PROVISIONING"), moment(1, "RUNNING", 1.0), moment(2, "RUNNING", 1.5)], 0.0),
        ([], None),
    ],
)
def test_a_run_begins_where_the_pod_last_began_to_run(moments: list[Moment], began: float | None) -> None:
    found = spending.run_began(spending.stretches(moments, DAY0 + 22 * HOUR))
    assert found == (None if began is None else DAY0 + began * HOUR)


def test_old_hours_come_from_the_bill_and_new_ones_from_the_ledger() -> None:
    now = DAY0 + 22 * HOUR + 600
    charges = [Charge("p1", DAY0 + hour * HOUR, Amount(0.5, 0.25)) for hour in range(22)]
    # 21 hours are billed; since then 70 minutes at $2/h.
    spent = spending.spent_since(DAY0, RUN, charges, now)
    assert spent.total == pytest.approx(21 * 0.75 + 2.0 * 70 / 60)
    assert spending.spent_since(DAY0, RUN, None, now).total == pytest.approx(10.0 + 2.0 * 130 / 60)


def test_the_table_has_a_row_for_each_day_and_names_what_is_nobodys() -> None:
    now = DAY0 + 50 * HOUR
    histories = {"id-proj": [moment(20, "RUNNING", 1.0)], "id-other": [moment(49, "RUNNING", 3.0, pod="p2", name="b")]}
    charges = [
        Charge("p1", DAY0, Amount(4.0, 0.5)),
        Charge("p1", DAY0 + 24 * HOUR, Amount(24.0, 1.0)),
        Charge("stranger", DAY0 + 24 * HOUR, Amount(7.0, 0.0)),
        Charge("p1", DAY0 + 48 * HOUR, Amount(1.0, 0.0)),
        Charge("p1", DAY0 + 49 * HOUR, Amount(99.0, 0.0)),  # an hour that is not over for the bills
    ]
    rows = [(row.day, row.name, round(row.amount.total, 2)) for row in spending.table(histories, charges, DAY0, now)]
    first = date(2024, 10, 4)
    assert rows == [
        (first.replace(day=6), "b", 3.0),
        (first.replace(day=6), "proj", 2.0),
        (first.replace(day=5), "proj", 25.0),
        (first.replace(day=5), "stranger", 7.0),
        (first, "proj", 4.5),
    ]


def test_without_bills_the_table_is_our_ledger() -> None:
    rows = spending.table({"id-proj": [moment(20, "RUNNING", 1.0)]}, None, DAY0, DAY0 + 30 * HOUR)
    assert [round(row.amount.total, 2) for row in rows] == [6.0, 4.0]


@pytest.mark.parametrize(
    ("kind", "size", "running", "per_month"),
    [
        ("disk", 50, True, 5.0),
        ("disk", 50, False, 10.0),
        ("network", 100, True, 7.0),
        ("network", 100, False, 7.0),
        ("network", 2000, False, 120.0),
        ("none", 50, False, 0.0),
    ],
)
def test_the_price_of_a_volume(kind: str, size: float, running: bool, per_month: float) -> None:
    assert prices.volume_per_month(kind, size, running=running) == pytest.approx(per_month)


def test_a_running_pod_costs_its_machine_and_all_its_disks() -> None:
    price = prices.price(
        compute_per_hour=0.69, container_disk_gb=73, volume_kind="disk", volume_gb=73, running=True, exists=True
    )
    assert price.per_hour == pytest.approx(0.69 + 0.02)
    assert price.running_per_hour == price.per_hour
    assert price.stopped_per_month == pytest.approx(14.6)


def test_a_stopped_pod_costs_its_volume_alone() -> None:
    price = prices.price(
        compute_per_hour=0.0, container_disk_gb=73, volume_kind="disk", volume_gb=73, running=False, exists=True
    )
    assert price.per_hour == pytest.approx(0.02)
    assert price.running_per_hour == pytest.approx(0.02)
