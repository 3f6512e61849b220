"""The verbs against a real local cloud whose pods are doubles: they run, and nobody answers on their ports."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from devpod_rp import environments
from devpod_rp.environments import Environment, Intent, VolumeRecord
from devpod_rp.lifecycle.account import clouds
from devpod_rp.runpod.client import RunPod
from tests.localcloud.conftest import LocalCloud
from tests.localcloud.owned import owned_cloud


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DEVPOD_RP_CLOUD", "RUNPOD_API_KEY", "RUNPOD_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DEVPOD_RP_SSH_CONFIG", str(tmp_path / "ssh_config"))
    made = tmp_path / "proj"
    made.mkdir()
    return made


@pytest.fixture
def cloud(folder: Path) -> Iterator[LocalCloud]:
    with owned_cloud(folder.parent) as running:
        yield running


@pytest.fixture
def client(cloud: LocalCloud) -> Iterator[RunPod]:
    with clouds.client(clouds.choose("local")) as made:
        yield made


def record(
    folder: Path, *, cloud: str = "local", kind: str = "disk", volume_id: str | None = None, **changes: Any
) -> Environment:
    """An environment called "proj" as `up` writes it before anything is made, with *changes*."""
    made = environments.create(
        name="proj",
        cloud=cloud,
        api_url="http://127.0.0.1",
        folder=str(folder),
        workspace="/workspace/proj",
        spec={"sync": {"enabled": True, "mode": "one-way-safe"}},
        volume=VolumeRecord(kind=kind, id=volume_id, size_gb=20, path="/workspace"),
    )
    return environments.save(dataclasses.replace(made, **changes))


def announce(environment: Environment, action: str = "create", *, age_seconds: float = 0.0, **details: str) -> None:
    """The intent that an interrupted command left *age_seconds* ago."""
    written = datetime.now(timezone.utc) - timedelta(seconds=age_seconds)
    intent = Intent(action, environment.id, environment.pod_name, details, written.isoformat())
    environments.write_intent(environment.name, intent)
