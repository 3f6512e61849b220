"""The server as users start it, with real sandboxes: the two halves of the local cloud together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from devpod_rp.localcloud import sandbox
from tests.localcloud.conftest import GPU
from tests.localcloud.double import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXGDN/SclOozk1xsDztpmhGiKkkrfQB9SKoO8dSIQQZ me@example.com"


class Installation:
    """``python -m devpod_rp.localcloud`` in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.root = home / "state" / "local-cloud"
        self._environ = {**os.environ, "DEVPOD_RP_HOME": str(home)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "devpod_rp.localcloud"], env=self._environ)
        endpoint = eventually(self._endpoint, "the server listens")
        self.client = httpx.Client(
            base_url=endpoint["url"],
            headers={"Authorization": f"Bearer {endpoint['token']}"},
            trust_env=False,
            timeout=60,
        )

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is not None:
            self.start()  # so that nothing of a killed server stays behind
        self.client.post("/local/reset")
        self.client.post("/local/stop")
        self._process.wait(60)

    def _endpoint(self) -> dict[str, Any] | None:
        assert self._process is not None
        assert self._process.poll() is None, (self.root / "server.log").read_text()
        path = self.root / "endpoint.json"
        endpoint = json.loads(path.read_text()) if path.exists() else {"pid": None}
        return endpoint if endpoint["pid"] == self._process.pid else None

    def running(self) -> dict[str, Any]:
        body = {
            "name": "dev",
            "image": "runpod/base:1.0.2-ubuntu2404",
            "gpu": {"id": GPU, "count": 1},
            "disk": 10,
            "ports": ["22/tcp"],
            "mounts": {"persistent": {"size": 10, "path": "/workspace"}},
            "startSsh": True,
            "env": {"PUBLIC_KEY": KEY},
        }
        response = self.client.post("/v2/pods", json=body)
        assert response.status_code == 201, response.text
        return self.until(response.json()["id"], "RUNNING")

    def until(self, pod_id: str, status: str) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            pod = self.client.get(f"/v2/pods/{pod_id}").json()
            assert pod["status"] in (status, "PROVISIONING", "STARTING", "RUNNING", "EXITED"), self.why()
            return pod if pod["status"] == status else None

        return eventually(reached, f"{pod_id} is {status}")

    def why(self) -> str:
        return json.dumps(self.client.get("/local/status").json()["pods"])

    def log(self, pod_id: str) -> list[str]:
        lines = []
        path = f"/v2/pods/{pod_id}/logs"
        with self.client.stream("GET", path, params={"source": "container", "tail": 5000}) as response:
            for line in response.iter_lines():
                if line.startswith(":"):
                    return lines
                if line.startswith("data: "):
                    lines.append(json.loads(line[6:])["line"])
        return lines


def banner(pod: dict[str, Any]) -> bytes:
    """What the pod's SSH server says first."""
    direct = pod["ssh"]["direct"]

    def read() -> bytes:
        try:
            with socket.create_connection((direct["host"], direct["port"]), 2) as connection:
                return connection.recv(64)
        except OSError:
            return b""

    return eventually(read, "the SSH server speaks")


def processes_of(pod_id: str) -> list[int]:
    return [process.pid for process in psutil.process_iter() if pod_of(process) == pod_id]


def pod_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("RUNPOD_POD_ID")
    except (psutil.Error, OSError):
        return None  # it has just ended, or is the kernel's


def mounts_below(root: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(root) in line]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Installation]:
    support = sandbox.probe()
    if not support.available:
        pytest.skip(str(support.missing))
    installation = Installation(tmp_path)
    installation.start()
    try:
        yield installation
    finally:
        installation.end()


def test_a_pod_boots_speaks_ssh_and_prints_its_host_keys(cloud):
    pod = cloud.running()
    assert banner(pod).startswith(b"SSH-2.0-")
    eventually(lambda: any("SHA256:" in line for line in cloud.log(pod["id"])), "the fingerprints are in the log")
    assert processes_of(pod["id"])


def test_stop_and_terminate_leave_no_process_and_no_mount(cloud):
    pod = cloud.running()
    first = pod["ssh"]["direct"]["port"]
    cloud.client.post(f"/v2/pods/{pod['id']}/action", json={"action": "stop"})
    eventually(lambda: not processes_of(pod["id"]), "its processes are gone")
    cloud.client.post(f"/v2/pods/{pod['id']}/action", json={"action": "start"})
    again = cloud.until(pod["id"], "RUNNING")
    assert again["ssh"]["direct"]["port"] != first
    assert banner(again).startswith(b"SSH-2.0-")
    cloud.client.delete(f"/v2/pods/{pod['id']}")
    eventually(lambda: not (cloud.root / "pods" / pod["id"]).exists(), "its directory is gone")
    assert processes_of(pod["id"]) == []
    assert mounts_below(cloud.root) == []


def test_killing_the_server_ends_its_pods_and_the_next_one_brings_them_back(cloud):
    pod = cloud.running()
    banner(pod)
    (cloud.root / "volume-disks" / pod["id"] / "kept").write_text("kept")
    cloud.kill()
    eventually(lambda: not processes_of(pod["id"]), "no stray process is left")
    assert mounts_below(cloud.root) == []

    cloud.start()

    back = cloud.until(pod["id"], "RUNNING")
    assert back["ssh"]["direct"]["port"] != pod["ssh"]["direct"]["port"]
    assert banner(back).startswith(b"SSH-2.0-")
    assert (cloud.root / "volume-disks" / pod["id"] / "kept").read_text() == "kept"


def test_reset_leaves_nothing(cloud):
    pods = [cloud.running()["id"] for _ in range(2)]
    started = time.monotonic()
    assert cloud.client.post("/local/reset").status_code == 200
    assert time.monotonic() - started < 30
    assert [pid for pod_id in pods for pid in processes_of(pod_id)] == []
    assert mounts_below(cloud.root) == []
    assert list((cloud.root / "pods").iterdir()) == []
