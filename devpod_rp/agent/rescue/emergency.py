"""The last seconds of a pod that the market ends: save what exists nowhere else, the smallest first.

It is installed on the container disk when a spot pod is handed over (op ``emergency.arm``), and run by the pod's first
process when SIGTERM comes. SIGKILL follows five seconds later, so whatever was saved by then must stand by itself: each
batch is a complete rescue, and the list of what is still unsaved is on the volume before the first byte is copied.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from devpod_rp.agent.exposure import copies, manifest
from devpod_rp.agent.exposure.baseline import DIRECTORY
from devpod_rp.agent.exposure.examine import survey_mounts
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.files.changes import Change, look
from devpod_rp.agent.machine.container import identity, processes
from devpod_rp.agent.rescue import keepsakes, proved
from devpod_rp.agent.rescue.noting import Noting, note
from devpod_rp.agent.rescue.saving import OutOfTime, rescue
from devpod_rp.agent.wire import Refusal, Request

LAUNCHER = DIRECTORY + "/emergency"
_PROGRAM = DIRECTORY + "/emergency.py"
_ORDERS = DIRECTORY + "/emergency.json"
_SECONDS = 4.5
_BY_FIRST_PROCESS = 2  # arguments: then the container is about to end
# A copy that is found on the volume need not be saved again, but looking for it must not cost the time to save.
_COMPARING = copies.Budget(seconds=0.5, size_bytes=256 << 20)
_FIRST_BATCH_BYTES = 8 << 20
_GROWTH = 4


class Outcome(NamedTuple):
    """What was saved in time, and what was not (path -> size in bytes)."""

    saved: List[str]
    left: Dict[str, int]


def rescue_now(
    volume: str,
    no_loss: keepsakes.NoLoss,
    *,
    noting: Optional[Noting] = None,
    seconds: float = _SECONDS,
    root: str = "/",
    proc: Path = Path("/proc"),
) -> Outcome:
    """Copy to *volume* what exists only on the container disk, smallest first, of equals the newest first.

    Stops when *seconds* are over or the volume is full. A note beside the rescues names what is left.

    Raises:
        Refusal: *volume* is no mounted volume, or the disk's baseline cannot be read.
    """
    saving = _Saving(volume, time.monotonic() + seconds, root, proc)
    known = proved.load(root)
    if known is not None:
        # The walk over the whole disk is long where the processor is shared; what it found last time need not wait.
        saving.run(_still_there(known.at_stake, root))
    recipes = noting.recipes if noting is not None else ()
    packaged = known.packaged if known is not None else None
    stake = keepsakes.at_stake(volume, no_loss, _COMPARING, recipes=recipes, proved=packaged, root=root, proc=proc)
    left = saving.run(stake.changes)
    if known is None:
        # Whoever proved it has noted it as well. Last, because what can be installed again is worth less than time.
        note(noting, volume, stake.packages, None, root=root, proc=proc)
    return Outcome(saving.saved, {each.path: each.stamp.size for each in left})


class _Saving:
    """Saves in batches that grow, and keeps the list of what is saved and what is not on the volume."""

    def __init__(self, volume: str, deadline: float, root: str, proc: Path) -> None:
        self.saved: List[str] = []
        self._volume = volume
        self._survey = survey_mounts([volume], proc=proc)
        self._deadline = deadline
        self._root = root
        self._container = identity(proc)
        self._folder = root.rstrip("/") + os.path.join(volume, manifest.RESCUES)
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        named = time.strftime("preempted-%Y%m%dT%H%M%SZ.json", time.gmtime())
        self._listing = os.path.join(self._folder, named)

    def run(self, changes: Sequence[Change]) -> List[Change]:
        """Save *changes* as far as time and room go; returns those that were not."""
        waiting = sorted(changes, key=lambda each: (each.stamp.size, -each.stamp.mtime_ns))
        _write_list(self._listing, self.saved, waiting)
        limit = _FIRST_BATCH_BYTES
        while waiting and time.monotonic() < self._deadline:
            batch = _batch(waiting, limit, _free_bytes(self._folder))
            if not batch:
                break
            paths = [each.path for each in batch]
            steps = rescue(paths, self._volume, self._survey, root=self._root, container=self._container, durable=False)
            done, complete = _saved(steps, self._deadline)
            self.saved += done
            waiting = [each for each in waiting if each.path not in set(done)]
            _write_list(self._listing, self.saved, waiting)
            if not complete or not done:
                break
            limit *= _GROWTH
        return waiting


def _still_there(paths: Sequence[str], root: str) -> List[Change]:
    changes = []
    for path in paths:
        try:
            changes.append(look(path, root=root))
        except OSError:
            continue  # gone since
    return changes


def arm(request: Request) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``emergency.arm``: from now on the pod's first process can run us. *orders* hold ``volume``, ``no_loss`` and
    ``noting``; the body is our own program.
    """
    orders = request.header.get("orders")
    try:
        _parsed(orders if isinstance(orders, dict) else {})
    except (KeyError, TypeError, ValueError, re.error) as error:
        raise Refusal("bad-request", "these are no orders: {0!r}".format(error)) from error
    Path(DIRECTORY).mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(_ORDERS, json.dumps(orders).encode("ascii"))
    write_atomically(_PROGRAM, request.body)
    launcher = "#!/bin/sh\nexec '{0}' -X utf8 -I -S '{1}' \"$@\"\n".format(sys.executable, _PROGRAM)
    write_atomically(LAUNCHER, launcher.encode("utf-8"))
    os.chmod(LAUNCHER, 0o700)
    yield {}, b""


