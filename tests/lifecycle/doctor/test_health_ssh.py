"""``doctor`` names what keeps ssh from a pod, and the way out, for each thing that somebody may have broken."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from devpod_rp import paths
from devpod_rp.environments import SshEndpoint
from devpod_rp.errors import ConfigurationError
from devpod_rp.lifecycle.doctor import health_ssh
from devpod_rp.lifecycle.doctor.finding import Finding
from devpod_rp.lifecycle.reach import hosts
from devpod_rp.ssh import known_hosts
from devpod_rp.ssh.keys import ensure_identity
from tests.lifecycle.conftest import record
from tests.ssh.server import as_host_key, new_host_key

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh on this machine")


@pytest.fixture
def user_config(folder: Path) -> Path:
    """A machine where all is well: one running environment, its host key pinned, the configuration written."""
    key = as_host_key(new_host_key())
    record(
        folder,
        status="RUNNING",
        pod_id="p1",
        ssh=SshEndpoint("203.0.113.7", 22017, "root"),
        host_key=key.line,
        spec={"auto_start": True},
    )
    ensure_identity()
    known_hosts.pin("proj", key)
    hosts.write_ssh_config()
    return paths.user_ssh_config()


def findings() -> dict[str, Finding]:
    checks = (health_ssh.client, health_ssh.configuration, health_ssh.identity, health_ssh.host_keys)
    return {each.check: each for each in (check() for check in checks)}


def test_where_all_is_well_nothing_is_wrong(user_config: Path) -> None:
    assert [each for each in findings().values() if not each.ok] == []
    assert findings()["ssh config"].found == f"proj.devpod resolves through {user_config}"


def before(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text.format(path=path) + path.read_text())


BREAKAGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "emptied": (lambda path: path.write_text(""), "does not include our hosts", "at its very top: Include"),
    "gone": (lambda path: path.unlink(), "does not include our hosts", "devpod-rp up proj"),
    "the Include below a host": (before("Host a\n"), "above its first Host", "at its very top"),
    "a byte order mark": (
        lambda path: path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()),
        "byte order mark",
        "devpod-rp up proj mends it",
    ),
    "open to others": (lambda path: path.chmod(0o666), "others may write", "chmod go-w"),
    "our file open to others": (lambda _: paths.ssh_hosts_file().chmod(0o666), "others may write", "chmod go-w"),
    "our file gone": (lambda _: paths.ssh_hosts_file().unlink(), "is not there", "devpod-rp up proj"),
    "another port above": (before("Include {path}.more\n"), "otherwise than 'port 22017'", "above our Include"),
    "a line that ssh does not know": (before("Bogus yes\n"), "Bad configuration option: bogus", "correct"),
    "a program that moved": (
        lambda _: paths.ssh_hosts_file().write_text(
            paths.ssh_hosts_file().read_text().replace("on_demand.py", "moved.py")
        ),
        "moved.py, which is gone",
        "devpod-rp up proj",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_the_configuration(user_config: Path, breakage: str) -> None:
    Path(f"{user_config}.more").write_text("Host *.devpod\n  Port 1\n")
    destroy, found, fix = BREAKAGES[breakage]
    destroy(user_config)
    said = findings()["ssh config"]
    assert not said.ok
    assert found in said.found
    assert fix in str(said.fix)


def test_a_key_that_is_gone_open_or_no_key(user_config: Path) -> None:
    private = paths.ssh_identity()
    private.chmod(0o644)
    assert "mode 644" in findings()["identity"].found
    content = private.read_bytes()
    private.unlink()
    said = findings()["identity"]
    assert "proj lets in nobody else" in said.found
    assert "authorized_keys" in str(said.fix)
    private.write_text("garbage")
    private.chmod(0o600)
    with pytest.raises(ConfigurationError, match="not an unencrypted SSH private key"):
        health_ssh.identity()
    private.write_bytes(content)
    assert findings()["identity"].ok


def test_a_pinned_host_key_that_is_gone_or_another(user_config: Path) -> None:
    known_hosts.forget("proj")
    said = findings()["host keys"]
    assert "has no host key" in said.found
    assert "devpod-rp up proj" in str(said.fix)
    known_hosts.pin("proj", as_host_key(new_host_key()))
    assert "another host key than was verified" in findings()["host keys"].found
    paths.known_hosts_file("proj").write_text("junk")
    with pytest.raises(ConfigurationError, match="does not hold the pinned host key"):
        health_ssh.host_keys()


def test_without_ssh_on_the_path(user_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "no ssh on PATH" in findings()["ssh"].found
    assert "openssh-client" in str(findings()["ssh config"].fix)


def test_the_fix_of_a_configuration_that_others_may_write_works(user_config: Path) -> None:
    user_config.chmod(0o666)
    fix = findings()["ssh config"].fix
    assert fix
    subprocess.run(fix, shell=True, check=True)
    assert findings()["ssh config"].ok
    assert stat.S_IMODE(user_config.stat().st_mode) == 0o644
