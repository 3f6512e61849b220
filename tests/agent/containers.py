"""A container made of a directory: its disk, its volume, and a /proc that says when it began and what is mounted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from devpod_rp.agent.exposure import examine
from devpod_rp.agent.exposure.examine import Exposure
from devpod_rp.agent.exposure.manifest import Manifest
from devpod_rp.agent.machine import mounts
from devpod_rp.agent.rescue import saving

MARGIN_NS = 2_000_000_000
OVERLAY_ROOT = "20 1 0:50 / / rw,relatime - overlay overlay rw,upperdir=/up"
VOLUME = "30 20 254:16 /vol /workspace rw - ext4 /dev/vdb rw"


class Container:
    def __init__(self, folder: Path, mountinfo: Iterable[str] = (OVERLAY_ROOT, VOLUME)) -> None:
        self.root = folder / "disk"
        self.proc = folder / "proc"
        self.root.mkdir()
        (self.root / "workspace").mkdir()
        (self.proc / "1").mkdir(parents=True)
        (self.proc / "self").mkdir()
        self.mounted(mountinfo)
        self.write("/etc/passwd", "root:x:0:0\n")
        self.write("/usr/bin/python3", "image")

    def mounted(self, lines: Iterable[str]) -> None:
        (self.proc / "self" / "mountinfo").write_text("".join(line + "\n" for line in lines))

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def write(self, path: str, content: str | bytes = "precious") -> Path:
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def boots(self) -> None:
        """From here on what is written is newer than the container; what was written before is the image."""
        last = time.time_ns()
        newer = last + 30_000_000  # more than a clock tick of /proc/1/stat and of the file system
        deadline = time.monotonic() + 10
        while self._now_on_disk() < newer:
            assert time.monotonic() < deadline, "the file system's clock stands still"
        started_ns = newer - 15_000_000 + MARGIN_NS
        since_boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - (time.time_ns() - started_ns)
        ticks = since_boot_ns * os.sysconf("SC_CLK_TCK") // 1_000_000_000
        stat = f"1 (a (strange) name) S 0 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0"
        (self.proc / "1" / "stat").write_text(stat)

    def runs(self, pid: int, command: str, parent: int = 1, began: int = 5) -> None:
        folder = self.proc / str(pid)
        folder.mkdir(exist_ok=True)
        folder.joinpath("stat").write_text(f"{pid} (x) S {parent} " + "0 " * 17 + f"{began} 0 0")
        folder.joinpath("cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")

    def records_baseline(self, **options: object) -> dict[str, object]:
        return examine.record_baseline(root=str(self.root), proc=self.proc, **options)

    def examine(self, volume_paths: list[str] | None = None) -> Exposure:
        return examine.examine(volume_paths, root=str(self.root), proc=self.proc)

    def exposed(self, volume_paths: list[str] | None = None) -> set[str]:
        return {change.path for change in self.examine(volume_paths).changes.found}

    def rescues(self, *paths: str, now: float = 1_800_000_000.0) -> Manifest:
        survey = mounts.survey(mounts.parse((self.proc / "self" / "mountinfo").read_text()), ["/workspace"])
        return drain(saving.rescue(paths, "/workspace", survey, root=str(self.root), now=now))

    def _now_on_disk(self) -> int:
        probe = self.root.parent / "probe"
        probe.write_text("")
        return probe.stat().st_ctime_ns


def drain(steps: object) -> Manifest:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
