"""A real SSH server (AsyncSSH) and a TCP relay in front of it that can misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devpod_rp.ssh.keys import Identity, ensure_identity
from .relay import Relay
from .server import SshServer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DEVPOD_RP_SSH_CONFIG", str(tmp_path / "user" / ".ssh" / "config"))
    return tmp_path / "home"


@pytest.fixture
def identity(home: Path) -> Identity:
    return ensure_identity()


@pytest.fixture
def server(identity: Identity) -> Iterator[SshServer]:
    with SshServer(authorized=identity.public) as running:
        yield running


@pytest.fixture
def relay(server: SshServer) -> Iterator[Relay]:
    with Relay(server.address.port) as running:
        yield running
