"""Who uses the pod at this moment: GPUs, processors, SSH sessions, Jupyter kernels, editors. Our own probes do not."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from devpod_rp.agent.machine.container import AGENT_MARK, Process, cpu_seconds, processes

_GPU_PERCENT = 5.0
_GPU_READINGS = 3
_SMI_SECONDS = 20.0
# An idle editor server or notebook server stays below this many cores; anything that computes is well above.
_BUSY_CORES = 0.15
_SHOWN_WORDS = 60
_SSHD = re.compile(r"sshd(-session|-auth)?:")
_SESSION = re.compile(r"sshd(?:-session)?: \S+@\S+")
# Readiness checks and scanners come and go; who forwards a port stays.
_BARE_SESSION_SECONDS = 30.0
_SERVERS = frozenset(("sshd", "dropbear"))
# The local cloud's own server, which an interpreter runs.
_EMBEDDED_SERVER = "/devpod_rp/lib/serve.py"
_KERNEL = re.compile(r"\b(ipykernel_launcher|ipykernel|xpython|IRkernel)\b")
_EDITORS = (".vscode-server", ".cursor-server", ".windsurf-server", ".zed_server", "JetBrains")
# code-server and openvscode touch it once a minute for as long as a browser is connected (code-server's FAQ).
_BROWSER_HEARTBEATS = ("root/.local/share/code-server/heartbeat", "run/devpod_rp/code-server-heartbeat")
_HEARTBEAT_SECONDS = 120.0


class CpuTime(NamedTuple):
    """The processor seconds of a process and of its children that ended, and who started it."""

    seconds: float
    parent: int
    began: int


class Probe:
    """Looks at the container whose kernel speaks through *proc* and whose disk is at *root*."""

    def __init__(self, proc: Path = Path("/proc"), root: str = "/") -> None:
        self._proc = proc
        self._root = root
        self._before: Dict[int, CpuTime] = {}
        self._before_at: Optional[float] = None

    def look(self) -> Tuple[str, ...]:
        """What uses the pod now, in words. The first look knows no processor load yet."""
        running = processes(self._proc)
        theirs = without_ours(running)
        busiest, load = self._busiest(theirs)
        found: List[str] = []
        percent = gpu_percent(read_gpus())
        if percent is not None and percent >= _GPU_PERCENT:
            who = "{0}, ".format(named(busiest)) if busiest is not None and load >= _BUSY_CORES else ""
            found.append("{0}GPU {1:.0f} %".format(who, percent))
        elif busiest is not None and load >= _BUSY_CORES:
            found.append("{0}, CPU {1:.0f} %".format(named(busiest), load * 100))
        found.extend(sessions(running, self._uptime_ticks()))
        kernels = [process for process in theirs if _KERNEL.search(" ".join(process.command))]
        if kernels:
            found.append("a Jupyter kernel" if len(kernels) == 1 else "{0} Jupyter kernels".format(len(kernels)))
        if self._browser_editor():
            found.append("an editor in a browser")
        return tuple(found)

    def _busiest(self, theirs: Sequence[Process]) -> Tuple[Optional[Process], float]:
        """The process that computed most since the last look, and the load of all together, in cores."""
        now = time.monotonic()
        present: Dict[int, CpuTime] = {}
        for process in theirs:
            if _is_server(process):
                continue  # it works for our own connection, too
            spent = cpu_seconds(process.pid, self._proc)
            if spent is not None:
                present[process.pid] = CpuTime(spent, process.parent, process.began)
        before, self._before = self._before, present
        began, self._before_at = self._before_at, now
        if began is None or now <= began:
            return None, 0.0
        worked = computed(before, present)
        load = sum(worked.values()) / (now - began)
        most = max(worked, key=lambda pid: worked[pid], default=None)
        return next((each for each in theirs if each.pid == most), None), load

    def _uptime_ticks(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")

    def _browser_editor(self) -> bool:
        for heartbeat in _BROWSER_HEARTBEATS:
            try:
                if time.time() - os.stat(os.path.join(self._root, heartbeat)).st_mtime < _HEARTBEAT_SECONDS:
                    return True
            except OSError:
                continue  # nobody ever opened one
        return False


def computed(before: Mapping[int, CpuTime], now: Mapping[int, CpuTime]) -> Dict[int, float]:
    """The processor seconds that each process of *now* used since *before*.

    The time of a child that ended moves to its parent's account; what of it was counted before is taken off there.
    """
    ended: Dict[int, float] = {}
    for pid, old in before.items():
        if pid not in now or now[pid].began != old.began:
            ended[old.parent] = ended.get(old.parent, 0.0) + old.seconds
    worked = {}
    for pid, new in now.items():
        known = before.get(pid)
        earlier = known.seconds if known is not None and known.began == new.began else 0.0
        worked[pid] = max(0.0, new.seconds - earlier - ended.get(pid, 0.0))
    return worked


def without_ours(running: Sequence[Process]) -> List[Process]:
    """*running* without our agents, our watchdog and everything that they started."""
    ours: Set[int] = {process.pid for process in running if _is_ours(process)}
    children = _children(running)
    reached = list(ours)
    while reached:
        for child in children.get(reached.pop(), ()):
            if child.pid not in ours:
                ours.add(child.pid)
                reached.append(child.pid)
    return [process for process in running if process.pid not in ours]


def sessions(running: Sequence[Process], now_ticks: float) -> List[str]:
    """The SSH sessions of people and their editors, in words: not those that only hold our agent."""
    by_pid = {process.pid: process for process in running}
    children = _children(running)
    people, editors = 0, 0
    for process in running:
        inside = _inside(process, by_pid, children, now_ticks)
        if inside is None or (inside and all(_is_ours(each) for each in inside)):
            continue
        below = [descendant for each in inside for descendant in _below(each, children)]
        if any(editor in " ".join(each.command) for each in below for editor in _EDITORS):
            editors += 1
        else:
            people += 1
    words = []
    if editors:
        words.append("a connected editor")
    if people:
        words.append("an open SSH session" if people == 1 else "{0} open SSH sessions".format(people))
    return words


def _inside(
    process: Process, by_pid: Mapping[int, Process], children: Mapping[int, List[Process]], now_ticks: float
) -> Optional[List[Process]]:
    """What runs in the session that *process* stands for, None if it stands for none.

    OpenSSH has a process per session and names it after the user; other servers run the user's commands themselves.
    """
    if _SESSION.match(process.command[0]):
        inside = children.get(process.pid, [])
        age = (now_ticks - process.began) / os.sysconf("SC_CLK_TCK")
        return inside if inside or age > _BARE_SESSION_SECONDS else None
    parent = by_pid.get(process.parent)
    if parent is None or _is_server(process) or not _is_server(parent) or _SSHD.match(parent.command[0]):
        return None
    return [process]


def read_gpus() -> Optional[List[List[float]]]:
    """A few readings in a row of the load of each GPU in percent; None where there is no nvidia-smi."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    return [_reading(program) for _ in range(_GPU_READINGS)]