def main() -> None:
    """Run by the launcher script with the seconds that there are and, by the pod's first process, the uptime then.

    In that case all else in the container is halted: it has no more than these seconds either, would share the
    processor, and could write while its files are saved. What was done goes to the container's log.
    """
    with open(_ORDERS, "rb") as stream:
        volume, no_loss, noting = _parsed(json.loads(stream.read()))
    if volume is None:
        sys.stderr.write("emergency: there is no volume to save to\n")
        return
    try:
        if len(sys.argv) > _BY_FIRST_PROCESS:
            _halt_all_others()
        seconds = _left(sys.argv[1:])
        outcome = rescue_now(volume, no_loss, noting=noting, seconds=seconds)
    except Refusal as refusal:
        sys.stderr.write("emergency: {0}\n".format(refusal.message))
        return
    sys.stderr.write("emergency: {0} files saved, {1} left\n".format(len(outcome.saved), len(outcome.left)))


def _halt_all_others() -> None:
    """Stop every process of this container but PID 1, ourselves and who started us (kill(2), -1)."""
    parents = {process.pid: process.parent for process in processes()}
    try:
        os.kill(-1, signal.SIGSTOP)
        waiting = os.getppid()
        while waiting > 1:
            os.kill(waiting, signal.SIGCONT)
            waiting = parents.get(waiting, 1)
    except OSError as error:
        sys.stderr.write("emergency: the other processes run on: {0}\n".format(error))


def _left(arguments: Sequence[str]) -> float:
    seconds = float(arguments[0]) if arguments else _SECONDS
    if len(arguments) < 2:
        return seconds
    return seconds - max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - float(arguments[1]))


def _parsed(orders: Dict[str, Any]) -> Tuple[Optional[str], keepsakes.NoLoss, Optional[Noting]]:
    volume = orders["volume"]
    if volume is not None and not isinstance(volume, str):
        raise ValueError("volume is no path")
    return volume, keepsakes.NoLoss(orders["no_loss"]), Noting.from_wire(orders.get("noting"))


def _batch(waiting: Sequence[Change], limit: int, free: int) -> List[Change]:
    """The first of *waiting* that together stay within *limit* bytes (at least one) and fit into *free* bytes."""
    batch: List[Change] = []
    total = 0
    for change in waiting:
        total += change.stamp.size
        if total > free or (batch and total > limit):
            break
        batch.append(change)
    return batch


def _saved(steps: Any, deadline: float) -> Tuple[List[str], bool]:
    """The paths that a rescue saved by the *deadline*, and whether that was all of its time."""
    in_time = True
    try:
        while in_time:
            next(steps)
            in_time = time.monotonic() < deadline
        steps.throw(OutOfTime())
    except StopIteration as end:
        return [each.path for each in end.value.saved], in_time
    except Refusal as refusal:
        sys.stderr.write("emergency: {0}\n".format(refusal.message))
    return [], False


def _free_bytes(folder: str) -> int:
    free = os.statvfs(folder)
    return free.f_bavail * free.f_frsize


def _write_list(listing: str, saved: Sequence[str], left: Sequence[Change]) -> None:
    document = {
        "preempted": True,
        "saved": list(saved),
        "not_saved": [{"path": each.path, "size": each.stamp.size} for each in left],
    }
    write_atomically(listing, json.dumps(document, indent=1).encode("ascii"))


OPERATIONS = {"emergency.arm": arm}
