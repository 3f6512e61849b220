"""Ways to the agent without SSH: in this process on a directory, and in a real container of namespaces."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devpod_rp.agent.exposure import examine
from devpod_rp.agent.rescue import rescues, taking
from devpod_rp.agent.wire import Frame, Refusal, Request
from devpod_rp.pod.link import AgentRefused
from tests.agent.containers import Container
from tests.pod.local import LocalChannel, LocalConnection


class DirectLink:
    """Answers as the agent in *container* would, without a process."""

    def __init__(self, container: Container) -> None:
        place = (str(container.root), container.proc)
        self._operations = {
            **examine.operations(*place),
            **rescues.operations(*place),
            **taking.operations(str(container.root)),
        }

    def call(self, op: str, body: bytes = b"", **fields: Any) -> Frame:
        return list(self.stream(op, body, **fields))[-1]

    def stream(self, op: str, body: bytes = b"", **fields: Any) -> Iterator[Frame]:
        try:
            for header, content in self._operations[op](Request({**fields, "id": 1, "op": op}, body)):
                yield Frame(header, content)
        except Refusal as refusal:
            raise AgentRefused(refusal.code, refusal.message) from refusal


_BOOT = """
set -e
mount --bind disk disk
for top in usr etc; do
  mkdir -p disk/$top up/$top work/$top
  mount -t overlay overlay -o lowerdir=/$top,upperdir=up/$top,workdir=work/$top disk/$top
done
for link in bin sbin lib lib64; do [ -L /$link ] && ln -s usr/$link disk/$link; done
mkdir -p disk/proc disk/workspace disk/root disk/tmp disk/run disk/dev disk/old volume
mount -t proc proc disk/proc
mount -t tmpfs tmpfs disk/dev
mknod disk/dev/null c 1 3
[ "$1" = with-volume ] && mount --bind volume disk/workspace
cd disk
pivot_root . old
umount -l /old
rmdir /old
mkdir -p /run/sshd /var/log
echo 7 > /run/sshd.pid
echo 'source /etc/rp_environment' >> /root/.bashrc
touch /run/booted
exec sleep infinity
"""


class Sandbox:
    """A container as the local cloud makes them: a directory as disk, overlays on it, a bind mount as volume."""

    def __init__(self, folder: Path, *, volume: bool = True) -> None:
        self.folder = folder
        (folder / "disk").mkdir()
        kind = "with-volume" if volume else "without-volume"
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-c", _BOOT, "sh", kind],
            cwd=folder,
        )
        deadline = time.monotonic() + 20
        while not (folder / "disk/run/booted").exists():
            assert self._process.poll() is None, "the sandbox did not start"
            assert time.monotonic() < deadline, "the sandbox takes too long"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self.pid = int(children[0])

    def connection(self) -> LocalConnection:
        return _Inside(self.pid)

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", _enter(self.pid, command)], capture_output=True, text=True, check=True, env=_ENVIRONMENT
        )
        return done.stdout

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root"}


class _Inside(LocalConnection):
    def __init__(self, pid: int) -> None:
        super().__init__(environment=_ENVIRONMENT)
        self._pid = pid

    def channel(self, command: str) -> LocalChannel:
        return super().channel("exec " + _enter(self._pid, command))


def _enter(pid: int, command: str) -> str:
    inside = ["nsenter", f"--target={pid}", "--mount", "--pid", "--ipc", "--uts", "--root", "--wd=/"]
    return shlex.join([*inside, "/bin/sh", "-c", command])


def can_make_sandboxes() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"]).returncode == 0
