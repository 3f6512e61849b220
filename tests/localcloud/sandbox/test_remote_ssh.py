"""What editors need of a host that they reach by SSH, and that they refuse a host which only pretends to be the pod."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpod_rp import paths
from devpod_rp.localcloud import sandbox
from devpod_rp.ssh import config_file, known_hosts
from devpod_rp.ssh.address import Address
from devpod_rp.ssh.config_file import HostEntry
from devpod_rp.ssh.connection import Connection
from devpod_rp.ssh.errors import HostKeyMismatch
from tests.localcloud.sandbox.conftest import MakePod, Pod, make_pod
from tests.localcloud.sandbox.editor_needs import NEEDS, Client
from tests.ssh.openssh import OpenSshServer, find_sshd

__all__ = ["make_pod"]
# A checklist of others that may lie beside the project.
PROBE = Path(__file__).resolve().parents[4] / "shared" / "vscode" / "remote_ssh_probe.py"
HOST = "pod.devpod"
pytestmark = [pytest.mark.sandbox, pytest.mark.slow]
beside_the_project = pytest.mark.skipif(not PROBE.exists(), reason="the checklist does not lie beside the project")


@pytest.fixture(scope="module", params=["openssh", "asyncssh"])
def pod(request: pytest.FixtureRequest, make_pod: MakePod) -> Pod:
    if request.param == "openssh" and sandbox.probe().sshd != "openssh":
        pytest.skip("this machine has no OpenSSH server")
    return make_pod(ssh_server=request.param).start()


@pytest.fixture(scope="module")
def config(pod: Pod, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that we write for ssh and for editors, with the pod's own key pinned."""
    return written(tmp_path_factory.mktemp("client"), pod, port(pod))


def written(home: Path, pod: Pod, at: int) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEVPOD_RP_HOME", str(home))
        known_hosts.pin("pod", known_hosts.offered_host_key("127.0.0.1", port(pod)))
        entry = HostEntry(
            alias=HOST,
            address=Address("127.0.0.1", at),
            identity=pod.key,
            known_hosts=paths.known_hosts_file("pod"),
            host_key_alias=known_hosts.host_key_alias("pod"),
        )
        config_file.write_hosts([entry])
        return paths.ssh_hosts_file()


def port(pod: Pod) -> int:
    assert pod.machine.ssh_port is not None
    return pod.machine.ssh_port


@pytest.mark.parametrize("need", NEEDS)
def test_a_pod_gives_editors(config: Path, need: str) -> None:
    NEEDS[need](Client(config, HOST))


@beside_the_project
def test_every_check_of_the_list_passes(config: Path) -> None:
    checks, summary = probed(config)
    assert {name: note for name, (ok, note) in checks.items() if not ok} == {}
    assert summary == f"{len(checks)} passed, 0 failed"
    assert len(checks) >= 13


def probed(config: Path) -> tuple[dict[str, tuple[bool, str]], str]:
    done = subprocess.run(
        [sys.executable, str(PROBE), "-F", str(config), HOST, "--json"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=150,
        check=False,
    )
    document, _, summary = done.stdout.rpartition("]")
    checks = json.loads(document + "]")
    return {each["check"]: (each["ok"], each["note"]) for each in checks}, summary.strip()


@pytest.fixture(scope="module")
def misled(pod: Pod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A configuration that leads to an impostor: another server, which would let our key in."""
    sshd = find_sshd()
    if sshd is None:
        pytest.skip("no OpenSSH server to play the impostor")
    base = tmp_path_factory.mktemp("impostor")
    with OpenSshServer(sshd, base / "sshd", pod.key.with_suffix(".key.pub").read_text().strip()) as server:
        yield written(base / "client", pod, server.address.port)


@pytest.mark.parametrize(
    "words",
    [
        ("ssh", HOST, "echo in"),
        ("ssh", "-N", "-o", "ExitOnForwardFailure=yes", "-L", "41979:127.0.0.1:1", HOST),
        ("scp", f"{HOST}:/etc/hostname", "/dev/null"),
        ("sftp", HOST),
    ],
    ids=["a command", "a tunnel", "scp", "sftp"],
)
def test_an_impostor_is_refused_by(misled: Path, words: tuple[str, ...]) -> None:
    program, *rest = words
    done = subprocess.run(
        [program, "-F", str(misled), "-o", "BatchMode=yes", *rest],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == 255
    assert done.stdout == b""
    assert b"Host key verification failed" in done.stderr


def test_an_impostor_is_refused_by_our_own_connection(misled: Path, pod: Pod) -> None:
    at = re.search(r"Port (\d+)", misled.read_text())
    assert at is not None
    pinned = known_hosts.offered_host_key("127.0.0.1", port(pod))
    with pytest.raises(HostKeyMismatch):
        Connection.open(Address("127.0.0.1", int(at[1])), pod.key, pinned)


@beside_the_project
def test_an_impostor_is_refused_by_the_checklist(misled: Path) -> None:
    checks, _ = probed(misled)
    # The last one passes where there is no agent to forward.
    assert [name for name, (ok, _) in checks.items() if ok and name != "agent forwarding"] == []
