"""Many clients at once: at most one container per pod, and everything settles to what was ordered last."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from devpod_rp.localcloud.sandbox import Machine
from tests.localcloud.conftest import LocalCloud
from tests.localcloud.double import Container, DoubleHost, container_disk, eventually, quick_settings


class JealousHost(DoubleHost):
    """Notes every start of a pod whose last container still runs, and every wipe or erasure under a running one."""

    def __init__(self) -> None:
        super().__init__()
        self.crimes: list[str] = []

    def start(self, machine: Machine) -> Container:
        self._suspect("started", machine.pod_id)
        return super().start(machine)

    def wipe(self, directory) -> None:
        self._suspect("wiped", directory.name)
        super().wipe(directory)

    def erase(self, path) -> None:
        self._suspect("erased", path.name)
        super().erase(path)

    def _suspect(self, verb: str, pod_id: str) -> None:
        container = self.containers.get(pod_id)
        if container is not None and container.running:
            self.crimes.append(f"{verb} {pod_id} while its container was running")


@pytest.mark.slow
def test_orders_given_at_once_never_run_a_pod_twice(tmp_path):
    host = JealousHost()
    local = LocalCloud(quick_settings(tmp_path), host).start()
    try:
        pods = [
            local.create(name=f"pod-{number}", gpu={"id": "NVIDIA RTX A4000", "count": 1})["id"] for number in range(4)
        ]
        with ThreadPoolExecutor(6) as clients:
            for outcome in [clients.submit(hammer, local, pods, seed) for seed in range(6)]:
                assert outcome.result() == set(), "an order was answered with a server error"
        left = {pod["id"]: pod["status"] for pod in local.client.get("/v2/pods").json()["pods"]}
        for pod_id, status in left.items():
            settled = "EXITED" if status == "EXITED" else "RUNNING"
            local.until(pod_id, settled)
            eventually(
                lambda pod_id=pod_id, settled=settled: (
                    host.containers[pod_id].running == (settled == "RUNNING")
                    if pod_id in host.containers
                    else settled == "EXITED"
                ),
                "the container agrees with the status",
            )
        directories = local.settings.root / "pods"
        eventually(
            lambda: {path.name for path in directories.iterdir()} <= set(left), "terminated pods left nothing behind"
        )
        for pod_id, status in left.items():
            if status == "EXITED":
                assert not container_disk(directories / pod_id).exists()
    finally:
        local.stop()
    assert host.crimes == []
    workers = {f"pod-{pod}" for pod in pods}
    eventually(
        lambda: workers.isdisjoint(thread.name for thread in threading.enumerate()), "workers of ended pods are gone"
    )


def hammer(local: LocalCloud, pods: list[str], seed: int) -> set[int]:
    """Forty random orders; the server errors among the answers."""
    dice = random.Random(seed)
    failures = set()
    with httpx.Client(
        base_url=local.url, headers={"Authorization": f"Bearer {local.token}"}, trust_env=False
    ) as client:
        for _ in range(40):
            path = f"/v2/pods/{dice.choice(pods)}"
            action = dice.choice(["start", "stop", "restart", "start", "stop", "edit", "rename", "terminate"])
            if action == "terminate" and dice.random() < 0.9:
                continue
            if action == "edit":
                response = client.patch(path, json={"env": {"N": str(dice.random())}})
            elif action == "rename":
                response = client.patch(path, json={"name": str(dice.random())})
            else:
                response = client.post(f"{path}/action", json={"action": action})
            if response.status_code >= 500:
                failures.add(response.status_code)
    return failures
