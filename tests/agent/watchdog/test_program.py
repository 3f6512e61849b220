"""The watchdog, step by step: when it acts, when it leaves the stop to the laptop, when it holds the pod."""

from __future__ import annotations

from typing import Any

import pytest

from devpod_rp.agent.rescue.keepsakes import Saved
from devpod_rp.agent.watchdog.limits import Limits
from devpod_rp.agent.watchdog.program import Orders, Watchdog, World
from devpod_rp.agent.watchdog.selfstop import Refused
from devpod_rp.agent.wire import Refusal

IDLE = Limits(idle_seconds=60)


class Pod:
    """A pod as a watchdog sees it, with a clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.uses: tuple[str, ...] = ()
        self.laptop_at: float | None = None
        self.rescue_fails: str | None = None
        self.stop_fails: str | None = None
        self.done: list[str] = []
        self.said: list[str] = []

    def watchdog(self) -> Watchdog:
        return Watchdog(
            World(
                look=lambda: self.uses,
                rescue=self.rescue,
                stop=self.stop,
                say=self.said.append,
                now=lambda: self.now,
                laptop_at=lambda: self.laptop_at,
                started_at=self.now,
            )
        )

    def rescue(self, _orders: Orders) -> Saved:
        if self.rescue_fails:
            raise Refusal("no-space", self.rescue_fails)
        self.done.append("rescue")
        return Saved("/workspace/.devpod/rescue/x", 1, 5)

    def stop(self, _orders: Orders) -> None:
        if self.stop_fails:
            raise Refused(self.stop_fails)
        self.done.append("stop")


def orders(limits: Limits = IDLE, *, keeper_leads: bool = True) -> Orders:
    return Orders("http://cloud", "/workspace", limits, [], keeper_leads)


def steps(pod: Pod, watchdog: Watchdog, seconds: int, given: Orders | None = None) -> list[dict[str, Any]]:
    states = []
    for _ in range(0, seconds, 3):
        states.append(watchdog.step(given or orders()))
        pod.now += 3
    return states


def test_an_idle_pod_is_rescued_and_then_stopped_once() -> None:
    pod = Pod()
    states = steps(pod, pod.watchdog(), 90)
    assert pod.done == ["rescue", "stop"]
    assert states[-1]["stopped"] is True
    assert pod.said[-2:] == [
        "saved 1 files to /workspace/.devpod/rescue/x",
        "stopping this pod: nothing has used it for 1m, the idle_stop",
    ]


def test_it_is_said_before_it_happens() -> None:
    pod = Pod()
    steps(pod, pod.watchdog(), 57)
    assert pod.said == ["this pod stops in 12s: nothing has used it for 1m, the idle_stop"]
    assert pod.done == []


def test_use_keeps_it_awake_and_is_named() -> None:
    pod = Pod()
    pod.uses = ("python train.py, GPU 93 %",)
    states = steps(pod, pod.watchdog(), 300)
    assert states[-1]["reason"] == "kept awake by python train.py, GPU 93 %"
    assert pod.done == []


def test_a_keeper_in_touch_goes_first_but_not_for_ever() -> None:
    pod = Pod()
    watchdog = pod.watchdog()
    for _ in range(80):
        pod.laptop_at = pod.now
        steps(pod, watchdog, 3)
    assert pod.done == []
    steps(pod, watchdog, 60)
    assert pod.done == ["rescue", "stop"]


def test_without_a_keeper_that_could_nobody_is_waited_for() -> None:
    pod = Pod()
    pod.laptop_at = pod.now
    steps(pod, pod.watchdog(), 70, orders(keeper_leads=False))
    assert pod.done == ["rescue", "stop"]


def test_a_rescue_that_fails_holds_the_pod_and_says_why_once() -> None:
    pod = Pod()
    pod.rescue_fails = "no room on the volume"
    watchdog = pod.watchdog()
    states = steps(pod, watchdog, 1500)
    assert pod.done == []
    assert states[-1]["held"] == "the rescue failed: no room on the volume"
    assert len([line for line in pod.said if "runs on" in line]) == 1
    pod.rescue_fails = None
    steps(pod, watchdog, 660)
    assert pod.done[:2] == ["rescue", "stop"]


def test_a_refused_key_holds_the_pod_and_is_tried_again() -> None:
    pod = Pod()
    pod.stop_fails = "the API answers 403: access denied"
    watchdog = pod.watchdog()
    assert steps(pod, watchdog, 90)[-1]["held"] == "the stop was refused: the API answers 403: access denied"
    pod.stop_fails = None
    steps(pod, watchdog, 90)
    assert "stop" in pod.done


def test_use_that_comes_back_ends_a_hold() -> None:
    pod = Pod()
    pod.rescue_fails = "no room on the volume"
    watchdog = pod.watchdog()
    steps(pod, watchdog, 120)
    pod.uses = ("an open SSH session",)
    assert steps(pod, watchdog, 3)[-1]["held"] is None


def test_the_lid_counts_from_the_last_sign_of_the_laptop() -> None:
    pod = Pod()
    pod.laptop_at, pod.uses = pod.now, ("an open SSH session",)
    given = orders(Limits(lid_seconds=300))
    watchdog = pod.watchdog()
    steps(pod, watchdog, 297, given)
    assert pod.done == []
    steps(pod, watchdog, 9, given)
    assert pod.done == ["rescue", "stop"]


@pytest.mark.parametrize("document", [{}, {"api_url": "x", "volume": None, "limits": {"a": 1}, "no_loss": []}])
def test_what_are_no_orders_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError)):
        Orders.from_wire(document)
