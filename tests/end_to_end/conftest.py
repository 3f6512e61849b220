"""The command line as a user runs it: processes, a home of its own, real pods on the local cloud, the real ssh."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from devpod_rp.agent.machine.container import AGENT_MARK
from devpod_rp.localcloud import sandbox

_SECONDS = 150


@dataclass(frozen=True)
class Result:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Exactly one document, nothing else."""
        return json.loads(self.stdout)


class World:
    """A user with a home, a project folder and no API key."""

    def __init__(self, base: Path) -> None:
        self.home = base / "home"
        self.folder = base / "proj"
        self.ssh_config = base / "ssh_config"
        self.folder.mkdir(parents=True)
        self.environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("DEVPOD_RP", "RUNPOD"))
        }
        self.environ["DEVPOD_RP_HOME"] = str(self.home)
        self.environ["DEVPOD_RP_SSH_CONFIG"] = str(self.ssh_config)

    def start(self, *arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "devpod_rp", *arguments],
            cwd=cwd or self.folder,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A test run in the background of a shell ignores Ctrl-C; a user's command does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def run(self, *arguments: str, cwd: Path | None = None, **environ: str) -> Result:
        process = self.start(*arguments, cwd=cwd, **environ)
        stdout, stderr = process.communicate(timeout=_SECONDS)
        assert "Traceback" not in stderr, stderr
        return Result(process.returncode, stdout, stderr)

    def up(self, *arguments: str, cwd: Path | None = None) -> Any:
        result = self.run("up", "--yes", "--json", *arguments, cwd=cwd)
        assert result.exit_code == 0, result.stdout + result.stderr
        return result.json

    def ssh(self, command: str, name: str = "proj", *, seconds: float = 60) -> Result:
        """The real ssh with the user's configuration; BatchMode makes any question a failure."""
        done = subprocess.run(
            ["ssh", "-F", str(self.ssh_config), "-o", "BatchMode=yes", f"{name}.devpod", command],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def known_hosts(self, name: str = "proj") -> str:
        """The kind and the blob of the pinned host key."""
        pinned = (self.home / "ssh" / "known_hosts.d" / name).read_text()
        return pinned.partition(" ")[2]

    def processes(self) -> list[psutil.Process]:
        """Every process that was started for this home."""
        return _processes(lambda process: process.environ().get("DEVPOD_RP_HOME") == str(self.home))

    def agents(self, name: str = "proj") -> list[psutil.Process]:
        """Every agent that runs in the pod, whoever started it."""
        record = json.loads((self.home / "state" / "environments" / name / "environment.json").read_text())
        return _processes(
            lambda process: (
                AGENT_MARK in process.cmdline() and process.environ().get("RUNPOD_POD_ID") == record["pod_id"]
            )
        )

    def kill_agents(self, name: str = "proj") -> None:
        for agent in self.agents(name):
            with contextlib.suppress(psutil.NoSuchProcess):
                agent.kill()

    def local_cloud(self) -> dict[str, Any]:
        endpoint: dict[str, Any] = json.loads((self.home / "state" / "local-cloud" / "endpoint.json").read_text())
        return endpoint

    def end(self) -> None:
        """Reset the local cloud and prove that nothing of it is left."""
        reset = self.run("local", "reset", "--yes", "--json")
        assert reset.exit_code == 0, reset.stdout + reset.stderr
        self.run("local", "stop")
        eventually(lambda: not self.processes(), "no process of ours is left", lambda: str(self.processes()))
        mounts = Path("/proc/self/mountinfo").read_text()
        assert str(self.home) not in mounts, "a mount of ours is left"


def _processes(ours: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if ours(process):
                found.append(process)
        except psutil.Error:
            continue  # it ended, or it is a kernel thread
    return found


def eventually(
    holds: Callable[[], Any], what: str, state: Callable[[], str] = lambda: "", *, seconds: float = 30.0
) -> Any:
    """Wait until *holds* gives something true, and give that back."""
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what} {state()}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    support = sandbox.probe()
    if not support.available:
        pytest.skip(f"no pods on this machine: {support.missing}")
    if shutil.which("ssh") is None:
        pytest.skip("no ssh on this machine")
    made = World(tmp_path_factory.mktemp("world"))
    (made.folder / "train.py").write_text("print('train')\n")
    (made.folder / "src").mkdir()
    (made.folder / "src" / "model.py").write_text("layers = 3\n")
    (made.folder / "run.sh").write_text("#!/bin/sh\n")
    (made.folder / "run.sh").chmod(0o755)
    (made.folder / "link").symlink_to("src/model.py")
    (made.folder / ".gitignore").write_text("*.log\n")
    (made.folder / "noise.log").write_text("noise\n")
    yield made
    made.end()
