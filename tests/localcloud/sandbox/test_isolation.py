"""A pod is a machine of its own: it sees nothing of its host's user, and its host sees nothing change."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.localcloud.sandbox.conftest import AWKWARD, MakePod, Pod

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


@pytest.fixture(scope="module")
def pod(make_pod: MakePod) -> Pod:
    os.environ["DEVPOD_RP_TEST_SECRET"] = "the-users-secret"
    try:
        return make_pod(env=AWKWARD).start()
    finally:
        del os.environ["DEVPOD_RP_TEST_SECRET"]


@pytest.mark.parametrize("folder", ["/home", "/tmp", "/srv", "/mnt", "/media"])
def test_places_of_the_hosts_users_are_empty(pod: Pod, folder: str) -> None:
    assert pod.says(f"find {folder} -mindepth 1 -not -path '*/.*' 2>/dev/null") == ""


def test_roots_home_is_a_fresh_one(pod: Pod) -> None:
    found = set(pod.says("find /root -type f -printf '%P\\n'").split())
    assert found <= {".bashrc", ".profile", ".ssh/authorized_keys", ".cache/motd.legal-displayed"}
    assert pod.says("cat /root/.ssh/authorized_keys") == pod.machine.env["PUBLIC_KEY"] + "\n"


def test_the_project_and_our_own_state_are_not_there(pod: Pod) -> None:
    here = Path(__file__).resolve()
    assert pod.ssh(f"test -e {here}").returncode == 1
    assert pod.ssh(f"test -e {pod.machine.directory}").returncode == 1


def test_no_variable_of_the_user_arrives(pod: Pod) -> None:
    everything = pod.says("cat /proc/*/environ | tr '\\0' '\\n'; cat /etc/rp_environment; env")
    assert "the-users-secret" not in everything
    assert "PYTEST" not in everything


def test_only_its_own_processes_are_seen(pod: Pod) -> None:
    commands = pod.says("ps -eo args= 2>/dev/null || cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "pytest" not in commands
    assert int(pod.says("ls -d /proc/[0-9]* | wc -l")) < 20


def test_passwords_of_the_host_stay_there(pod: Pod) -> None:
    for line in pod.says("cat /etc/shadow 2>/dev/null").splitlines():
        assert line.split(":")[1] in ("*", "!", "!*", "!!", "x", "")
    shadow = Path("/etc/gshadow")
    assert not shadow.exists() or pod.ssh("cat /etc/gshadow").stdout != shadow.read_bytes()


def test_the_host_name_is_the_pods(pod: Pod) -> None:
    assert pod.says("hostname").strip() == "thepodhost"
    assert os.uname().nodename != "thepodhost"


def test_what_the_pod_does_to_its_system_does_not_reach_the_host(pod: Pod) -> None:
    victim = "/usr/share/devpod-rp-test"
    pod.says(f"echo mine > {victim}; rm -rf /usr/share/doc; echo pod > /etc/hostname; useradd someone || true")
    assert not Path(victim).exists()
    assert Path("/etc/hostname").read_text().strip() != "pod"
    assert pod.says(f"cat {victim}").strip() == "mine"


def test_no_mount_of_the_pod_shows_on_the_host(pod: Pod) -> None:
    assert "/workspace" in pod.says("cat /proc/self/mountinfo")
    assert pod.mounts() == []


def test_values_are_in_no_process_list_of_the_host(pod: Pod) -> None:
    listed = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    for value in AWKWARD.values():
        assert not value or value not in listed
