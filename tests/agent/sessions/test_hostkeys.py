"""Host keys are on the volume whole and for root alone, or not at all."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from devpod_rp.agent.sessions import hostkeys
from devpod_rp.agent.wire import Refusal, Request
from tests.agent.containers import OVERLAY_ROOT, Container

FOLDER = "/workspace/.devpod_rp/host-keys/pod"


@pytest.fixture
def pod(tmp_path: Path) -> Container:
    container = Container(tmp_path)
    for kind in ("ed25519", "ecdsa"):
        container.write(f"/etc/ssh/ssh_host_{kind}_key", f"private {kind}")
        container.write(f"/etc/ssh/ssh_host_{kind}_key.pub", f"public {kind}")
    container.write("/etc/ssh/sshd_config", "Port 22")
    return container


def restored(pod: Container, outcome: str) -> None:
    pod.write(hostkeys.OUTCOME, outcome + "\n")


def keep(pod: Container) -> object:
    operation = hostkeys.operations(str(pod.root), pod.proc)["hostkeys.keep"]
    ((header, _),) = operation(Request({"volume": "/workspace", "folder": FOLDER}, b""))
    return header["restored"]


def kept(pod: Container) -> dict[str, str]:
    folder = pod.path(FOLDER)
    return {each.name: each.read_text() for each in folder.iterdir()} if folder.exists() else {}


def test_the_keys_are_kept_for_root_alone_with_digests_that_hold(pod: Container) -> None:
    restored(pod, hostkeys.NONE)
    assert keep(pod) == hostkeys.NONE
    assert sorted(kept(pod)) == [
        "SHA256SUMS",
        *(f"ssh_host_{name}" for name in ("ecdsa_key", "ecdsa_key.pub", "ed25519_key", "ed25519_key.pub")),
    ]
    assert kept(pod)["ssh_host_ed25519_key"] == "private ed25519"
    folder = pod.path(FOLDER)
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}
    assert {stat.S_IMODE(each.stat().st_mode) for each in (folder, *list(folder.parents)[:2])} == {0o700}
    assert subprocess.run(["sha256sum", "-c", "--status", hostkeys.SUMS], cwd=folder, check=False).returncode == 0


def test_where_nothing_restores_them_nothing_is_kept(pod: Container) -> None:
    assert keep(pod) is None
    assert kept(pod) == {}


def test_what_is_kept_already_is_not_written_again(pod: Container) -> None:
    restored(pod, hostkeys.NONE)
    keep(pod)
    before = {each.name: each.stat().st_ino for each in pod.path(FOLDER).iterdir()}
    restored(pod, hostkeys.RESTORED)
    assert keep(pod) == hostkeys.RESTORED
    assert {each.name: each.stat().st_ino for each in pod.path(FOLDER).iterdir()} == before


def test_other_keys_replace_the_kept_ones_and_open_permissions_are_closed(pod: Container) -> None:
    restored(pod, hostkeys.NONE)
    keep(pod)
    for name in ("ssh_host_ecdsa_key", "ssh_host_ecdsa_key.pub"):
        pod.path(f"/etc/ssh/{name}").unlink()
    pod.write("/etc/ssh/ssh_host_ed25519_key", "another")
    pod.path(FOLDER).chmod(0o755)
    restored(pod, hostkeys.DAMAGED)
    assert keep(pod) == hostkeys.DAMAGED
    assert sorted(kept(pod)) == ["SHA256SUMS", "ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]
    assert kept(pod)["ssh_host_ed25519_key"] == "another"
    assert stat.S_IMODE(pod.path(FOLDER).stat().st_mode) == 0o700


def test_half_a_key_is_not_kept(pod: Container) -> None:
    restored(pod, hostkeys.NONE)
    pod.path("/etc/ssh/ssh_host_ecdsa_key").unlink()
    keep(pod)
    assert not [name for name in kept(pod) if "ecdsa" in name]


def test_a_folder_that_is_no_volume_is_refused(tmp_path: Path) -> None:
    container = Container(tmp_path, mountinfo=[OVERLAY_ROOT])
    container.write("/etc/ssh/ssh_host_rsa_key", "private")
    restored(container, hostkeys.NONE)
    with pytest.raises(Refusal, match="no mounted volume"):
        keep(container)
    assert kept(container) == {}
