"""A source tree, an sshd behind a relay, and the commands of the peers."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devpod_rp.ssh.keys import Identity, ensure_identity
from tests.bench.far import FarRelay
from tests.bench.keeping import KeeperProcess
from tests.bench.meter import Meter, Spent
from tests.ssh.openssh import OpenSshServer

_LSYNCD = """settings {{ nodaemon = true, insist = true }}
sync {{ default.rsync, source = "{source}", target = "{target}", delay = 0,
  rsync = {{ archive = true, rsh = "{ssh}" }} }}
"""


class Place:
    """Where everything is measured: *home* with a keeper, an sshd and the peers' copies in it."""

    def __init__(self, home: Path, rtt_ms: int, server: OpenSshServer, relay: FarRelay) -> None:
        self.home, self.rtt_ms, self.relay = home, rtt_ms, relay
        identity: Identity = ensure_identity()
        known, address = home / "known_hosts", relay.address
        known.write_text(f"[{address.host}]:{address.port} {server.host_key.kind} {server.host_key.base64}\n")
        self.ssh = (
            f"ssh -F none -p {address.port} -i {identity.private} -o IdentitiesOnly=yes -o LogLevel=ERROR "
            f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes"
        )
        self.remote = f"{address.user}@{address.host}"
        self.keeper = KeeperProcess(home, address, server.host_key)
        self.meter = Meter(relay, server.pid, lambda: self.keeper.pid)
        self.folder, self.there, self.peer = self.keeper.folder, self.keeper.there, home / "peer"

    def run(self, *command: str) -> Spent:
        """What a command takes, which must succeed."""
        environment = {**os.environ, "UNISON": str(self.home / "u")}
        return self.meter.measure(
            lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        )

    def rsync(self, target: Path, *more: str, ssh: str | None = None) -> Spent:
        where = f"{self.remote}:{target}/"
        return self.run("rsync", "-a", "--delete", *more, "-e", ssh or self.ssh, f"{self.folder}/", where)

    def unison(self, target: Path) -> Spent:
        binary, arguments = self.ssh.split(" ", 1)
        where = f"ssh://{self.remote}:{self.relay.address.port}/{target}"
        return self.run(
            "unison", str(self.folder), where, "-batch", "-silent", "-perms", "-1", "-times", "-sshcmd", binary,
            "-sshargs", arguments,
        )  # fmt: skip

    @contextmanager
    def lsyncd(self, target: Path) -> Iterator[None]:
        """lsyncd at work, without its usual delay."""
        configuration = self.home / "lsyncd.lua"
        where = f"{self.remote}:{target}/"
        configuration.write_text(_LSYNCD.format(source=f"{self.folder}/", target=where, ssh=self.ssh))
        process = subprocess.Popen(["lsyncd", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            mark = self.folder / ".lsyncd-works"
            mark.write_text("yes")
            until(target / mark.name, b"yes")
            yield
        finally:
            process.terminate()
            process.wait(30)
            mark.unlink()

    @contextmanager
    def multiplexed(self) -> Iterator[str]:
        """An ssh command over a connection that stands already."""
        socket = self.home / f"mux{time.monotonic_ns()}"
        command = f"{self.ssh} -S {socket}"
        subprocess.run([*command.split(), "-M", "-fN", "-o", "ControlPersist=60", self.remote], check=True)
        try:
            yield command
        finally:
            subprocess.run([*command.split(), "-O", "exit", self.remote], check=True, stderr=subprocess.DEVNULL)


def has(program: str) -> bool:
    return shutil.which(program) is not None


def until(path: Path, data: bytes, seconds: float = 120.0) -> None:
    """Return as soon as *path* holds *data*."""
    deadline = time.perf_counter() + seconds
    while True:
        try:
            if path.read_bytes() == data:
                return
        except OSError:
            pass
        if time.perf_counter() > deadline:
            raise TimeoutError(f"{path} did not arrive")
        time.sleep(0.0005)
