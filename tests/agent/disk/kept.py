"""Two containers of one image, one after the other, and the volume that both had."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devpod_rp.agent.disk import operations
from devpod_rp.agent.wire import Request
from tests.agent.containers import OVERLAY_ROOT, VOLUME, Container

IMAGE = "runpod/pytorch:1.0"
IMAGE_TIME_NS = 1_600_000_000_000_000_000
# What each start makes anew, and what the tests say is a cache.
OF_EACH_START = ("/run", "/tmp", "/tmp/of-the-start", "/root/rc")
DISCARD = [[["/root/\\.cache/.*", False], ["/run/.*\\.pid", False]]]


class Pod(Container):
    """One run of the container; *lay* puts more into its image."""

    def __init__(self, folder: Path, lay: Callable[[Pod], None] | None = None, image: str = IMAGE) -> None:
        folder.mkdir()
        super().__init__(folder, (OVERLAY_ROOT, VOLUME))
        self.image = image
        self.write("/etc/app.conf", "from the image\n")
        self.write("/usr/share/doc/tool/readme", "read me\n")
        self.write("/usr/bin/tool", "tool\n").chmod(0o755)
        self.path("/usr/bin/alias").symlink_to("tool")
        self.path("/root").mkdir(exist_ok=True)
        if lay is not None:
            lay(self)
        for place, folders, names in os.walk(self.root, topdown=False):
            for name in (*folders, *names):
                os.utime(os.path.join(place, name), ns=(1, IMAGE_TIME_NS), follow_symlinks=False)
        self.boots()
        self.write("/root/.bashrc", "written by the start\n")
        self.path("/root/rc").symlink_to("made by the start")
        self.write("/tmp/of-the-start", "passing")
        assert self.records_baseline()["recorded"]

    def census(self, *, fresh: bool = True) -> bool:
        return bool(self.ask("disk.census", volume="/workspace", fresh=fresh)[0]["taken"])

    def keep(self, *, everything: bool = True, below: tuple[str, ...] = (), venvs: bool = False) -> Any:
        order = {
            "volume": "/workspace", "environment": "proj", "image": self.image, "size_bytes": None, "discard": DISCARD,
            "everything": everything, "below": list(below), "venvs": venvs,
        }  # fmt: skip
        header, failed = self.ask("disk.keep", json.dumps(order).encode())
        return {**header, "failed": failed}

    def restore(self, *only: str, **wishes: Any) -> Any:
        body = json.dumps(list(only)).encode()
        header, conflicts = self.ask(
            "disk.restore", body, volume="/workspace", environment="proj", image=self.image, **wishes
        )
        return {**header, "conflicts": conflicts}

    def archives(self) -> list[dict[str, Any]]:
        return self.ask("disk.list", volume="/workspace", environment="proj")[1]

    def store(self) -> Path:
        return self.path("/workspace/.devpod/disk/proj")

    def ask(self, op: str, body: bytes = b"", **header: Any) -> tuple[Any, Any]:
        answers = list(operations.operations(str(self.root), self.proc)[op](Request(header, body)))
        return answers[-1][0], json.loads(answers[-1][1] or b"null")

    def taken_over_from(self, other: Pod) -> Pod:
        """This pod gets the volume that *other* had."""
        self.path("/workspace").rmdir()
        other.path("/workspace").rename(self.path("/workspace"))
        return self

    def look(self, *below: str) -> dict[str, Any]:
        """Everything there is to say of each name on the disk, so that two pods can be compared."""
        found: dict[str, Any] = {}
        for place, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if os.path.join(place, name) not in self._own()]
            for name in (*folders, *names):
                physical = os.path.join(place, name)
                path = physical[len(str(self.root)) :]
                if path in OF_EACH_START:
                    continue
                if not below or any(path == one or path.startswith(one + "/") for one in below):
                    found[path] = self._traits(physical)
        return found

    def _own(self) -> set[str]:
        return {str(self.path(path)) for path in ("/workspace", "/run/devpod_rp")}

    def _traits(self, physical: str) -> Any:
        status = os.lstat(physical)
        traits: list[Any] = [oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns]
        if stat.S_ISLNK(status.st_mode):
            traits.append(os.readlink(physical))
        elif stat.S_ISREG(status.st_mode):
            traits += [Path(physical).read_bytes() if status.st_size < 1 << 20 else status.st_size, status.st_nlink]
        return traits
