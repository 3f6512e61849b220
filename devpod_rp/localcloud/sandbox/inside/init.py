"""PID 1 of a pod: runs one command, reaps whoever is left without a parent, passes SIGTERM on to everybody.

usage: init.py MARKER COMMAND [ARGUMENT...]

The pod ends when the command does, as a container does; after SIGTERM it waits for everybody else to end as well: the
start command of RunPod's images never reacts, and so leaves the others the whole grace. It also ends when the other
end of descriptor 3 is closed, because then the server that this pod belongs to is dead.

MARKER is for those who look at the process list.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
from pathlib import Path
from typing import NoReturn

_LIFELINE = 3
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127  # what a shell answers
_SIGTERM_IGNORED = 1 << (signal.SIGTERM - 1)


def main(command: list[str]) -> NoReturn:
    os.set_inheritable(_LIFELINE, False)
    woken = _wake_on(signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # what came while there was no handler comes now
    child = _run(command)
    poll = select.poll()
    poll.register(woken, select.POLLIN)
    poll.register(_LIFELINE, 0)  # only the hang-up is of interest; what is said there is for the supervisor
    ending = False
    while True:
        ready = dict(poll.poll())
        if _LIFELINE in ready:
            os._exit(128 + signal.SIGKILL)  # the kernel kills the rest of the namespace
        for number in os.read(woken, 512):
            if number == signal.SIGTERM:
                ending = True
                _ask_everybody_to_end()
            elif number != signal.SIGCHLD:
                _pass_on(child, number)
        _reap(child, wait_for_all=ending)


def _wake_on(*signals: signal.Signals) -> int:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # The pipe is the only reader that matters; the handler merely keeps the default action away.
    for number in signals:
        signal.signal(number, lambda _number, _frame: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


def _run(command: list[str]) -> int:
    handled = [signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE]
    try:
        return os.posix_spawnp(command[0], command, os.environ, setsid=True, setsigmask=(), setsigdef=handled)
    except OSError as error:
        sys.stderr.write(f"exec {command[0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(_NOT_FOUND if error.errno == errno.ENOENT else _NOT_EXECUTABLE)


def _ask_everybody_to_end() -> None:
    """SIGTERM to every process; to those that ignore it (interactive shells do) SIGHUP, which ends a session."""
    ignoring = [pid for pid in _processes() if _ignores_sigterm(pid)]
    try:
        os.kill(-1, signal.SIGTERM)
    except ProcessLookupError:
        return  # nobody but us
    for pid in ignoring:
        _pass_on(pid, signal.SIGHUP)


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and entry.name != "1"]


def _ignores_sigterm(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False  # it ended meanwhile
    ignored = next((line.split()[1] for line in status if line.startswith("SigIgn:")), "0")
    return bool(int(ignored, 16) & _SIGTERM_IGNORED)


def _pass_on(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended meanwhile; its SIGCHLD is on the way


def _reap(child: int, *, wait_for_all: bool) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            os._exit(128 + signal.SIGTERM)  # nobody is left of those who were asked to end
        if pid == 0:
            return
        if pid == child and not wait_for_all:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(sys.argv[2:])
