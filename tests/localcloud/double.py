"""A host that only pretends to run containers: its container disk is a directory, its log a file."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Collection
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from devpod_rp.localcloud.delays import Delays
from devpod_rp.localcloud.sandbox import Machine, SandboxError, Support
from devpod_rp.localcloud.settings import Settings

DEADLINE_SECONDS = 20.0


class Container:
    def __init__(self, host: DoubleHost, machine: Machine) -> None:
        self._host = host
        self.machine = machine
        self.pid = 4242
        self.running = True

    def alive(self) -> bool:
        return self.running

    def stop(self, grace_seconds: float = 10.0) -> None:
        if self._host.refuse_to_stop:
            self._host.did("refused to stop", self.machine.pod_id)
            raise SandboxError("it will not end.")
        self.running = False
        self.grace_seconds = grace_seconds
        self._host.did("stop", self.machine.pod_id)


class DoubleHost:
    """Every call is remembered in ``history`` as (verb, pod id)."""

    def __init__(self, support: Support | None = None) -> None:
        self.support = support or Support(available=True, privileged=True, sshd="openssh", missing=None, hint=None)
        self.history: list[tuple[str, str]] = []
        self.containers: dict[str, Container] = {}
        self.refuse_to_start: str | None = None
        self.refuse_to_stop = False
        self._lock = threading.Lock()

    def did(self, verb: str, pod_id: str) -> None:
        with self._lock:
            self.history.append((verb, pod_id))

    def probe(self) -> Support:
        return self.support

    def start(self, machine: Machine) -> Container:
        if self.refuse_to_start:
            raise SandboxError(self.refuse_to_start)
        disk = container_disk(machine.directory)
        disk.mkdir(exist_ok=True)
        container = Container(self, machine)
        self.containers[machine.pod_id] = container
        self.did("start", machine.pod_id)
        with self.container_log(machine.directory).open("a", encoding="utf-8") as log:
            stamp = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
            log.write(f"{stamp} Pod Started\n")
        return container

    def wipe(self, directory: Path) -> None:
        self.did("wipe", directory.name)
        shutil.rmtree(container_disk(directory), ignore_errors=True)

    def erase(self, path: Path) -> None:
        self.did("erase", path.name)
        shutil.rmtree(path, ignore_errors=True)

    def sweep(self, root: Path, _live: Collection[str]) -> list[str]:
        self.did("sweep", str(root))
        return []

    def container_log(self, directory: Path) -> Path:
        return directory / "container.log"


def container_disk(directory: Path) -> Path:
    return directory / "container-disk"


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of *condition*, looked for until a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"never happened: {what}")


def quick_settings(root: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "root": root / "local-cloud",
        "endpoint": root / "local-cloud" / "endpoint.json",
        "delays": Delays(0.02, 0.02, 0.02),
        "heartbeat_seconds": 0.1,
    }
    return Settings(**{**values, **changes})
