"""Waiting for a pod that takes its time: no address, a port that only accepts, a server that answers at last."""

from __future__ import annotations

import pytest

from devpod_rp.pod.readiness import wait_for_ssh
from devpod_rp.progress import Event
from devpod_rp.ssh.address import Address
from devpod_rp.ssh.errors import Unreachable

HERE = Address("203.0.113.7", 22001)
THERE = Address("203.0.113.8", 22002)


class Clock:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_it_returns_the_address_at_which_ssh_answers() -> None:
    addresses = iter([None, None, HERE, HERE, THERE])
    refused: list[Address] = []

    def speaks(address: Address, timeout: float) -> str:
        if address != THERE:
            refused.append(address)
            raise Unreachable("cannot connect: connection refused")
        return "SSH-2.0-OpenSSH_9.2"

    clock = Clock()
    found = wait_for_ssh(lambda: next(addresses), timeout=60, clock=clock, pause=clock.pause, speaks=speaks)
    assert found == THERE
    assert refused == [HERE, HERE]


def test_it_gives_up_after_the_timeout_and_says_what_was_missing_last() -> None:
    def speaks(address: Address, timeout: float) -> str:
        raise Unreachable("it accepts connections, but said nothing of SSH")

    clock = Clock()
    with pytest.raises(Unreachable, match="within 60 s: it accepts connections, but said nothing of SSH"):
        wait_for_ssh(lambda: HERE, timeout=60, clock=clock, pause=clock.pause, speaks=speaks)
    assert clock.now == pytest.approx(60)


def test_it_asks_often_at_first_and_then_every_two_seconds() -> None:
    clock = Clock()
    with pytest.raises(Unreachable, match="no public address yet"):
        wait_for_ssh(lambda: None, timeout=30, clock=clock, pause=clock.pause)
    assert clock.pauses[0] <= 0.1
    assert max(clock.pauses) <= 2.0
    assert len(clock.pauses) < 30


def test_a_pod_that_is_gone_ends_the_waiting_at_once() -> None:
    def gone() -> Address | None:
        raise LookupError("the pod was terminated")

    with pytest.raises(LookupError):
        wait_for_ssh(gone, timeout=60, clock=Clock())


def test_it_says_what_it_waits_for() -> None:
    told: list[Event] = []
    clock = Clock()
    with pytest.raises(Unreachable):
        wait_for_ssh(lambda: None, timeout=1, progress=told.append, clock=clock, pause=clock.pause)
    assert {event.stage for event in told} == {"boot"}
    assert told[0].message == "Waiting for SSH", "nobody has looked yet"
    assert "no public address" in told[1].message
