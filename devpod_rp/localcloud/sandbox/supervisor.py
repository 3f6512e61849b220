"""The process between the server and a pod: starts PID 1, stamps its output into the log, never outlives the server.

Started as ``python -m devpod_rp.localcloud.sandbox.supervisor MARKER``, one per pod. Standard input is the server's
lifeline: first one line of JSON (see `Order`), later commands (``stop SECONDS``); when it closes, however the server
ended, the pod is killed. Standard output is one line of JSON: how the start went.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpod_rp.localcloud.sandbox import kernel, users
from devpod_rp.localcloud.sandbox.boot import Boot, become
from devpod_rp.localcloud.sandbox.stamps import LogFile

_COMMAND_INPUT, _REPORT = 0, 1


@dataclass(frozen=True)
class Order:
    """What to boot and where its output goes."""

    boot: Boot
    log: Path

    def encode(self) -> bytes:
        return json.dumps({"boot": self.boot.as_json(), "log": str(self.log)}).encode("ascii") + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Order:
        document: dict[str, Any] = json.loads(line)
        return cls(Boot.from_json(document["boot"]), Path(document["log"]))


def main() -> int:
    commands = _Commands()
    line = commands.first_line()
    if line is None:
        return 0  # the server died before it said anything
    order = Order.decode(line)
    try:
        if order.boot.user_namespace:
            users.enter_user_namespace()
        kernel.unshare(kernel.CLONE_NEWPID)
    except OSError as error:
        _report(
            {
                "verb": "namespace",
                "target": str(error.filename or ""),
                "errno": error.errno or 0,
                "detail": error.strerror or str(error),
            }
        )
        return 1
    with LogFile(order.log) as log:
        started = _start(order.boot)
        if started is None:
            return 1
        pid, output = started
        return _attend(pid, output, commands, log)


def _start(boot: Boot) -> tuple[int, int] | None:
    """PID 1 and where its output comes from, once it runs its own program; None after a failure was reported."""
    output, pod_output = os.pipe()
    failure, pod_failure = os.pipe()
    pid = os.fork()
    if pid == 0:
        # From here on this is the pod. The lifeline is the server's, so that the pod sees its end by itself.
        become(boot, output=pod_output, lifeline=_COMMAND_INPUT, failure=pod_failure)
    os.close(pod_output)
    os.close(pod_failure)
    with os.fdopen(failure, "rb") as stream:
        raw = stream.read()  # empty: exec closed the other end
    if raw:
        os.waitpid(pid, 0)
        _report(json.loads(raw))
        return None
    _report({"pid": pid, "started_at": time.time()})
    return pid, output


def _attend(pid: int, output: int, commands: _Commands, log: LogFile) -> int:
    """Pass on output and commands until PID 1 has ended, and with it, by the kernel's word, all its namespace."""
    process = os.pidfd_open(pid)
    os.set_blocking(output, False)
    poll = select.poll()
    for descriptor in (output, process, _COMMAND_INPUT):
        poll.register(descriptor, select.POLLIN)
    kill_at: float | None = None
    while True:
        wait = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        ready = {descriptor for descriptor, _ in poll.poll(None if wait is None else wait * 1000)}
        if output in ready and not log.take_from(output):
            poll.unregister(output)  # nobody in the pod holds it any more
        if process in ready:
            break
        if _COMMAND_INPUT in ready:
            grace = commands.next_grace()
            if grace is None:
                poll.unregister(_COMMAND_INPUT)
                os.kill(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGTERM)
                kill_at = time.monotonic() + grace
        if kill_at is not None and time.monotonic() >= kill_at:
            os.kill(pid, signal.SIGKILL)
            kill_at = None
    # Only now: as long as nobody has waited for it, the number belongs to this process and no signal goes astray.
    _, status = os.waitpid(pid, 0)
    log.take_from(output)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


class _Commands:
    """Standard input, read without Python's buffer, which would keep what poll is waiting for."""

    def __init__(self) -> None:
        self._pending = b""

    def first_line(self) -> bytes | None:
        while b"\n" not in self._pending:
            data = os.read(_COMMAND_INPUT, 1 << 16)
            if not data:
                return None
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def next_grace(self) -> float | None:
        """The seconds of a ``stop SECONDS``; None when the server is gone."""
        line = self.first_line()
        return None if line is None else float(line.split()[1])


def _report(document: dict[str, object]) -> None:
    try:
        os.write(_REPORT, json.dumps(document).encode("ascii") + b"\n")
    except BrokenPipeError:
        return  # the server is gone; the closed lifeline says so too


if __name__ == "__main__":
    # A terminal's Ctrl-C is the server's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(main())
