"""The ledger's truth after kill -9: a real server process, killed at chosen and at random moments."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.localcloud.conftest import GPU
from tests.localcloud.double import eventually

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")]

BODY = {
    "name": "dev",
    "image": "runpod/base:1.0",
    "gpu": {"id": GPU, "count": 1},
    "disk": 10,
    "ports": ["22/tcp"],
    "mounts": {"persistent": {"size": 10, "path": "/workspace"}},
}


class Process:
    """One server process after another on the same directory."""

    def __init__(self, root: Path) -> None:
        self.root = root / "local-cloud"
        self._home = root
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, crash: str = "") -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "tests.localcloud.crashing_server", self._home, crash])
        endpoint = eventually(self._endpoint, "the server listens")
        self.client = httpx.Client(
            base_url=endpoint["url"],
            headers={"Authorization": f"Bearer {endpoint['token']}"},
            trust_env=False,
            timeout=20,
        )

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def crashed(self) -> None:
        assert self._process is not None
        assert self._process.wait(20) == -signal.SIGKILL

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(20)

    def _endpoint(self) -> dict[str, Any] | None:
        assert self._process is not None
        path = self.root / "endpoint.json"
        if not path.exists():
            return None
        endpoint = json.loads(path.read_text())
        return endpoint if endpoint["pid"] == self._process.pid else None

    # -- what the tests look at ---------------------------------------------------------------------------------------
    def pods(self) -> dict[str, str]:
        return {pod["id"]: pod["status"] for pod in self.client.get("/v2/pods").json()["pods"]}

    def until(self, pod_id: str, status: str) -> None:
        eventually(lambda: self.pods().get(pod_id) == status, f"{pod_id} is {status}")

    def running(self) -> str:
        pod_id = self.client.post("/v2/pods", json=BODY).json()["id"]
        self.until(pod_id, "RUNNING")
        return pod_id

    def act(self, pod_id: str, action: str) -> None:
        with contextlib.suppress(httpx.TransportError):  # the crash may come before the answer
            self.client.post(f"/v2/pods/{pod_id}/action", json={"action": action})

    def disk(self, pod_id: str) -> Path:
        return self.root / "pods" / pod_id / "container-disk"

    def volume(self, pod_id: str) -> Path:
        return self.root / "volume-disks" / pod_id


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    try:
        yield process
    finally:
        process.end()


def test_a_running_pod_comes_back_on_its_container_disk_under_a_new_port(server):
    server.start()
    pod_id = server.running()
    (server.disk(pod_id) / "precious").write_text("still here")
    before = server.client.get(f"/v2/pods/{pod_id}").json()["ssh"]["direct"]["port"]
    server.kill()
    server.start()
    server.until(pod_id, "RUNNING")
    assert server.client.get(f"/v2/pods/{pod_id}").json()["ssh"]["direct"]["port"] != before
    assert (server.disk(pod_id) / "precious").read_text() == "still here"
    eventually(lambda: (server.disk(pod_id) / "boots").read_text().count("booted") == 2, "it booted again")


def test_a_restarted_server_never_shows_the_address_of_a_dead_container(server):
    server.start()
    pod_id = server.running()
    before = server.client.get(f"/v2/pods/{pod_id}").json()["ssh"]["direct"]["port"]
    server.client.put("/local/faults", json={"delays": {"start": 1}})
    server.kill()
    server.start()
    pod = server.client.get(f"/v2/pods/{pod_id}").json()
    assert (pod["status"], pod["ssh"]["direct"]) == ("STARTING", None)
    server.until(pod_id, "RUNNING")
    assert server.client.get(f"/v2/pods/{pod_id}").json()["ssh"]["direct"]["port"] != before


@pytest.mark.parametrize("moment", ["start:before", "start:after"])
def test_a_pod_that_was_being_started_is_started(server, moment):
    server.start(moment)
    with contextlib.suppress(httpx.TransportError):
        server.client.post("/v2/pods", json=BODY)
    server.crashed()
    server.start()
    [pod_id] = server.pods()
    server.until(pod_id, "RUNNING")


@pytest.mark.parametrize("moment", ["wipe:before", "wipe:after"])
def test_a_stop_that_was_cut_off_is_finished(server, moment):
    server.start(moment)
    pod_id = server.running()
    (server.volume(pod_id) / "kept").write_text("kept")
    server.act(pod_id, "stop")
    server.crashed()
    server.start()
    server.until(pod_id, "EXITED")
    eventually(lambda: not server.disk(pod_id).exists(), "the container disk is wiped")
    assert (server.volume(pod_id) / "kept").read_text() == "kept"


@pytest.mark.parametrize("moment", ["wipe:before", "wipe:after"])
def test_a_restart_that_was_cut_off_does_not_resurrect_the_old_disk(server, moment):
    server.start(moment)
    pod_id = server.running()
    (server.disk(pod_id) / "doomed").write_text("doomed")
    server.act(pod_id, "restart")
    server.crashed()
    server.start()
    server.until(pod_id, "RUNNING")
    assert not (server.disk(pod_id) / "doomed").exists()


@pytest.mark.parametrize("moment", ["wipe:before", "wipe:after", "erase:before", "erase:after"])
def test_a_termination_that_was_cut_off_is_finished(server, moment):
    server.start(moment)
    pod_id = server.running()
    server.act(pod_id, "terminate")
    server.crashed()
    server.start()
    assert server.pods() == {}
    eventually(
        lambda: not server.disk(pod_id).parent.exists() and not server.volume(pod_id).exists(), "its disks are gone"
    )


@pytest.mark.parametrize("moment", ["erase:before", "erase:after"])
def test_a_volume_deletion_that_was_cut_off_is_finished(server, moment):
    server.start(moment)
    body = {"name": "data", "size": 10, "dataCenter": "EU-RO-1"}
    volume_id = server.client.post("/v2/network-volumes", json=body).json()["id"]
    directory = server.root / "network-volumes" / volume_id
    directory.mkdir(parents=True)
    with pytest.raises(httpx.TransportError):
        server.client.delete(f"/v2/network-volumes/{volume_id}")
    server.crashed()
    server.start()
    assert server.client.get("/v2/network-volumes").json() == {"networkVolumes": []}
    eventually(lambda: not directory.exists(), "its directory is gone")


def test_a_reset_that_was_cut_off_leaves_no_pod_running(server):
    server.start("erase:before")
    server.running()
    with pytest.raises(httpx.TransportError):
        server.client.post("/local/reset")
    server.crashed()
    server.start()
    assert server.pods() == {}
    eventually(lambda: not list((server.root / "pods").iterdir()), "no pod directory is left")


def test_killed_at_random_moments_every_promise_holds(server):
    """Orders given at random, the server killed at random: what was acknowledged is true afterwards."""
    dice = random.Random(20261123)
    expected: dict[str, set[str]] = {}
    for _round in range(8):
        server.start()
        for _order in range(dice.randint(1, 4)):
            give_an_order(server, dice, expected)
        server.kill()
    server.start()
    statuses = server.pods()
    for pod_id, allowed in expected.items():
        assert statuses.get(pod_id, "GONE") in allowed, pod_id
    for pod_id, status in statuses.items():
        server.until(pod_id, "EXITED" if status == "EXITED" else "RUNNING")
        if status == "EXITED":
            eventually(lambda pod_id=pod_id: not server.disk(pod_id).exists(), "a stopped pod has an empty disk")
    live = set(statuses)
    eventually(lambda: {path.name for path in (server.root / "pods").iterdir()} <= live, "terminated pods left nothing")


def give_an_order(server: Process, dice: random.Random, expected: dict[str, set[str]]) -> None:
    known = [pod_id for pod_id, allowed in expected.items() if allowed != {"GONE"}]
    if not known or dice.random() < 0.4:
        response = server.client.post("/v2/pods", json=BODY)
        if response.status_code == 201:
            expected[response.json()["id"]] = {"PROVISIONING", "STARTING", "RUNNING"}
        return
    pod_id, action = dice.choice(known), dice.choice(["stop", "start", "restart", "terminate"])
    response = server.client.post(f"/v2/pods/{pod_id}/action", json={"action": action})
    if response.is_success:
        active = {"PROVISIONING", "STARTING", "RUNNING"}
        expected[pod_id] = {"stop": {"EXITED"}, "terminate": {"GONE"}}.get(action, active)


def test_only_one_server_runs_and_a_second_start_leaves_it_alone(server, tmp_path):
    server.start()
    endpoint = (server.root / "endpoint.json").read_text()
    second = subprocess.run([sys.executable, "-m", "tests.localcloud.crashing_server", tmp_path], timeout=30)
    assert second.returncode == 0
    assert (server.root / "endpoint.json").read_text() == endpoint
    assert server.client.get("/local/status").status_code == 200


def test_the_port_and_the_key_stay_the_same_over_restarts(server):
    server.start()
    first = json.loads((server.root / "endpoint.json").read_text())
    server.kill()
    server.start()
    second = json.loads((server.root / "endpoint.json").read_text())
    assert (first["url"], first["token"]) == (second["url"], second["token"])


def test_nobody_else_can_read_what_the_server_keeps(server):
    server.start()
    pod_id = server.running()
    for path in [server.root, *server.root.rglob("*")]:
        if server.disk(pod_id).parent in path.parents:
            continue  # the inside of a pod belongs to the sandbox
        if path == server.volume(pod_id):
            continue  # any user inside the pod may enter its volume; nobody else gets through the parent
        allowed = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.lstat().st_mode) == allowed, path


def test_a_request_to_stop_ends_the_process_and_its_endpoint(server):
    server.start()
    assert server.client.post("/local/stop").status_code == 202
    assert server._process.wait(20) == 0
    assert not (server.root / "endpoint.json").exists()
