"""The synchronisation beside its peers, in one run: the same tree, the same sshd, the same two links.

``make bench-sync``. It needs rsync; Unison and lsyncd are measured where they are installed. The link is a relay of
ours in front of a real OpenSSH server: it counts bytes and, for the far pod, delays each direction by half of RTT.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from devpod_rp.ssh.keys import ensure_identity
from tests.bench.far import FarRelay
from tests.bench.meter import Spent
from tests.bench.place import Place, has, until
from tests.bench.row import OURS, Row
from tests.ssh.openssh import OpenSshServer, find_sshd

EDITS, EDITS_OF_PEERS = 50, 15
STORM = 2000
COLD_STARTS = 3
WATCHED = 20_000
IDLE_SECONDS = 125.0
MIB = 1 << 20


def measure(place: Place, wishes: argparse.Namespace, colds: list[dict[str, Spent]]) -> Iterator[Row]:
    """Every row asked for, one after the other, on the same two folders. *colds* are earlier cold starts elsewhere."""
    parts: dict[str, Callable[[Place, argparse.Namespace], Iterator[Row]]] = {
        "small": _nothing_changed, "latency": _latency, "storm": _storm, "large": _large, "idle": _idle, "many": _many
    }  # fmt: skip
    if "small" in wishes.parts:
        yield from _cold_rows(place, [*colds, cold(place)])
    else:
        place.keeper.start()
        place.rsync(place.peer)
    for name, part in parts.items():
        if name in wishes.parts:
            yield from part(place, wishes)


def cold(place: Place) -> dict[str, Spent]:
    """What everybody takes for the first synchronisation of the folder."""
    spent = {OURS: place.meter.measure(place.keeper.start), "rsync -a": place.rsync(place.peer)}
    # Another folder, and none removed: ext4 avoids inodes that were freed a moment ago, and takes its time for it.
    spent["rsync zstd"] = place.rsync(place.home / "peer-zstd", "-z", "--zc=zstd")
    return spent


def _cold_rows(place: Place, colds: list[dict[str, Spent]]) -> Iterator[Row]:
    files = sum(len(names) for _, _, names in os.walk(place.folder))
    far = place.rtt_ms > 0
    row = Row(f"cold, {files} files", place.rtt_ms, 0.8 if far else 1.0, against=("rsync -a", "rsync zstd"))
    row.spent.update({who: _middle([each[who] for each in colds]) for who in colds[0]})
    if has("unison"):
        row.spent["unison"] = place.unison(place.home / "unison")
    if has("lsyncd"):
        row.spent["lsyncd"] = place.meter.measure(lambda: _run_lsyncd_once(place))
    yield row
    yield Row("bytes on the wire, cold", place.rtt_ms, wire_ratio=1.1, against=("rsync zstd",), spent=row.spent)


def _nothing_changed(place: Place, _wishes: argparse.Namespace) -> Iterator[Row]:
    nothing = Row("nothing changed, keeper running (`sync flush`)", place.rtt_ms, 0.3)
    nothing.spent[OURS] = _median(lambda: place.meter.measure(lambda: place.keeper.ask("flush")))
    with place.multiplexed() as ssh:
        nothing.spent["rsync, multiplexed"] = _median(lambda: place.rsync(place.peer, ssh=ssh))
    yield nothing
    again = Row("nothing changed, keeper restarted", place.rtt_ms, 1.0, against=("rsync -a",))
    again.spent[OURS] = _middle(_restarts(place))
    again.spent["rsync -a"] = _middle([place.rsync(place.peer) for _ in range(3)])
    if has("unison"):
        again.spent["unison"] = place.unison(place.home / "unison")
    yield again


def _run_lsyncd_once(place: Place) -> None:
    with place.lsyncd(place.home / "lsyncd"):
        pass


def _latency(place: Place, _wishes: argparse.Namespace) -> Iterator[Row]:
    targets = [path for path in sorted((place.folder / "tree").rglob("*.py")) if path.stat().st_size < 50_000][:200]

    def save(path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def replace(path: Path, data: bytes) -> None:
        (path.parent / ".saved~").write_bytes(data)
        (path.parent / ".saved~").replace(path)

    most = place.rtt_ms / 2 + 40 if place.rtt_ms else 30
    for work, how, fresh in (("save", save, False), ("new file", save, True), ("save by rename", replace, False)):
        row = Row(f"{work} → visible, median of {EDITS}", place.rtt_ms, unit="ms", most=most)
        seconds = _seconds_to_see(place, place.there, targets, how, fresh, EDITS)
        row.value = statistics.median(seconds) * 1000
        tail = Row(f"{work} → visible, p95 by median", place.rtt_ms, unit="times", most=2.0)
        tail.value = seconds[int(EDITS * 0.95)] * 1000 / row.value
        if has("lsyncd") and work == "save":
            theirs = place.home / "lsyncd"
            with place.lsyncd(theirs):
                found = _seconds_to_see(place, theirs, targets, how, fresh, EDITS_OF_PEERS)
            row.note = f"lsyncd {statistics.median(found) * 1000:.0f} ms"
        yield row
        yield tail


def _seconds_to_see(
    place: Place, there: Path, targets: list[Path], how: Callable[[Path, bytes], None], fresh: bool, count: int
) -> list[float]:
    chance = random.Random(5)
    seconds = []
    for number in range(count):
        path = chance.choice(targets)
        path = path.with_name(f"new{number}.py") if fresh else path
        data = f"# {number} {time.monotonic_ns()}\n".encode() * 100
        time.sleep(0.1 + chance.random() * 0.1)
        how(path, data)
        began = time.perf_counter()
        until(there / path.relative_to(place.folder), data)
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)


def _storm(place: Place, _wishes: argparse.Namespace) -> Iterator[Row]:
    row = Row(
        f"{STORM} files changed at once, after the last write", place.rtt_ms, 0.8, against=("rsync, multiplexed",)
    )
    place.rsync(place.peer)
    storms = []
    for _ in range(3):
        changed = _change_many(place)
        storms.append(place.meter.measure(lambda changed=changed: _arrived(place, place.there, changed)))  # type: ignore[misc]
    row.spent[OURS] = _middle(storms)
    theirs = []
    with place.multiplexed() as ssh:
        for _ in range(3):
            _change_many(place)
            theirs.append(place.rsync(place.peer, ssh=ssh))
    row.spent["rsync, multiplexed"] = _middle(theirs)
    if has("lsyncd"):
        with place.lsyncd(place.home / "lsyncd"):
            changed = _change_many(place)
            row.spent["lsyncd"] = place.meter.measure(lambda: _arrived(place, place.home / "lsyncd", changed))
    yield row
    place.keeper.ask("flush")


def _change_many(place: Place) -> dict[Path, bytes]:
    changed = {}
    for path in sorted((place.folder / "tree").rglob("*.py"))[:STORM]:
        changed[path] = path.read_bytes() + f"\n# storm {time.monotonic_ns()}\n".encode()
    for path, data in changed.items():
        path.write_bytes(data)
    return changed


def _arrived(place: Place, there: Path, changed: dict[Path, bytes]) -> None:
    for path, data in changed.items():
        until(there / path.relative_to(place.folder), data)


def _large(place: Place, wishes: argparse.Namespace) -> Iterator[Row]:
    mib = wishes.big_mib
    big = place.folder / "big.bin"
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

    def ours() -> None:
        place.keeper.ask("resume")
        place.keeper.ask("flush", 600)

    def once(change: Callable[[], None]) -> tuple[Spent, Spent]:
        change()
        spent = place.meter.measure(ours)
        place.keeper.ask("pause")
        return spent, place.rsync(place.peer)

    place.keeper.ask("pause")
    for work, change in (("cold", cold), ("1 MiB changed in its middle", middle), ("1 MiB inserted in front", front)):
        row = Row(f"{mib} MiB file, {work}", place.rtt_ms)
        if change is not cold:
            row.ratio, row.wire_ratio = 0.7, 1.5
        rounds = [once(change) for _ in range(1 if change is cold else 3)]
        row.spent[OURS], row.spent["rsync -a"] = (_middle(list(spent)) for spent in zip(*rounds, strict=True))
        yield row
    big.unlink()
    ours()
    place.rsync(place.peer)


def _idle(place: Place, _wishes: argparse.Namespace) -> Iterator[Row]:
    files = sum(len(names) for _, _, names in os.walk(place.folder))
    _make_files(place.folder / "more", WATCHED - files)
    place.keeper.ask("flush", 600)
    time.sleep(75)  # the first look at everything after a change learns what the later ones only verify
    row = Row(f"idle, {WATCHED} files watched, keeper and agent", place.rtt_ms, unit="% of a core", most=0.5)
    keeper, agent = place.meter.keeper, place.meter.agent()

    def spent() -> float:
        return sum(each.cpu_times().user + each.cpu_times().system for each in (keeper, agent))

    before = spent()
    time.sleep(IDLE_SECONDS)
    row.value = (spent() - before) / IDLE_SECONDS * 100
    yield row


def _many(place: Place, wishes: argparse.Namespace) -> Iterator[Row]:
    _make_files(place.folder / "many", wishes.many)
    row = Row(f"{wishes.many} files, cold", place.rtt_ms)
    row.spent[OURS] = place.meter.measure(lambda: place.keeper.ask("flush", 600))
    row.spent["rsync -a"] = place.rsync(place.peer)
    yield row
    nothing = Row(f"{wishes.many} files, nothing changed, keeper running", place.rtt_ms, 0.3)
    nothing.spent[OURS] = _median(lambda: place.meter.measure(lambda: place.keeper.ask("flush")))
    with place.multiplexed() as ssh:
        nothing.spent["rsync, multiplexed"] = place.rsync(place.peer, ssh=ssh)
    yield nothing
    keeper, agent = place.meter.peak_mib()
    again = Row(f"{wishes.many} files, nothing changed, keeper restarted", place.rtt_ms, 1.0)
    again.spent[OURS] = _middle(_restarts(place))
    again.spent["rsync -a"] = _middle([place.rsync(place.peer) for _ in range(3)])
    yield again
    later = place.meter.peak_mib()
    for who, peak in (("keeper", max(keeper, later[0])), ("agent", max(agent, later[1]))):
        yield Row(f"peak memory, {wishes.many} files, {who}", place.rtt_ms, value=peak, unit="MiB", most=150.0)


def _make_files(folder: Path, count: int) -> None:
    for number in range(count):
        if number % 100 == 0:
            (folder / f"{number // 10_000}/{number // 100}").mkdir(parents=True, exist_ok=True)
        (folder / f"{number // 10_000}/{number // 100}/file{number}.txt").write_text(f"the {number}th of many\n" * 5)


def _restarts(place: Place) -> list[Spent]:
    spent = []
    for _ in range(3):
        place.keeper.stop()
        spent.append(place.meter.measure(place.keeper.start))
    return spent


def _median(once: Callable[[], Spent]) -> Spent:
    return _middle([once() for _ in range(7)])


def _middle(found: list[Spent]) -> Spent:
    return sorted(found, key=lambda spent: spent.seconds)[len(found) // 2]


def _tree(tree: Path, source: Path, files: int) -> None:
    """A copy of Python sources: *files* of them, in their folders."""
    taken = 0
    for path in sorted(source.rglob("*")):
        if taken >= files:
            break
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts and path.stat().st_size < MIB:
            target = tree / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
            taken += 1


@contextlib.contextmanager
def _placed(homes: contextlib.ExitStack, sshd: str, rtt_ms: int, wishes: argparse.Namespace) -> Iterator[Place]:
    """A place of its own, with the tree in its folder; what lies in it is removed with the others at the end."""
    home = Path(tempfile.mkdtemp(prefix="bs"))
    if not wishes.keep:
        homes.callback(shutil.rmtree, home)
    os.environ["DEVPOD_RP_HOME"] = str(home / "h")
    (home / "empty").mkdir()
    with (
        OpenSshServer(sshd, home / "sshd", ensure_identity().public, home=home / "empty") as server,
        FarRelay(server.address, rtt_ms / 1000) as relay,
    ):
        place = Place(home, rtt_ms, server, relay)
        try:
            _tree(place.folder / "tree", wishes.source, wishes.files)
            yield place
        finally:
            place.keeper.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rtt", type=int, nargs="+", default=[0, 50], help="milliseconds")
    parser.add_argument("--files", type=int, default=13_000)
    parser.add_argument("--big-mib", type=int, default=1024)
    parser.add_argument("--many", type=int, default=200_000)
    parser.add_argument("--parts", nargs="+", default=["small", "latency", "storm", "large", "idle", "many"])
    parser.add_argument("--source", type=Path, default=Path(sysconfig.get_paths()["stdlib"]))
    parser.add_argument("--keep", action="store_true", help="leave the folders where they are")
    wishes = parser.parse_args()
    sshd = find_sshd()
    if sshd is None or not has("rsync"):
        print("bench-sync needs openssh-server and rsync", file=sys.stderr)
        return 2
    print("| work | RTT | time (ours / theirs), bytes on the wire, CPU | bar | |\n|---|---|---|---|---|", flush=True)
    missed = 0
    with contextlib.ExitStack() as homes:
        for rtt_ms in wishes.rtt:
            colds = []
            for _ in range(COLD_STARTS - 1 if "small" in wishes.parts else 0):
                with _placed(homes, sshd, rtt_ms, wishes) as place:
                    colds.append(cold(place))
            with _placed(homes, sshd, rtt_ms, wishes) as place:
                for row in measure(place, wishes, colds):
                    missed += bool(row.misses)
                    print(row, flush=True)
    print(f"\n{missed} bars missed" if missed else "\nevery bar met")
    return 0


if __name__ == "__main__":
    sys.exit(main())
