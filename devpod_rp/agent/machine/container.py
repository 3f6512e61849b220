"""What the agent can know about the container it runs in: when it began, whether its boot is over, who owns what."""

from __future__ import annotations

import os
import stat
import time
from typing import Collection, List, NamedTuple, Optional, Sequence, Tuple, Union

_NANOSECONDS = 1_000_000_000
_START_TIME_FIELD = 22  # of /proc/PID/stat, proc(5): clock ticks after boot
_CAP_DAC_READ_SEARCH = 1 << 2  # capabilities(7)
_PARENT_FIELD = 4
_CPU_FIELDS = slice(14 - 3, 17 - 3 + 1)  # utime, stime, cutime, cstime
_SSH_NAMES = frozenset(("sshd", "sshd-session", "sshd-auth", "sftp-server"))
_SHELLS = frozenset(("bash", "dash", "fish", "sh", "zsh"))
_ENDLESS = (("sleep", "infinity"), ("tail", "-f", "/dev/null"))


AGENT_MARK = "devpod_rp-agent"
"""An argument in the command line of every agent, by which they know each other."""

Proc = Union[str, "os.PathLike[str]"]


def started_at_ns(proc: Proc = "/proc") -> int:
    """When PID 1 of this container began, in nanoseconds of the real-time clock (the clock of ctime).

    Exact to one clock tick (10 ms). Computed from the boot clock rather than from ``btime`` of /proc/stat, which is
    whole seconds and may be the host's.

    Raises:
        OSError: /proc cannot be read; without it nobody can say which files are newer than the container.
    """
    ticks = int(_stat_fields(proc, "1")[_START_TIME_FIELD - 3])
    after_boot_ns = ticks * _NANOSECONDS // os.sysconf("SC_CLK_TCK")
    return time.time_ns() - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - after_boot_ns)


def identity(proc: Proc = "/proc") -> str:
    """What tells one run of a container from the next, of which the disk is another; empty where /proc does not."""
    try:
        boot = _read(proc, "sys", "kernel", "random", "boot_id").decode("ascii").strip()
    except OSError:
        boot = ""
    try:
        began = _stat_fields(proc, "1")[_START_TIME_FIELD - 3]
    except OSError:
        return ""
    return "{0}:{1}".format(boot, began)


class Process(NamedTuple):
    """One process; *began* (clock ticks after boot) tells it from a later one with the same number."""

    pid: int
    parent: int
    began: int
    command: Tuple[str, ...]


def boot_is_over(running: Sequence[Process]) -> bool:
    """Whether the start script has reached its end: RunPod's start.sh, and most others, end in ``sleep infinity``.

    A start command that never sleeps (a server as PID 1) never looks finished; callers wait only so long.
    """
    return any(_bare(process.command) in _ENDLESS for process in running)


def processes(proc: Proc = "/proc") -> List[Process]:
    """Every process of the container that has a command line; kernel threads have none, and some end meanwhile."""
    found = []
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        try:
            fields = _stat_fields(proc, name)
            raw = _read(proc, name, "cmdline")
        except OSError:
            continue  # it ended, or it is another user's under hidepid: then it is not ours to name
        if raw:
            command = tuple(os.fsdecode(argument) for argument in raw.rstrip(b"\0").split(b"\0"))
            parent, began = int(fields[_PARENT_FIELD - 3]), int(fields[_START_TIME_FIELD - 3])
            found.append(Process(int(name), parent, began, command))
    return sorted(found)


def beginning(pid: int, proc: Proc = "/proc") -> Optional[int]:
    """When process *pid* began (clock ticks after boot); None if it has ended. It may be in the middle of an exec."""
    try:
        fields = _stat_fields(proc, str(pid))
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[_START_TIME_FIELD - 3])


def cpu_seconds(pid: int, proc: Proc = "/proc") -> Optional[float]:
    """What process *pid* and its children that ended have computed, in processor seconds; None if it is gone."""
    try:
        fields = _stat_fields(proc, str(pid))
    except OSError:
        return None
    return sum(int(each) for each in fields[_CPU_FIELDS]) / os.sysconf("SC_CLK_TCK")


def running_work(running: Sequence[Process], at_boot: Collection[Tuple[int, int]], us: int) -> List[Process]:
    """The processes of *running* that a person or their tools started: not the boot's (pid, began), not the agent
    with process id *us* and what it was started by, nor another agent, not SSH's own, not a shell at its prompt."""
    by_pid = {process.pid: process for process in running}
    ours = set()
    while us in by_pid and us not in ours:
        ours.add(us)
        us = by_pid[us].parent
    return [
        process
        for process in running
        if process.pid not in ours
        and (process.pid, process.began) not in at_boot
        and AGENT_MARK not in process.command
        and not _is_session(process.command)
    ]


class Seals:
    """Tells a directory that nobody in this container can write to from one that merely this process may not read."""

    def __init__(self, proc: Proc = "/proc") -> None:
        self._searches_everywhere = bool(_effective_capabilities(proc) & _CAP_DAC_READ_SEARCH)
        self._nobody = _number(proc, "overflowuid")
        self._nogroup = _number(proc, "overflowgid")

    def sealed(self, status: os.stat_result) -> bool:
        """Whether the refused directory of this *status* can hold nothing that this container made.

        Root's capabilities reach every inode but those whose owner does not exist in the user namespace, which the
        kernel shows as the overflow id (user_namespaces(7)). If such a directory refuses a root that may search
        everywhere and others may not write to it, then it is the host's and no process in here made a file in it.
        """
        return (
            self._searches_everywhere
            and status.st_uid == self._nobody
            and status.st_gid == self._nogroup
            and not status.st_mode & stat.S_IWOTH
        )


def _is_session(command: Sequence[str]) -> bool:
    name = os.path.basename(command[0]).lstrip("-").split(":")[0]
    return name in _SSH_NAMES or (name in _SHELLS and all(argument in ("-l", "-i") for argument in command[1:]))


def _bare(command: Sequence[str]) -> Tuple[str, ...]:
    return (os.path.basename(command[0]), *command[1:])


def _stat_fields(proc: Proc, pid: str) -> List[str]:
    text = _read(proc, pid, "stat").decode("utf-8", "surrogateescape")
    # The second field is the command in parentheses and may itself hold spaces and parentheses: count from the last.
    return text[text.rindex(")") + 2 :].split()


def _effective_capabilities(proc: Proc) -> int:
    try:
        lines = _read(proc, "self", "status").decode("utf-8", "surrogateescape").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)


def _number(proc: Proc, name: str) -> int:
    try:
        return int(_read(proc, "sys", "kernel", name))
    except OSError:
        return 65534


def _read(proc: Proc, *names: str) -> bytes:
    with open(os.path.join(proc, *names), "rb") as stream:
        return stream.read()
