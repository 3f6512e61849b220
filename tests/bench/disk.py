"""How long keeping a container disk takes beside tar(1) packing the same files, and putting it back likewise."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from devpod_rp.agent.archive import chunks, racks
from devpod_rp.agent.disk import census, keeping, putting_back
from devpod_rp.agent.disk.delta import Choice
from devpod_rp.agent.rescue.keepsakes import NoLoss
from tests.bench.startup import Ratio

KEEP_BAR = 3.0
RESTORE_BAR = 4.0
_FILES = 5_000
_LARGE_BYTES = 200 << 20
_RUNS = 3
_OVERLAY = "20 1 0:50 / / rw,relatime - overlay overlay rw,upperdir=/up\n"


def measure(files: int = _FILES, large_bytes: int = _LARGE_BYTES) -> list[Ratio]:
    """What an environment of packages looks like: many small files of text, and a few large ones.

    tar is followed by what makes its archive as safe as ours: a sync, and reading it back into a digest.
    """
    base = "/var/tmp" if Path("/var/tmp").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="devpod-rp-bench-", dir=base) as name:
        top = Path(name)
        disk, proc = _container(top)
        _plant(disk / "opt" / "venv", files, large_bytes)
        kept, packed, back, unpacked = [], [], [], []
        for _ in range(_RUNS):
            packed.append(_tar(disk, top / "peer.tar"))
            unpacked.append(_untar(top / "peer.tar", top / "peer"))
            kept.append(_keep(disk, proc))
            back.append(_restore(top, disk, proc))
        words = f"{files} files and {large_bytes >> 20} MB"
        with_what = chunks.best().name
        middle = statistics.median
        return [
            Ratio(
                f"keep the disk / tar | {with_what}, synced and read back, {words}",
                middle(kept),
                middle(packed),
                KEEP_BAR,
            ),
            Ratio(f"put it back / {with_what} -d | tar -x, {words}", middle(back), middle(unpacked), RESTORE_BAR),
        ]


def _container(top: Path) -> tuple[Path, Path]:
    disk, proc = top / "disk", top / "proc"
    (disk / "workspace").mkdir(parents=True)
    for folder in ("1", "self"):
        (proc / folder).mkdir(parents=True)
    volume = "30 20 254:16 /vol /workspace rw - ext4 /dev/vdb rw\n"
    (proc / "self" / "mountinfo").write_text(_OVERLAY + volume)
    shutil.copy("/proc/1/stat", proc / "1" / "stat")
    # Everything from here on is newer than the container.
    ticks = int((time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 10**9) * os.sysconf("SC_CLK_TCK") // 10**9)
    fields = (proc / "1" / "stat").read_text().rpartition(")")
    rest = fields[2].split()
    rest[19] = str(ticks)
    (proc / "1" / "stat").write_text(f"{fields[0]}) {' '.join(rest)}")
    census.store(census.Census(True, frozenset(("/", "/workspace")), {}), str(disk))
    return disk, proc


def _plant(folder: Path, files: int, large_bytes: int) -> None:
    source = Path(os.__file__).read_bytes()
    for number in range(files):
        place = folder / f"{number // 60:03}"
        place.mkdir(parents=True, exist_ok=True)
        start = number * 37 % 20_000
        (place / f"module{number}.py").write_bytes(source[start : start + 2000 + number * 13 % 9000])
    block = os.urandom(1 << 19) + bytes(1 << 19)
    with open(folder / "library.so", "wb") as stream:
        for _ in range(large_bytes >> 20):
            stream.write(block)


def _order() -> keeping.Order:
    return keeping.Order("/workspace", "bench", "image", Choice(NoLoss([])))


def _keep(disk: Path, proc: Path) -> float:
    shutil.rmtree(disk / "workspace")
    (disk / "workspace").mkdir()
    began = time.perf_counter()
    for _ in keeping.keep(_order(), root=str(disk), proc=proc):
        pass
    return time.perf_counter() - began


def _restore(top: Path, disk: Path, proc: Path) -> float:
    new = top / "new"
    shutil.rmtree(new, ignore_errors=True)
    (new / "workspace").mkdir(parents=True)
    census.store(census.Census(True, frozenset(("/", "/workspace")), {}), str(new))
    archive = racks.Rack(str(disk / "workspace/.devpod/disk/bench")).newest()
    assert archive is not None
    directory = f"/workspace/.devpod/disk/bench/{archive.name}"
    began = time.perf_counter()
    for _ in putting_back.put_back(archive, directory, putting_back.Wish("image"), root=str(new), proc=proc):
        pass
    return time.perf_counter() - began


def _tar(disk: Path, archive: Path) -> float:
    began = time.perf_counter()
    subprocess.run(["tar", "-I", _packer(), "-cf", archive, "-C", disk, "opt"], check=True)
    subprocess.run(["sync", archive], check=True)
    proving = f"{_packer().split()[0]} -dc {archive} | b2sum"
    subprocess.run(["sh", "-c", proving], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _untar(archive: Path, target: Path) -> float:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    began = time.perf_counter()
    subprocess.run(["tar", "-I", _packer(), "-xpf", archive, "-C", target], check=True)
    return time.perf_counter() - began


def _packer() -> str:
    return "zstd -3" if chunks.best().name == "zstd" and shutil.which("zstd") else "gzip -1"