def gpu_percent(readings: Optional[Sequence[Sequence[float]]]) -> Optional[float]:
    """The load of the busiest GPU; None if unknown.

    Asking a driver that slept wakes it up, which shows as load: the middle one of several readings does not see that.
    """
    if not readings:
        return None
    gpus = range(min(len(reading) for reading in readings))
    return max((statistics.median(reading[gpu] for reading in readings) for gpu in gpus), default=None)


def named(process: Process) -> str:
    """The command of *process* as a person would call it."""
    words = [os.path.basename(process.command[0]), *process.command[1:]]
    line = " ".join(" ".join(words).split())
    return line if len(line) <= _SHOWN_WORDS else line[: _SHOWN_WORDS - 1] + "…"


def _reading(program: str) -> List[float]:
    query = [program, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_SMI_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.decode("utf-8", "replace").splitlines() if done.returncode == 0 else []
    return [float(line) for line in lines if re.fullmatch(r"\s*\d+(\.\d+)?\s*", line)]


def _is_ours(process: Process) -> bool:
    return any(AGENT_MARK in argument for argument in process.command)


def _is_server(process: Process) -> bool:
    """Whether this is an SSH server or one of its workers, also one that an interpreter runs."""
    first = process.command[0]
    return (
        bool(_SSHD.match(first))
        or os.path.basename(first) in _SERVERS
        or any(word.endswith(_EMBEDDED_SERVER) for word in process.command)
    )


def _children(running: Iterable[Process]) -> Dict[int, List[Process]]:
    found: Dict[int, List[Process]] = {}
    for process in running:
        found.setdefault(process.parent, []).append(process)
    return found


def _below(process: Process, children: Mapping[int, List[Process]]) -> List[Process]:
    found, position = [process], 0
    while position < len(found):
        found.extend(children.get(found[position].pid, ()))
        position += 1
    return found
