"""Counting what a stop would destroy while the pod works: beside everything else, and never in its way."""

from __future__ import annotations

import os
import re
import resource
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from devpod_rp.agent.exposure import copies, repositories
from devpod_rp.agent.files.changes import Change
from devpod_rp.agent.files.memory import Memory, remembering
from devpod_rp.agent.rescue import keepsakes, proved
from devpod_rp.agent.rescue.noting import Noting, note
from devpod_rp.agent.wire import Refusal, Request, Standing

_COMPARING = copies.Budget(seconds=30.0, size_bytes=8 << 30)
_NICE = 19
_MEMORY = Memory()
_LOOKING = threading.Lock()  # one look at a time has the memory


def operations(root: str = "/", proc: Path = Path("/proc")) -> Dict[str, Standing]:
    """The standing operation for the container whose disk is at *root* and whose kernel speaks through *proc*."""
    return {"stakes.look": partial(_look, root, proc)}


def _look(root: str, proc: Path, request: Request, _closing: threading.Event) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``stakes.look {volume, no_loss, noting}``, standing but brief: one frame, as follows.

    ``{files, bytes, unseen, read, cpu_seconds}``: *unseen* counts places that could not be looked into, *read* what was
    not known from the look before, *cpu_seconds* is what the look took of the pod's processor.
    """
    volume = request.header.get("volume")
    if volume is not None and not isinstance(volume, str):
        raise Refusal("bad-request", "volume is no path")
    try:
        no_loss = keepsakes.NoLoss(request.header.get("no_loss", []))
        noting = Noting.from_wire(request.header.get("noting"))
    except (KeyError, TypeError, ValueError, re.error) as error:
        raise Refusal("bad-request", "not a table of what is no loss: {0!r}".format(error)) from error
    # On Linux this is the priority of this thread alone.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    began = _cpu_seconds()
    with _LOOKING, remembering(_MEMORY):
        header = _looked(volume, no_loss, noting, root, proc)
    yield dict(header, read=_MEMORY.found_out, cpu_seconds=_cpu_seconds() - began), b""


def _looked(
    volume: Optional[str], no_loss: keepsakes.NoLoss, noting: Optional[Noting], root: str, proc: Path
) -> Dict[str, int]:
    recipes = noting.recipes if noting is not None else ()
    stake = keepsakes.at_stake(volume, no_loss, _COMPARING, recipes=recipes, root=root, proc=proc)
    found = repositories.examine(stake.unowned, stake.exposure.survey.volumes, root=root)
    note(noting, volume, stake.packages, found.repositories, root=root, proc=proc)
    alone = [each for each in stake.changes if each.path not in found.paths]
    _leave_for_an_emergency(stake, alone, root)
    files = {(each.device, each.stamp): each.stamp.size for each in alone}
    return {"files": len(files), "bytes": sum(files.values()), "unseen": len(stake.problems)}


def _leave_for_an_emergency(stake: keepsakes.Stake, alone: Sequence[Change], root: str) -> None:
    unowned = {change.path for change in stake.unowned}
    packaged = (change for change in stake.exposure.changes.found if change.path not in unowned)
    try:
        proved.store(packaged, [change.path for change in alone], root)
    except OSError as error:
        sys.stderr.write("what was seen could not be left for an emergency: {0}\n".format(error))


def _cpu_seconds() -> float:
    """Of this thread, and of the programs that it waited for (git); others may have waited for some, too."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + children.ru_utime + children.ru_stime


STANDING = operations()
