"""Real SSH servers and a TCP relay in front of one that can misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devpod_rp.ssh.keys import Identity, ensure_identity

from .openssh import OpenSshServer, find_sshd
from .relay import Relay
from .server import Server, SshServer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEVPOD_RP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DEVPOD_RP_SSH_CONFIG", str(tmp_path / "user" / ".ssh" / "config"))
    return tmp_path / "home"


@pytest.fixture
def identity(home: Path) -> Identity:
    return ensure_identity()


@pytest.fixture(params=["asyncssh", "openssh"])
def server(request: pytest.FixtureRequest, identity: Identity, tmp_path: Path) -> Iterator[Server]:
    """Each test that takes this runs against both makes; OpenSSH only where it is installed."""
    if request.param == "openssh":
        sshd = find_sshd()
        if sshd is None:
            pytest.skip("OpenSSH's sshd is not installed")
        with OpenSshServer(sshd, tmp_path / "sshd", authorized=identity.public) as running:
            yield running
    else:
        with SshServer(authorized=identity.public) as running:
            yield running


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    with Relay(server.address.port) as running:
        yield running
