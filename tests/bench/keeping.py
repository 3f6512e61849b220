"""A keeper in a process of its own, so that what it costs can be told from what the benchmark costs.

``python -m tests.bench.keeping HOME HOST PORT USER KEY-KIND KEY`` reads "start" from its standard input, answers
"done", and stops at the input's end. That process stands already when a measured start begins: peers are not charged
for the time in which their programs are loaded from the disk either.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil  # noqa: F401 - of what a keeper is made of, the part that it loads when it is first needed

from devpod_rp import control
from devpod_rp.environments import Environment
from devpod_rp.keeper.memory import keep_small
from devpod_rp.keeper.state import Timing
from devpod_rp.pod.link import AgentLink
from devpod_rp.ssh.address import Address
from devpod_rp.ssh.connection import Connection
from devpod_rp.ssh.keys import ensure_identity
from devpod_rp.ssh.known_hosts import HostKey
from tests.keeper.rig import Rig

_NAME = "demo"


class KeeperProcess:
    """One environment between ``HOME/project`` and ``HOME/volume/project``, and the process that may keep it."""

    def __init__(self, home: Path, address: Address, host_key: HostKey) -> None:
        self.folder, self.there = home / "project", home / "volume" / "project"
        self._arguments = (str(home), address.host, str(address.port), address.user, host_key.kind, host_key.base64)
        self._begin()

    def _begin(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.keeping", *self._arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start the keeper, and return when everything is synchronised."""
        assert self._process.stdin is not None
        self._process.stdin.write("start\n")
        self._process.stdin.flush()
        self._wait()
        self.ask("flush", 600)

    def stop(self) -> None:
        """Stop the keeper, and have another process ready for the next start."""
        self.close()
        self._begin()

    def ask(self, op: str, timeout: float = 60.0) -> dict[str, Any]:
        return control.keeper_request(_NAME, op, timeout=timeout)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def _wait(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "done\n":
            raise RuntimeError("the keeper's process died")


def main(home: str, host: str, port: str, user: str, kind: str, key: str) -> None:
    rig = Rig(Path(home))
    address, identity = Address(host, int(port), user), ensure_identity()

    def open_link(_environment: Environment) -> AgentLink:
        key_of_host, every = HostKey(kind, key), Timing().ping_seconds
        return AgentLink.open(Connection.open(address, identity.private, key_of_host, keepalive_seconds=every))

    keep_small()
    rig.pod.open_link = open_link  # type: ignore[method-assign]
    print("done", flush=True)
    for _start in sys.stdin:
        rig.start(timing=Timing())
        print("done", flush=True)
    rig.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
