"""One real pod, started without a server around it, and the real ssh to look into it."""

from __future__ import annotations

import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from devpod_rp.localcloud import sandbox
from devpod_rp.localcloud.sandbox import Machine, Mount, Sandbox
from devpod_rp.pod.link import AgentLink
from devpod_rp.ssh.address import Address
from devpod_rp.ssh.connection import Connection
from devpod_rp.ssh.known_hosts import offered_host_key
from tests.localcloud.double import eventually

# Everything that /etc/rp_environment and a shell could trip over.
AWKWARD = {
    "QUOTES": """a "double" and a 'single' one""",
    "DOLLAR": "$HOME `id` $(id) \\n \\",
    "MANY_LINES": "first\nsecond\n\n  fourth  ",
    "UNICODE": "grüße 🚀",
    "EQUALS": "a=b=c",
    "EMPTY": "",
}


class Pod:
    """A pod on *directory*, started and stopped as often as wanted; its SSH port is another one each time."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        self.key = directory.parent / f"{directory.name}.key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        env = {"PUBLIC_KEY": self.key.with_suffix(".key.pub").read_text().strip(), "RUNPOD_POD_ID": directory.name}
        env.update(changes.pop("env", {}))
        self.volume = directory.parent / f"{directory.name}.volume"
        self.machine = Machine(
            pod_id=directory.name,
            hostname="thepodhost",
            directory=directory,
            env=env,
            mounts=changes.pop("mounts", (Mount(self.volume, "/workspace"),)),
            **changes,
        )
        self.sandbox: Sandbox | None = None

    def start(self) -> Pod:
        self.machine = replace(self.machine, ssh_port=_free_port())
        self.sandbox = Sandbox.start(self.machine)
        eventually(lambda: self.banner().startswith(b"SSH-2.0-"), "the pod speaks SSH")
        return self

    def stop(self, *, wipe: bool = True) -> None:
        """As the cloud does: the container disk goes with the stop."""
        assert self.sandbox is not None
        self.sandbox.stop(grace_seconds=5)
        if wipe:
            sandbox.wipe(self.machine.directory)

    def end(self) -> None:
        if self.sandbox is not None:
            self.sandbox.stop(grace_seconds=0)
        sandbox.erase(self.machine.directory)

    def banner(self) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.machine.ssh_port), 2) as connection:
                return connection.recv(64)
        except OSError:
            return b""

    def ssh(self, command: str, *options: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.client("ssh"), *options, "root@127.0.0.1", *([command] if command else [])],
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def says(self, command: str) -> str:
        done = self.ssh(command)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def agent(self) -> AgentLink:
        assert self.machine.ssh_port is not None
        address = Address("127.0.0.1", self.machine.ssh_port, "root")
        offered = offered_host_key(address.host, address.port)
        return AgentLink.open(Connection.open(address, self.key, offered))

    def client(self, program: str) -> list[str]:
        options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        port = "-p" if program == "ssh" else "-P"
        return [
            program,
            *("-F", "/dev/null", "-i", str(self.key), port, str(self.machine.ssh_port)),
            *(word for option in options for word in ("-o", option)),
        ]

    def log(self) -> str:
        return sandbox.container_log(self.machine.directory).read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if _variable(process) == self.machine.pod_id]

    def mounts(self) -> list[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line for line in lines if str(self.machine.directory) in line]


def _variable(process: psutil.Process) -> str | None:
    try:
        environ: Mapping[str, str] = process.environ()
    except (psutil.Error, OSError):
        return None  # it has just ended, or is the kernel's
    return environ.get("RUNPOD_POD_ID")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


MakePod = Callable[..., Pod]


@pytest.fixture(scope="module")
def make_pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakePod]:
    support = sandbox.probe()
    if not support.available:
        pytest.skip(f"no pods on this machine: {support.missing}")
    base = tmp_path_factory.mktemp("pods")
    made: list[Pod] = []

    def make(**changes: Any) -> Pod:
        # Unique among all processes of this test run: a pod is known by its id in the process table.
        pod = Pod(base / f"pod{secrets.token_hex(4)}", **changes)
        made.append(pod)
        return pod

    yield make
    for pod in made:
        pod.end()
        assert pod.processes() == []
        assert pod.mounts() == []
