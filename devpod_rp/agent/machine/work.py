"""What a person's processes are doing: how long, on which processors, on what; and files that only they still hold."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from devpod_rp.agent.machine.container import Process, cpu_seconds

_SMI_SECONDS = 20.0
_KERNEL = re.compile(r"\b(ipykernel_launcher|ipykernel|xpython|IRkernel)\b")
_NOTEBOOK_VARIABLE = b"JPY_SESSION_NAME="  # jupyter_server tells each kernel which notebook it belongs to
_TERMINALS = ("tmux", "screen", "SCREEN", "zellij", "byobu")
_EDITORS = ("vi", "vim", "nvim", "vim.basic", "vim.tiny", "nano", "emacs", "micro", "hx", "helix", "kak")
# Vim's swap file, block 0 (vim: memline.c): "b0", the edited file's name at 108, and 0x55 at 1007 if it has changes.
_SWAP = re.compile(r"\.sw[a-z]$")
_SWAP_MARK, _SWAP_NAME, _SWAP_CHANGED = b"b0", slice(108, 1006), 1007
_DELETED = " (deleted)"
# What programs make and unlink themselves, as scratch space without a name.
_SCRATCH = ("/tmp/", "/var/tmp/", "/dev/", "/run/", "/memfd:", "/SYSV", "/proc/", "/sys/")  # noqa: S108 - not written to


class Work(NamedTuple):
    """One process. *kind* is "notebook", "terminal", "editor" or "program"; *about* is what it has open, if visible."""

    pid: int
    command: str
    kind: str
    seconds: float
    cpu_seconds: Optional[float]
    gpu_memory_mb: Optional[int]
    folder: Optional[str]
    about: Optional[str]


class Unnamed(NamedTuple):
    """A file without a name on any disk that process *pid* holds open as *descriptor*; it dies with the process."""

    path: str
    size: int
    pid: int
    command: str
    descriptor: int
    written: bool


def describe(processes: Sequence[Process], proc: Path = Path("/proc")) -> List[Work]:
    """Each of *processes*, those that use a GPU first, then by what they computed."""
    if not processes:
        return []
    memory = _gpu_memory()
    now_ticks = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
    found = [_describe(process, now_ticks, memory, proc) for process in processes]
    return sorted(found, key=lambda work: (-(work.gpu_memory_mb or 0), -(work.cpu_seconds or 0.0), work.pid))


def deleted_but_open(processes: Sequence[Process], proc: Path = Path("/proc")) -> List[Unnamed]:
    """The files that *processes* hold open after their last name was deleted, without scratch space."""
    found: Dict[Tuple[int, int], Unnamed] = {}
    for process in processes:
        for descriptor, target in _open(process.pid, proc):
            if not target.endswith(_DELETED) or target.startswith(_SCRATCH):
                continue
            place = proc / str(process.pid) / "fd" / str(descriptor)
            try:
                status = os.stat(str(place))
            except OSError:
                continue  # closed meanwhile
            if not stat.S_ISREG(status.st_mode) or status.st_nlink or not status.st_size:
                continue
            written = _may_write(process.pid, descriptor, proc)
            key = (status.st_dev, status.st_ino)
            if key not in found or (written and not found[key].written):
                path, command = target[: -len(_DELETED)], " ".join(process.command)
                found[key] = Unnamed(path, status.st_size, process.pid, command, descriptor, written)
    return sorted(found.values())


def _describe(process: Process, now_ticks: float, memory: Dict[int, int], proc: Path) -> Work:
    name = os.path.basename(process.command[0])
    line = " ".join(process.command)
    kind, about = "program", None
    if _KERNEL.search(line):
        kind, about = "notebook", _notebook(process.pid, proc)
    elif name.split(":")[0] in _TERMINALS:
        kind = "terminal"
    elif name in _EDITORS:
        kind, about = "editor", _unsaved(process.pid, proc)
    seconds = max(0.0, (now_ticks - process.began) / os.sysconf("SC_CLK_TCK"))
    spent = cpu_seconds(process.pid, proc)
    return Work(process.pid, line, kind, seconds, spent, memory.get(process.pid), _folder(process.pid, proc), about)


def _notebook(pid: int, proc: Path) -> Optional[str]:
    try:
        variables = (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    named = next((each for each in variables if each.startswith(_NOTEBOOK_VARIABLE)), b"")
    return os.fsdecode(named[len(_NOTEBOOK_VARIABLE) :]) or None


def _unsaved(pid: int, proc: Path) -> Optional[str]:
    for _descriptor, target in _open(pid, proc):
        if _SWAP.search(target):
            try:
                with open(target, "rb") as stream:
                    head = stream.read(_SWAP_CHANGED + 1)
            except OSError:
                continue
            if head.startswith(_SWAP_MARK) and head[_SWAP_CHANGED:] == b"\x55":
                return "unsaved changes to " + os.fsdecode(head[_SWAP_NAME].split(b"\0")[0])
    return None


def _folder(pid: int, proc: Path) -> Optional[str]:
    try:
        return os.readlink(str(proc / str(pid) / "cwd"))
    except OSError:
        return None


def _open(pid: int, proc: Path) -> Iterator[Tuple[int, str]]:
    folder = str(proc / str(pid) / "fd")
    try:
        names = os.listdir(folder)
    except OSError:
        return  # it ended, or is another user's
    for name in names:
        try:
            yield int(name), os.readlink(os.path.join(folder, name))
        except (OSError, ValueError):
            continue  # closed meanwhile


def _may_write(pid: int, descriptor: int, proc: Path) -> bool:
    try:
        lines = (proc / str(pid) / "fdinfo" / str(descriptor)).read_text().splitlines()
    except OSError:
        return True  # unknown: the side on which nothing is lost
    flags = next((int(line.split()[1], 8) for line in lines if line.startswith("flags:")), os.O_RDWR)
    return flags & os.O_ACCMODE != os.O_RDONLY


def _gpu_memory() -> Dict[int, int]:
    """MiB of GPU memory by process; empty where there is no GPU, or where the driver does not tell a container."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    query: List[Any] = [program, "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_SMI_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    used: Dict[int, int] = {}
    for line in done.stdout.decode("utf-8", "replace").splitlines() if done.returncode == 0 else ():
        match = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", line)
        if match:
            used[int(match.group(1))] = used.get(int(match.group(1)), 0) + int(match.group(2))
    return used
