"""How long the guard's walk takes beside find(1) doing the same walk: files newer than a moment, one file system."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from devpod_rp.agent.files.changes import changed_since
from devpod_rp.agent.machine import mounts
from devpod_rp.agent.machine.container import Seals
from tests.bench.startup import Ratio

BAR = 1.5
_FILES = 300_000
_PER_FOLDER = 60
_NEW = 500
_RUNS = 5


def measure(files: int = _FILES) -> Ratio:
    """A tree of *files* files of which a few hundred are new, walked by both in turn from a warm cache."""
    if os.environ.get("TMPDIR") is None and Path("/var/tmp").is_dir():
        base: str | None = "/var/tmp"  # on a disk, where /tmp is often memory
    else:
        base = None
    with tempfile.TemporaryDirectory(prefix="devpod-rp-bench-", dir=base) as name:
        top = Path(name)
        since_ns = _plant(top, files)
        ours, peer = [], []
        for run in range(_RUNS + 1):
            one = _ours(top, since_ns)
            other = _find(top, since_ns)
            if run:  # the first pair warms the cache
                ours.append(one)
                peer.append(other)
    return Ratio(
        f"guard's walk / find -xdev -newerct, {files} files", statistics.median(ours), statistics.median(peer), BAR
    )


def _plant(top: Path, files: int) -> int:
    """Old files in folders of folders, then, after a moment that is returned (Unix ns), a few new ones."""
    for path in _places(top, files):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
    before = time.time_ns()
    probe = top / "probe"
    while True:
        probe.write_bytes(b"")
        since_ns = probe.stat().st_ctime_ns
        if since_ns > before + 50_000_000:
            break
    for number in range(_NEW):
        (top / f"new{number}").write_bytes(b"new")
    return since_ns


def _places(top: Path, files: int) -> Iterator[str]:
    for number in range(0, files, _PER_FOLDER):
        folder = top / f"{number // _PER_FOLDER // 70:03}" / f"{number // _PER_FOLDER % 70:02}"
        folder.mkdir(parents=True)
        for index in range(min(_PER_FOLDER, files - number)):
            yield f"{folder}/file{index}.py"


def _ours(top: Path, since_ns: int) -> float:
    survey = mounts.survey(mounts.parse("20 1 0:50 / / rw,relatime - overlay overlay rw,upperdir=/up\n"))
    began = time.perf_counter()
    changes = changed_since(since_ns, survey, seals=Seals(), root=str(top))
    took = time.perf_counter() - began
    assert len(changes.found) == _NEW + 1, "the guard saw another number of new files"
    return took


def _find(top: Path, since_ns: int) -> float:
    moment = f"@{(since_ns - 1) // 10**9}.{(since_ns - 1) % 10**9:09}"
    command = ["find", str(top), "-xdev", "(", "-type", "f", "-o", "-type", "l", ")", "-newerct", moment, "-print0"]
    began = time.perf_counter()
    found = subprocess.run(command, capture_output=True, check=True).stdout
    took = time.perf_counter() - began
    assert found.count(b"\0") == _NEW + 1, "find saw another number of new files"
    return took
