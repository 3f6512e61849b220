"""A real server on a real port, with a double in place of the sandboxes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from devpod_rp.localcloud.server import serve
from devpod_rp.localcloud.settings import Settings
from tests.localcloud.conformance import check_response
from tests.localcloud.double import DEADLINE_SECONDS, DoubleHost, eventually, quick_settings

GPU = "NVIDIA GeForce RTX 4090"


class LocalCloud:
    """A running server and a client that checks every response it gets."""

    def __init__(self, settings: Settings, host: DoubleHost) -> None:
        self.settings = settings
        self.host = host
        self._thread: threading.Thread | None = None
        self.seen: list[tuple[str, str, int]] = []

    def start(self) -> LocalCloud:
        self._thread = threading.Thread(target=serve, args=(self.settings, self.host))
        self._thread.start()
        endpoint = json.loads(eventually(lambda: _content(self.settings.endpoint), "the server listens"))
        self.url, self.token = endpoint["url"], endpoint["token"]
        self.client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token}"},
            event_hooks={"response": [self._check]},
            trust_env=False,
            timeout=DEADLINE_SECONDS,
        )
        return self

    def stop(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            self.client.post("/local/stop")
            self._thread.join(DEADLINE_SECONDS)
            assert not self._thread.is_alive(), "the server did not end"
        self.client.close()

    def _check(self, response: httpx.Response) -> None:
        if "text/event-stream" not in response.headers.get("content-type", ""):
            check_response(response)
        self.seen.append((response.request.method, response.request.url.path, response.status_code))

    # -- the verbs of the tests ---------------------------------------------------------------------------------------
    def body(self, **changes: Any) -> dict[str, Any]:
        body = {
            "name": "dev",
            "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
            "gpu": {"id": GPU, "count": 1},
            "disk": 20,
            "ports": ["22/tcp", "8888/http"],
            "mounts": {"persistent": {"size": 20, "path": "/workspace"}},
            "startSsh": True,
            "env": {"PUBLIC_KEY": "ssh-ed25519 AAAA me"},
        }
        body.update(changes)
        return {key: value for key, value in body.items() if value is not None}

    def create(self, **changes: Any) -> dict[str, Any]:
        response = self.client.post("/v2/pods", json=self.body(**changes))
        assert response.status_code == 201, response.text
        return response.json()

    def running(self, **changes: Any) -> dict[str, Any]:
        return self.until(self.create(**changes)["id"], "RUNNING")

    def pod(self, pod_id: str) -> dict[str, Any]:
        return self.client.get(f"/v2/pods/{pod_id}").json()

    def act(self, pod_id: str, action: str) -> httpx.Response:
        return self.client.post(f"/v2/pods/{pod_id}/action", json={"action": action})

    def until(self, pod_id: str, status: str) -> dict[str, Any]:
        return eventually(
            lambda: (pod := self.pod(pod_id)).get("status") == status and pod, f"pod {pod_id} is {status}"
        )

    def faults(self, **faults: Any) -> None:
        response = self.client.put("/local/faults", json=faults)
        assert response.status_code == 200, response.text

    def volume(self, **changes: Any) -> dict[str, Any]:
        body = {"name": "data", "size": 10, "dataCenter": "EU-RO-1", **changes}
        response = self.client.post("/v2/network-volumes", json=body)
        assert response.status_code == 201, response.text
        return response.json()

    def did(self, verb: str, pod_id: str) -> int:
        return self.host.history.count((verb, pod_id))


def _content(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalCloud]:
    cloud = LocalCloud(quick_settings(tmp_path), DoubleHost()).start()
    try:
        yield cloud
    finally:
        cloud.stop()
