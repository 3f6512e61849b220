"""Two real folders of this machine, one of them served by a real agent process over the real protocol."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devpod_rp.pod.link import AgentLink
from devpod_rp.sync.session import Session
from devpod_rp.sync.status import CycleResult


class Pipe:
    """A command's streams over pipes, standing in for an SSH channel."""

    def __init__(self, command: str) -> None:
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.stdin: Any = self.process.stdin
        self.stdout: Any = self.process.stdout
        self.stderr: Any = self.process.stderr

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Machine:
    """What an SSH connection is to a link: it starts commands, here."""

    def __init__(self) -> None:
        self.pipe: Pipe | None = None

    def channel(self, command: str, /) -> Pipe:
        self.pipe = Pipe(command)
        return self.pipe

    def close(self) -> None:
        if self.pipe is not None:
            self.pipe.close()


class Folder:
    """One side's folder, with the words of the tests."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, content: str | bytes = "") -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def delete(self, path: str) -> None:
        (self.root / path).unlink()

    def files(self) -> dict[str, str]:
        """Path -> content of every file, "->target" for links, "/" for folders."""
        found: dict[str, str] = {}
        for where, folders, names in os.walk(self.root):
            for name in [*folders, *names]:
                path = Path(where, name)
                relative = str(path.relative_to(self.root))
                if path.is_symlink():
                    found[relative] = f"->{os.readlink(path)}"
                elif path.is_dir():
                    found[relative] = "/"
                elif path.is_file():
                    found[relative] = path.read_bytes().decode("utf-8", "surrogateescape")
                else:
                    found[relative] = "special"
        return found


class Pair:
    """A local folder, a pod's folder on a volume, and a session between them."""

    def __init__(self, tmp_path: Path, mode: str = "one-way-safe") -> None:
        self.tmp_path = tmp_path
        self.local = Folder(tmp_path / "project")
        self.local.root.mkdir()
        self.volume = tmp_path / "volume"
        self.volume.mkdir()
        self.pod = Folder(self.volume / "project")
        self.ignore: tuple[str, ...] = ()
        self.mode = mode
        self.session: Session = self.new_session()
        self.link: AgentLink | None = None
        self.machine = Machine()

    def new_session(self, **more: Any) -> Session:
        return Session(
            local_root=self.local.root,
            remote_root=str(self.pod.root),
            state_dir=self.tmp_path / "state",
            ignore=self.ignore,
            mode=self.mode,
            **{"doubt_seconds": 0.0, **more},
        )

    def connect(self, **more: Any) -> AgentLink:
        self.disconnect()
        self.machine = Machine()
        self.link = AgentLink.open(self.machine)
        self.session.attach(self.link, **more)
        return self.link

    def disconnect(self) -> None:
        self.session.detach()
        if self.link is not None:
            self.link.close()
            self.link = None

    def restart(self) -> None:
        """Another process takes over with the same state directory."""
        self.session.close()
        self.disconnect()
        self.session = self.new_session()

    def sync(self, *paths: str, pod: tuple[str, ...] = ()) -> CycleResult:
        """Look at *paths* here and at *pod* there, or at everything when none are named."""
        if self.link is None or not self.link.alive or not self.session.attached:
            self.connect()
        return self.session.synchronise(frozenset(paths) if paths or pod else None, frozenset(pod))

    def both(self, files: dict[str, str]) -> Pair:
        for path, content in files.items():
            self.local.write(path, content)
        return self

    def synced(self) -> Pair:
        self.sync()
        assert self.pod.files() == self.local.files()
        return self

    def conflicts(self) -> list[str]:
        return [remark.path for remark in self.session.status().conflicts]

    def problems(self) -> dict[str, str]:
        return {remark.path: remark.reason for remark in self.session.status().problems}

    def trash(self) -> dict[str, str]:
        found = {}
        for moment in (self.volume / ".devpod_rp/trash").glob("*/*"):
            found.update({path: text for path, text in Folder(moment).files().items() if text != "/"})
        return found

    def trash_here(self) -> dict[str, str]:
        found = {}
        for moment in (self.tmp_path / "state/local/trash").glob("*/*"):
            found.update({path: text for path, text in Folder(moment).files().items() if text != "/"})
        return found

    def litter(self) -> list[str]:
        stages = [self.volume / ".devpod_rp/stage", self.tmp_path / "state/local/stage"]
        return [str(path) for stage in stages for path in stage.rglob("*") if not path.is_dir()]

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.disconnect()
        self.session.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.close()


@pytest.fixture
def two_way(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path, "two-way-safe")
    yield pair
    pair.close()


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path, "one-way-replica")
    yield pair
    pair.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition, and fail when it does not come true."""
    import time

    def wait(condition: Callable[[], bool], seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.005)

    return wait
