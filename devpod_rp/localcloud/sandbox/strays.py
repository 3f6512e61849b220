"""Ending what a dead server left behind.

Nothing should be left: the kernel closes the lifeline of every supervisor when the server ends, and a supervisor's
end takes its pod along. What is stuck all the same is found by its command line, which only we write.
"""

from __future__ import annotations

import logging
import os
import select
import signal
from collections.abc import Collection, Iterator
from pathlib import Path

from devpod_rp.localcloud.sandbox import disk, layout
from devpod_rp.localcloud.sandbox.model import SandboxError

_log = logging.getLogger(__name__)
_OURS = frozenset({layout.SUPERVISOR_MODULE.encode("ascii"), layout.INIT.encode("ascii")})
_PATIENCE_SECONDS = 10.0


def sweep(root: Path, live: Collection[str]) -> list[str]:
    """End every sandbox whose directory lies in *root* and whose pod is not in *live*; returns the pods' ids.

    Wipes that a crash interrupted are finished. A sandbox of another installation, or another user, is never touched.
    """
    ended = set()
    for pid, pod_id in _strays(root):
        if pod_id not in live and _end(pid, pod_id, root):
            ended.add(pod_id)
    for directory in root.iterdir() if root.is_dir() else ():
        if directory.name not in live:
            try:
                disk.clear_leftovers(directory)
            except SandboxError as error:
                _log.warning("pod=%s leftover=%s", directory.name, error.message)
    return sorted(ended)


def is_running(directory: Path) -> bool:
    """Whether a supervisor or PID 1 of the pod in *directory* is there."""
    return any(pod_id == directory.name for _, pod_id in _strays(directory.parent))


def _strays(root: Path) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            pod_id = _pod_of(entry, root)
            if pod_id is not None:
                yield int(entry.name), pod_id


def _pod_of(process: Path, root: Path) -> str | None:
    try:
        arguments = (process / "cmdline").read_bytes().split(b"\0")
        state = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return None  # it ended meanwhile, or it is another user's
    if state == "Z" or not _OURS & set(arguments):
        return None
    for argument in arguments:
        kind, _, rest = argument.decode("utf-8", "replace").partition(":")
        pod_id, _, installation = rest.rpartition(":")
        if kind == layout.MARKER and installation == layout.installation(root):
            return pod_id
    return None


def _end(pid: int, pod_id: str, root: Path) -> bool:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # Looked at again with the process held fast: the number might have passed to somebody else.
        if _pod_of(Path("/proc", str(pid)), root) != pod_id:
            return False
        signal.pidfd_send_signal(process, signal.SIGKILL)
        _log.warning("pod=%s pid=%d stray ended", pod_id, pid)
        poll = select.poll()
        poll.register(process, select.POLLIN)
        if not poll.poll(_PATIENCE_SECONDS * 1000):
            _log.error("pod=%s pid=%d survives SIGKILL", pod_id, pid)
    except ProcessLookupError:
        return False
    finally:
        os.close(process)
    return True
