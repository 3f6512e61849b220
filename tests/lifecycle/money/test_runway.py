"""When the money ends, and what ends then."""

from __future__ import annotations

import pytest

from devpod_rp.lifecycle.money.runway import Consumer, alarm, network_volume, pod, runway


def a_pod(volume: str, *, running: bool = True, per_hour: float = 1.0) -> Consumer:
    return Consumer("p1", "devpod-proj", "pod", volume, running, per_hour)


@pytest.mark.parametrize(
    ("balance", "spend", "hours", "low"),
    [(100.0, 0.0, 100.0, False), (12.0, 0.0, 12.0, True), (12.0, 4.0, 3.0, True), (-1.0, 0.0, 0.0, True)],
)
def test_the_clock_runs_at_the_higher_burn(balance: float, spend: float, hours: float, low: bool) -> None:
    found = runway(balance, spend, [a_pod("disk")])
    assert (found.hours_left, found.low) == (pytest.approx(hours), low)


@pytest.mark.parametrize(
    ("consumer", "dies", "fate"),
    [
        (a_pod("disk"), True, "terminated, and its volume disk with it"),
        (a_pod("disk", running=False), True, "terminated, and its volume disk with it"),
        (a_pod("none"), True, "terminated"),
        (a_pod("network"), False, "stopped; its network volume keeps the data"),
        (network_volume("v1", "data", 100), False, "kept for now"),
    ],
)
def test_it_is_said_what_dies(consumer: Consumer, dies: bool, fate: str) -> None:
    found = runway(1.0, 0.0, [consumer, a_pod("none", per_hour=0.5)])
    assert found.warnings[0].startswith(f"at $0.00: {consumer.name} ({consumer.id}) is {fate}")
    assert consumer.dies is dies


def test_a_long_runway_warns_of_nothing() -> None:
    assert runway(1000.0, 0.0, [a_pod("disk")]).warnings == []


def test_an_unknown_balance_is_said_to_be_unknown() -> None:
    found = runway(None, 0.0, [a_pod("disk")], unknown="GraphQL is retired")
    assert (found.hours_left, found.low, found.spoken) == (None, False, "unknown: GraphQL is retired")


@pytest.mark.parametrize(
    ("hours", "said", "told"),
    [
        (None, None, None),
        (25.0, None, None),
        (23.9, None, 24.0),
        (23.0, 24.0, None),
        (5.0, 24.0, 6.0),
        (5.0, None, 6.0),
        (0.5, 6.0, 1.0),
        (0.0, 1.0, None),
    ],
)
def test_each_threshold_is_told_once(hours: float | None, said: float | None, told: float | None) -> None:
    assert alarm(hours, said) == told


def test_nothing_that_costs_means_no_clock() -> None:
    assert runway(5.0, 0.0, []).spoken == "$5.00, nothing is spent now"


def test_a_network_volume_bills_once_beside_its_pod() -> None:
    attached = pod("p", "n", compute=0.5, running=True, container_gb=0, volume="network", volume_gb=100)
    assert attached.per_hour == pytest.approx(0.5)
    assert network_volume("v", "data", 730).per_hour == pytest.approx(0.07)
    stopped = pod("p", "n", compute=0.0, running=False, container_gb=50, volume="disk", volume_gb=730)
    assert stopped.per_hour == pytest.approx(0.2)
