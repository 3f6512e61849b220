"""`up` may be interrupted or killed at any request: no pod and no volume is left that nothing remembers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devpod_rp import environments
from tests.lifecycle.conftest import record
from tests.lifecycle.tripwire import Relay, Wire
from tests.localcloud.conftest import LocalCloud

pytestmark = pytest.mark.slow

UP = ("up", "--yes", "--json", "--gpu", "4090")
ON_NETWORK = (*UP, "--volume", "network:data:10")


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str


class Desk:
    """A person with a key, whose every request goes through the relay."""

    def __init__(self, cloud: LocalCloud, relay: Relay, folder: Path) -> None:
        self.cloud, self.relay, self.folder = cloud, relay, folder

    def run(self, *arguments: str) -> Ended:
        process = subprocess.Popen(
            [sys.executable, "-m", "devpod_rp", *arguments],
            cwd=self.folder,
            env={**os.environ, "RUNPOD_API_URL": self.relay.url, "RUNPOD_API_KEY": self.cloud.token},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Where the tests themselves run in the background, Ctrl-C is ignored, and that is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.relay.victim = process
        stdout, stderr = process.communicate(timeout=120)
        assert "Traceback" not in stderr, stderr
        return Ended(process.returncode, stdout, stderr)

    def interrupted(self, wire: Wire, *arguments: str, then: Wire | None = None) -> Ended:
        self.relay.arm(*([wire, then] if then else [wire]))
        ended = self.run(*arguments)
        assert self.relay.wires == [], f"it ended too early: {ended}"
        return ended

    def json(self, *arguments: str) -> Any:
        ended = self.run(*arguments, "--json")
        assert ended.code == 0, ended
        return json.loads(ended.stdout)

    def pods(self) -> list[dict[str, Any]]:
        """The pods that bill, asked beside the relay."""
        return [pod for pod in self.cloud.client.get("/v2/pods").json()["pods"] if pod["status"] != "TERMINATED"]

    def volumes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cloud.client.get("/v2/network-volumes").json()["networkVolumes"]
        return found


@pytest.fixture
def desk(cloud: LocalCloud, folder: Path) -> Iterator[Desk]:
    relay = Relay(cloud.url)
    try:
        yield Desk(cloud, relay, folder)
    finally:
        relay.end()


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 11))
def test_ctrl_c_at_any_request_leaves_nothing_in_the_cloud(desk: Desk, number: int, sent: bool) -> None:
    ended = desk.interrupted(Wire(number, sent, signal.SIGINT), *UP)
    assert ended.code == 130, ended
    assert json.loads(ended.stdout)["error"]["code"] == 130
    assert desk.pods() == []


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 11))
def test_a_kill_at_any_request_leaves_no_pod_that_nothing_remembers(desk: Desk, number: int, sent: bool) -> None:
    desk.interrupted(Wire(number, sent, signal.SIGKILL), *UP)
    seen = desk.json("list")
    assert seen["unowned_pods"] == []
    owned = {each["pod_id"] for each in seen["environments"]}
    assert {pod["id"] for pod in desk.pods()} <= owned
    desk.json("gc", "--yes")
    assert desk.pods() == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_pod_that_was_to_replace_a_lost_one_is_remembered_too(desk: Desk, folder: Path, sign: signal.Signals) -> None:
    record(folder, cloud="runpod", pod_id="lost", used_pod="lost", status="TERMINATED")
    desk.interrupted(Wire(1, True, sign, "POST", "/v2/pods"), *UP)
    if sign is signal.SIGKILL:
        [pod] = desk.pods()
        [known] = desk.json("list")["environments"]
        assert known["pod_id"] == pod["id"]
        desk.json("gc", "--yes")
    assert desk.pods() == []


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
def test_ctrl_c_while_a_network_volume_is_made_leaves_none(desk: Desk, sent: bool) -> None:
    ended = desk.interrupted(Wire(1, sent, signal.SIGINT, "POST", "/v2/network-volumes"), *ON_NETWORK)
    assert ended.code == 130, ended
    assert (desk.pods(), desk.volumes()) == ([], [])


def test_ctrl_c_after_a_network_volume_was_made_leaves_neither_it_nor_the_pod(desk: Desk) -> None:
    ended = desk.interrupted(Wire(1, True, signal.SIGINT, "POST", "/v2/pods"), *ON_NETWORK)
    assert ended.code == 130, ended
    assert (desk.pods(), desk.volumes()) == ([], [])


def test_a_network_volume_that_existed_before_outlives_ctrl_c(desk: Desk) -> None:
    volume = desk.cloud.volume(name="data")
    desk.interrupted(Wire(1, True, signal.SIGINT, "POST", "/v2/pods"), *ON_NETWORK)
    assert desk.pods() == []
    assert [each["id"] for each in desk.volumes()] == [volume["id"]]


def test_a_kill_while_a_network_volume_is_made_does_not_make_a_second_one(desk: Desk) -> None:
    desk.interrupted(Wire(1, True, signal.SIGKILL, "POST", "/v2/network-volumes"), *ON_NETWORK)
    [volume] = desk.volumes()
    desk.json("list")
    assert environments.load("proj").volume.id == volume["id"]
    desk.interrupted(Wire(1, True, signal.SIGINT, "POST", "/v2/pods"), *ON_NETWORK)
    assert (desk.pods(), desk.volumes()) == ([], [volume])


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_clearing_away_is_made_good_by_the_next_command(
    desk: Desk, sign: signal.Signals, sent: bool
) -> None:
    """Who is in a hurry presses Ctrl-C twice."""
    first = Wire(1, True, signal.SIGINT, "POST", "/v2/pods")
    desk.interrupted(first, *UP, then=Wire(1, sent, sign, "DELETE"))
    assert desk.json("list")["unowned_pods"] == []
    desk.json("gc", "--yes")
    assert desk.pods() == []
