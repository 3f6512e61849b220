"""Counting what a stop would destroy while the pod works: beside everything else, and never in its way."""

from __future__ import annotations

import os
import re
import resource
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from devpod_rp.agent.exposure import copies, repositories
from devpod_rp.agent.rescue import keepsakes
from devpod_rp.agent.rescue.noting import Noting, note
from devpod_rp.agent.wire import Refusal, Request, Standing

_COMPARING = copies.Budget(seconds=30.0, size_bytes=8 << 30)
_NICE = 19


def operations(root: str = "/", proc: Path = Path("/proc")) -> Dict[str, Standing]:
    """The standing operation for the container whose disk is at *root* and whose kernel speaks through *proc*."""
    return {"stakes.look": partial(_look, root, proc)}


def _look(root: str, proc: Path, request: Request, _closing: threading.Event) -> Iterator[Tuple[Dict[str, Any], bytes]]:
    """Op ``stakes.look {volume, no_loss, noting}``, standing but brief; ``{files, bytes, unseen, cpu_seconds}``.

    *unseen* counts places that could not be looked into, *cpu_seconds* is what the look took of the pod's processor.
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
    recipes = noting.recipes if noting is not None else ()
    stake = keepsakes.at_stake(volume, no_loss, _COMPARING, recipes=recipes, root=root, proc=proc)
    found = repositories.examine(stake.unowned, stake.exposure.survey.volumes, root=root)
    note(noting, volume, stake.packages, found.repositories, root=root, proc=proc)
    back = found.paths
    files = {(each.device, each.stamp): each.stamp.size for each in stake.changes if each.path not in back}
    yield (
        {
            "files": len(files),
            "bytes": sum(files.values()),
            "unseen": len(stake.problems),
            "cpu_seconds": _cpu_seconds() - began,
        },
        b"",
    )


def _cpu_seconds() -> float:
    """Of this thread, and of the programs that it waited for (git); others may have waited for some, too."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + children.ru_utime + children.ru_stime


STANDING = operations()
