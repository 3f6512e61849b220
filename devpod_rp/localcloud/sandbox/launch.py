"""Starting a supervisor and hearing from it how the start went."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from devpod_rp.localcloud.sandbox import explain, layout
from devpod_rp.localcloud.sandbox.boot import Boot
from devpod_rp.localcloud.sandbox.model import SandboxError
from devpod_rp.localcloud.sandbox.supervisor import Order


@dataclass(frozen=True)
class Launched:
    """A running supervisor and the PID 1 it watches (as seen from the host)."""

    supervisor: subprocess.Popen[bytes]
    pid: int
    started_at: float


def launch(boot: Boot, directory: Path) -> Launched:
    """Start *boot*, whose state directory is *directory*; returns once PID 1 runs.

    Raises:
        SandboxError: it does not; the message is one sentence.
    """
    command = [sys.executable, "-m", layout.SUPERVISOR_MODULE, layout.marker(directory)]
    # The modules of a checkout are found as this process found them. The user's variables stay out of the pod's sight.
    environ = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    if "LD_LIBRARY_PATH" in os.environ:
        environ["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    with layout.supervisor_log(directory).open("ab") as complaints:
        supervisor = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            cwd="/",
            env=environ,
            bufsize=0,
            start_new_session=True,
        )
    assert supervisor.stdin is not None
    assert supervisor.stdout is not None
    try:
        _send(supervisor, Order(boot, layout.container_log(directory)).encode())
        answer = supervisor.stdout.readline()
    except BaseException:
        _give_up(supervisor)
        raise
    report = json.loads(answer) if answer.endswith(b"\n") else {}
    if "pid" in report:
        supervisor.stdout.close()
        return Launched(supervisor, report["pid"], report["started_at"])
    _give_up(supervisor)
    if not report:
        raise SandboxError(
            f"The supervisor of the pod ended with code {supervisor.returncode} before the pod ran.",
            hint=f"Its last words are in {layout.supervisor_log(directory)}.",
        )
    raise explain.failure(
        report["verb"],
        report["target"],
        report["errno"],
        report["detail"],
        privileged=not boot.user_namespace,
        directory=directory,
    )


def _send(supervisor: subprocess.Popen[bytes], data: bytes) -> None:
    assert supervisor.stdin is not None
    view = memoryview(data)
    try:
        while view:
            view = view[supervisor.stdin.write(view) :]
    except BrokenPipeError:
        return  # it ended already; that nothing was answered is what the caller sees


def _give_up(supervisor: subprocess.Popen[bytes]) -> None:
    """Let go of the lifeline, which ends the supervisor and whatever it has started."""
    for stream in (supervisor.stdin, supervisor.stdout):
        if stream is not None:
            stream.close()
    supervisor.wait()
