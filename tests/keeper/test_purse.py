"""When the money runs low, whoever looks elsewhere is told, and what money can save is saved in time."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from devpod_rp import environments
from devpod_rp.environments import Environment, VolumeRecord
from devpod_rp.errors import UnreachableError
from devpod_rp.keeper.lookout import Lookout
from devpod_rp.keeper.purse import Purse
from devpod_rp.lifecycle.money import runway
from devpod_rp.lifecycle.risk.stakes import Stake


class Terminals:
    """The link, as far as this needs it: it says things in the pod."""

    def __init__(self, broken: bool = False) -> None:
        self.said: list[str] = []
        self._broken = broken

    def call(self, op: str, **fields: Any) -> None:
        assert op == "watchdog.say"
        if self._broken:
            raise UnreachableError("the link is gone")
        self.said.append(fields["text"])


class Account:
    """What the purse is connected to, and what it did."""

    def __init__(self, refused: str | None = None) -> None:
        self.balance = 100.0
        self.notices: list[tuple[str, str]] = []
        self.rescued: list[str] = []
        self._refused = refused
        self.purse = Purse(self._runway, lambda title, text: self.notices.append((title, text)), self._rescue)
        self._now = 0.0

    def at(self, balance: float, environment: Environment, link: Any) -> None:
        self.balance = balance
        self._now += 10_000
        self.purse.look(environment, link, self._now)

    def _runway(self, _environment: Environment) -> runway.Runway:
        return runway.runway(self.balance, 1.0, [])

    def _rescue(self, name: str) -> str | None:
        self.rescued.append(name)
        return self._refused


@pytest.fixture
def environment(tmp_path) -> Environment:
    made = environments.create(
        name="demo", cloud="local", api_url="http://127.0.0.1:1", folder=str(tmp_path), workspace="/workspace/demo",
        spec={}, volume=VolumeRecord(kind="network", id="v", size_gb=20, path="/workspace"),
    )  # fmt: skip
    return dataclasses.replace(made, pod_id="p0d")


def test_each_threshold_is_told_once_on_the_desktop_and_in_the_pod(environment) -> None:
    account, link = Account(), Terminals()
    for balance in (100.0, 20.0, 19.0, 5.0, 4.0):
        account.at(balance, environment, link)
    assert [title for title, _ in account.notices] == ["devpod-rp: demo", "devpod-rp: demo"]
    assert len(link.said) == 2
    assert "the account's money ends in 5" in account.notices[1][1]
    assert account.rescued == []


def test_in_the_last_hour_what_is_at_risk_goes_to_the_network_volume_once(environment) -> None:
    account, link = Account(), Terminals()
    account.at(0.5, environment, link)
    account.at(0.4, environment, link)
    assert account.rescued == ["demo"]
    assert link.said[0].endswith("what is at risk is saved to the volume")


def test_a_rescue_that_fails_is_said(environment) -> None:
    account, link = Account(refused="the volume is full"), Terminals()
    account.at(0.5, environment, link)
    assert link.said[0].endswith("not saved: the volume is full")


def test_without_a_volume_there_is_nothing_to_save_to(environment) -> None:
    account, link = Account(), Terminals()
    account.at(0.5, dataclasses.replace(environment, volume=VolumeRecord("none", None, None, "/workspace")), link)
    assert account.rescued == []


def test_a_volume_disk_ends_with_the_money_so_the_advice_is_to_bring_it_here(environment) -> None:
    account, link = Account(), Terminals()
    doomed = dataclasses.replace(environment, volume=VolumeRecord("disk", None, 20, "/workspace"))
    account.at(0.5, doomed, link)
    assert account.rescued == ["demo"], "a stop makes the money last longer, and would wipe it"
    assert link.said[0].endswith("survives a stop and ends with the pod")
    assert "rescue --download DIR demo" in account.notices[0][1]


def test_the_desktop_is_told_also_when_the_pod_cannot_be(environment) -> None:
    account = Account()
    with pytest.raises(UnreachableError):
        account.at(5.0, environment, Terminals(broken=True))
    assert len(account.notices) == 1


# -- what is at risk ------------------------------------------------------------------------------------------------
class Pod:
    def __init__(self, cpu_seconds: float = 0.1) -> None:
        self.stake = Stake(3, 2_100_000_000, cpu_seconds)
        self.looks = 0
        self.lookout = Lookout(self._look)

    def _look(self, _environment: Environment, _link: Any) -> Stake:
        self.looks += 1
        return self.stake


def test_what_is_at_risk_is_counted_when_the_link_is_new_and_kept_with_its_time(environment) -> None:
    pod, link = Pod(), Terminals()
    assert pod.lookout.status() is None
    pod.lookout.look(environment, link, 1_800_000_000.0)
    assert pod.lookout.status() == {"files": 3, "bytes": 2_100_000_000, "checked_at": "2027-01-15T08:00:00+00:00"}
    pod.lookout.look(environment, link, 1_800_000_100.0)
    assert pod.looks == 1
    pod.lookout.look(environment, Terminals(), 1_800_000_101.0)
    assert pod.looks == 2, "another link may be another pod"


@pytest.mark.parametrize("cpu_seconds", [0.1, 2.0, 30.0, 400.0])
def test_looking_takes_less_than_a_hundredth_of_a_processor_however_large_the_disk(environment, cpu_seconds) -> None:
    pod, link = Pod(cpu_seconds), Terminals()
    hours = 48
    for second in range(0, hours * 3600, 20):
        pod.lookout.look(environment, link, float(second))
    assert pod.looks >= 2
    assert pod.looks * cpu_seconds / (hours * 3600) < 0.01


def test_a_pod_that_does_not_answer_is_not_pestered(environment) -> None:
    asked = []

    def fail(_environment: Environment, _link: Any) -> Stake:
        asked.append(1)
        raise UnreachableError("gone")

    lookout, link = Lookout(fail), Terminals()
    for second in (0.0, 20.0, 40.0):
        if not asked:
            with pytest.raises(UnreachableError):
                lookout.look(environment, link, second)
        else:
            lookout.look(environment, link, second)
    assert len(asked) == 1
    assert lookout.status() is None
