"""The last seconds of a pod that the market ends: save what exists nowhere else, the smallest first.

It is installed on the container disk when a spot pod is handed over (op ``emergency.arm``), and run by the pod's first
process when SIGTERM comes. SIGKILL follows five seconds later, so whatever was saved by then must stand by itself: each
batch is a complete rescue, and the list of what is still unsaved is on the volume before the first byte is copied.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from devpod_rp.agent.exposure import copies, manifest
from devpod_rp.agent.exposure.baseline import DIRECTORY
from devpod_rp.agent.files.atomic import write_atomically
from devpod_rp.agent.files.changes import Change
from devpod_rp.agent.machine.container import identity
from devpod_rp.agent.rescue import keepsakes, proved
from devpod_rp.agent.rescue.noting import Noting, note
from devpod_rp.agent.rescue.saving import rescue
from devpod_rp.agent.wire import Refusal, Request

LAUNCHER = DIRECTORY + "/emergency"
_PROGRAM = DIRECTORY + "/emergency.py"
_ORDERS = DIRECTORY + "/emergency.json"
_SECONDS = 4.5
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
    deadline = time.monotonic() + seconds
    recipes = noting.recipes if noting is not None else ()
    known = proved.load(root)
    stake = keepsakes.at_stake(volume, no_loss, _COMPARING, recipes=recipes, proved=known, root=root, proc=proc)
    waiting = sorted(stake.changes, key=lambda each: (each.stamp.size, -each.stamp.mtime_ns))
    folder = root.rstrip("/") + os.path.join(volume, manifest.RESCUES)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    listing = os.path.join(folder, time.strftime("preempted-%Y%m%dT%H%M%SZ.json", time.gmtime()))
    saved: List[str] = []
    limit = _FIRST_BATCH_BYTES
    _write_list(listing, saved, waiting)
    while waiting and time.monotonic() < deadline:
        batch = _batch(waiting, limit, _free_bytes(folder))
        if not batch:
            break
        done, complete = _saved(
            rescue([each.path for each in batch], volume, stake.exposure.survey, root=root, container=identity(proc)),
            deadline,
        )
        saved += done
        waiting = [each for each in waiting if each.path not in set(done)]
        _write_list(listing, saved, waiting)
        if not complete or not done:
            break
        limit *= _GROWTH
    if known is None:
        # Whoever proved it has noted it as well. Last, because what can be installed again is worth less than time.
        note(noting, volume, stake.packages, None, root=root, proc=proc)
    return Outcome(saved, {each.path: each.stamp.size for each in waiting})


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
    """Run by the launcher script with the seconds that are left; what it did goes to the container's log."""
    with open(_ORDERS, "rb") as stream:
        volume, no_loss, noting = _parsed(json.loads(stream.read()))
    if volume is None:
        sys.stderr.write("emergency: there is no volume to save to\n")
        return
    try:
        seconds = float(sys.argv[1]) if len(sys.argv) > 1 else _SECONDS
        outcome = rescue_now(volume, no_loss, noting=noting, seconds=seconds)
    except Refusal as refusal:
        sys.stderr.write("emergency: {0}\n".format(refusal.message))
        return
    sys.stderr.write("emergency: {0} files saved, {1} left\n".format(len(outcome.saved), len(outcome.left)))


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
    """The paths that a rescue saved; not complete when the time was over or the volume full before its end."""
    try:
        while time.monotonic() < deadline:
            next(steps)
    except StopIteration as end:
        return [each.path for each in end.value.saved], True
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
