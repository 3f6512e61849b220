"""What Remote-SSH clients need of a host, asked by their own checklist over the real ssh."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from devpod_rp.localcloud import sandbox
from tests.localcloud.sandbox.conftest import MakePod, Pod, make_pod

__all__ = ["make_pod"]
PROBE = Path(__file__).resolve().parents[4] / "shared" / "vscode" / "remote_ssh_probe.py"
pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.slow,
    pytest.mark.skipif(not PROBE.exists(), reason="the checklist does not lie beside the project"),
]


@pytest.fixture(scope="module", params=["openssh", "asyncssh"])
def pod(request: pytest.FixtureRequest, make_pod: MakePod) -> Pod:
    if request.param == "openssh" and sandbox.probe().sshd != "openssh":
        pytest.skip("this machine has no OpenSSH server")
    return make_pod(ssh_server=request.param).start()


def test_every_check_of_the_list_passes(pod: Pod, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host pod\n"
        f"  HostName 127.0.0.1\n  Port {pod.machine.ssh_port}\n  User root\n  IdentityFile {pod.key}\n"
        "  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    )
    done = subprocess.run(
        [sys.executable, str(PROBE), "-F", str(config), "pod", "--json"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=150,
        check=False,
    )
    document, _, summary = done.stdout.rpartition("]")
    checks = json.loads(document + "]")
    assert len(checks) >= 13
    failed = {each["check"]: each["note"] for each in checks if not each["ok"]}
    assert failed == {}, summary
