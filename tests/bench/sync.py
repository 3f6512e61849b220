"""The synchronisation beside its peers, in one run: the same tree, the same sshd, the same two links.

``make bench-sync``. It needs rsync; unison is measured where it is installed. The link is a relay of
ours in front of a real OpenSSH server: it counts bytes and, for the far pod, delays each direction by half of RTT.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devpod_rp.environments import Environment
from devpod_rp.keeper.state import Timing
from devpod_rp.pod.link import AgentLink
from devpod_rp.ssh.connection import Connection
from devpod_rp.ssh.keys import Identity, ensure_identity
from tests.bench.far import FarRelay
from tests.keeper.conftest import Rig
from tests.ssh.openssh import OpenSshServer, find_sshd

EDITS = 50
STORM = 2000
MIB = 1 << 20


@dataclass
class Row:
    """One workload: who took how long (seconds), and how many bytes went over the wire."""

    work: str
    rtt_ms: int
    seconds: dict[str, float] = field(default_factory=dict)
    wire: dict[str, int] = field(default_factory=dict)
    note: str = ""

    def __str__(self) -> str:
        ours = self.seconds.get("devpod-rp")
        cells = []
        for name, seconds in self.seconds.items():
            wire = f", {self.wire[name] / 1e6:.1f} MB" if name in self.wire else ""
            ratio = f", {ours / seconds:.2f}x" if ours is not None and name != "devpod-rp" else ""
            shown = f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
            cells.append(f"{name} {shown}{wire}{ratio}")
        return f"| {self.work} | {self.rtt_ms} ms | " + " · ".join(cells) + f" | {self.note} |"


class Place:
    """A source tree, an sshd with a relay in front, and the commands of the peers."""

    def __init__(self, home: Path, rtt_ms: int, tree: Path, server: OpenSshServer, relay: FarRelay) -> None:
        self.home, self.rtt_ms, self.tree, self.server, self.relay = home, rtt_ms, tree, server, relay
        identity = ensure_identity()
        self.identity: Identity = identity
        known = home / "known_hosts"
        address = relay.address
        known.write_text(f"[{address.host}]:{address.port} {server.host_key.kind} {server.host_key.base64}\n")
        self.ssh = (
            f"ssh -F none -p {address.port} -i {identity.private} -o IdentitiesOnly=yes -o LogLevel=ERROR "
            f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes"
        )
        self.remote = f"{address.user}@{address.host}"

    def run(self, *command: str) -> tuple[float, int]:
        """Seconds and bytes of a command, which must succeed."""
        _rest(self.relay)
        began = time.perf_counter()
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "UNISON": str(self.home / "u")}
        )
        return time.perf_counter() - began, self.relay.count()

    def rsync(self, source: Path, target: Path, *more: str) -> tuple[float, int]:
        return self.run("rsync", "-a", "--delete", *more, "-e", self.ssh, f"{source}/", f"{self.remote}:{target}/")

    def unison(self, source: Path, target: Path) -> tuple[float, int]:
        binary, *arguments = self.ssh.split(" ", 1)
        where = f"ssh://{self.remote}:{self.relay.address.port}/{target}"
        return self.run(
            "unison", str(source), where, "-batch", "-silent", "-perms", "-1", "-times", "-sshcmd", binary,
            "-sshargs", arguments[0],
        )  # fmt: skip

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

    def open_link(self, _environment: Environment) -> AgentLink:
        return AgentLink.open(Connection.open(self.relay.address, self.identity.private, self.server.host_key))


def measure(place: Place, big_mib: int) -> Iterator[Row]:
    rig = Rig(place.home)
    rig.pod.open_link = place.open_link  # type: ignore[method-assign]
    shutil.copytree(place.tree, rig.folder / "tree", symlinks=True)
    peer = place.home / "peer"
    files = sum(len(names) for _, _, names in os.walk(rig.folder))
    try:
        yield from _small_files(place, rig, peer, files)
        yield from _latency(place, rig)
        yield from _storm(place, rig, peer)
        yield from _large(place, rig, peer, big_mib)
    finally:
        rig.stop()


def _timed(place: Place, work: Callable[[], object]) -> tuple[float, int]:
    _rest(place.relay)
    began = time.perf_counter()
    work()
    return time.perf_counter() - began, place.relay.count()


def _rest(relay: FarRelay) -> None:
    """Nobody pays for what the one before left to be written to the disk, or to be counted."""
    os.sync()
    relay.count()


def _small_files(place: Place, rig: Rig, peer: Path, files: int) -> Iterator[Row]:
    cold = Row(f"cold, {files} files", place.rtt_ms)

    def start() -> None:
        rig.start(timing=Timing())
        rig.ask("flush", timeout=600)

    _add(cold, "devpod-rp", _timed(place, start))
    _add(cold, "rsync -a", place.rsync(rig.folder, peer))
    # Another folder, and none removed: ext4 avoids inodes that were freed a moment ago, and takes its time for it.
    _add(cold, "rsync zstd", place.rsync(rig.folder, place.home / "peer-zstd", "--zc=zstd"))
    if shutil.which("unison"):
        _add(cold, "unison", place.unison(rig.folder, place.home / "unison"))
    yield cold
    nothing = Row("nothing changed, keeper running (`sync flush`)", place.rtt_ms)
    nothing.seconds["devpod-rp"] = statistics.median(_timed(place, lambda: rig.ask("flush"))[0] for _ in range(7))
    with place.multiplexed() as ssh:
        command = ("rsync", "-a", "--delete", "-e", ssh, f"{rig.folder}/", f"{place.remote}:{peer}/")
        nothing.seconds["rsync, multiplexed"] = statistics.median(place.run(*command)[0] for _ in range(7))
    yield nothing
    again = Row("nothing changed, keeper restarted", place.rtt_ms)
    rig.stop()
    _add(again, "devpod-rp", _timed(place, start))
    _add(again, "rsync -a", place.rsync(rig.folder, peer))
    yield again


def _latency(place: Place, rig: Rig) -> Iterator[Row]:
    chance = random.Random(5)
    targets = [path for path in sorted((rig.folder / "tree").rglob("*.py")) if path.stat().st_size < 50_000][:200]

    def save(path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def replace(path: Path, data: bytes) -> None:
        (path.parent / ".saved~").write_bytes(data)
        (path.parent / ".saved~").replace(path)

    for work, how, fresh in (("save", save, False), ("new file", save, True), ("save by rename", replace, False)):
        seconds = []
        for number in range(EDITS):
            path = chance.choice(targets)
            path = path.with_name(f"new{number}.py") if fresh else path
            data = f"# {work} {number} {chance.random()}\n".encode() * 100
            time.sleep(0.1 + chance.random() * 0.1)
            how(path, data)
            began = time.perf_counter()
            _until(rig.pod.folder / path.relative_to(rig.folder), data)
            seconds.append(time.perf_counter() - began)
        seconds.sort()
        row = Row(f"{work} → visible on the pod, median of {EDITS}", place.rtt_ms)
        row.seconds["devpod-rp"] = statistics.median(seconds)
        row.note = f"p95 {seconds[int(EDITS * 0.95)] * 1000:.0f} ms"
        yield row


def _storm(place: Place, rig: Rig, peer: Path) -> Iterator[Row]:
    place.rsync(rig.folder, peer)
    changed = {}
    for path in sorted((rig.folder / "tree").rglob("*.py"))[:STORM]:
        changed[path] = path.read_bytes() + b"\n# storm\n"
    for path, data in changed.items():
        path.write_bytes(data)
    row = Row(f"{len(changed)} files changed at once, after the last write", place.rtt_ms)

    def arrived() -> None:
        for path, data in changed.items():
            _until(rig.pod.folder / path.relative_to(rig.folder), data)

    _add(row, "devpod-rp", _timed(place, arrived))
    with place.multiplexed() as ssh:
        _add(row, "rsync, multiplexed", place.rsync(rig.folder, peer, "-e", ssh))
    yield row


def _large(place: Place, rig: Rig, peer: Path, mib: int) -> Iterator[Row]:
    big = rig.folder / "big.bin"
    chance = random.Random(6)

    def cold() -> None:
        with big.open("wb") as stream:
            for _ in range(mib):
                stream.write(chance.randbytes(MIB))

    def middle() -> None:
        with big.open("r+b") as stream:
            stream.seek(mib // 2 * MIB)
            stream.write(chance.randbytes(MIB))

    def front() -> None:
        new = place.home / "front.bin"
        with new.open("wb") as target, big.open("rb") as source:
            target.write(chance.randbytes(MIB))
            shutil.copyfileobj(source, target, MIB)
        new.replace(big)

    rig.ask("pause")
    for work, change in (("cold", cold), ("1 MiB changed in its middle", middle), ("1 MiB inserted in front", front)):
        change()
        row = Row(f"{mib} MiB file, {work}", place.rtt_ms)

        def ours() -> None:
            rig.ask("resume")
            rig.ask("flush", timeout=600)

        _add(row, "devpod-rp", _timed(place, ours))
        rig.ask("pause")
        _add(row, "rsync -a", place.rsync(rig.folder, peer))
        yield row
    rig.ask("resume")


def _add(row: Row, who: str, result: tuple[float, int]) -> None:
    row.seconds[who], row.wire[who] = result


def _until(path: Path, data: bytes, seconds: float = 120.0) -> None:
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


def _tree(home: Path, source: Path, files: int) -> Path:
    """A copy of Python sources: *files* of them, in their folders."""
    tree = home / "source"
    taken = 0
    for path in sorted(source.rglob("*")):
        if taken >= files:
            break
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts and path.stat().st_size < MIB:
            target = tree / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            taken += 1
    return tree


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rtt", type=int, nargs="+", default=[0, 50], help="milliseconds")
    parser.add_argument("--files", type=int, default=13_000)
    parser.add_argument("--big-mib", type=int, default=1024)
    parser.add_argument("--source", type=Path, default=Path(sysconfig.get_paths()["stdlib"]))
    wishes = parser.parse_args()
    sshd = find_sshd()
    if sshd is None or shutil.which("rsync") is None:
        print("bench-sync needs openssh-server and rsync", file=sys.stderr)
        return 2
    print("| work | RTT | time, bytes on the wire, ours / theirs | |\n|---|---|---|---|", flush=True)
    for rtt_ms in wishes.rtt:
        home = Path(tempfile.mkdtemp(prefix="bs"))
        os.environ["DEVPOD_RP_HOME"] = str(home / "h")
        try:
            tree = _tree(home, wishes.source, wishes.files)
            with (
                OpenSshServer(sshd, home / "sshd", authorized=ensure_identity().public) as server,
                FarRelay(server.address, rtt_ms / 1000) as relay,
            ):
                for row in measure(Place(home, rtt_ms, tree, server, relay), wishes.big_mib):
                    print(row, flush=True)
        finally:
            shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
