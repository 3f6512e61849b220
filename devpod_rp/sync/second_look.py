"""What goes from here because it went from the pod is looked at twice: a pod that is being wiped is one that was not
wiped yet a moment ago."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from devpod_rp.agent.files.entries import Entry
from devpod_rp.sync.reconcile import Plan, Side

DOUBT_SECONDS = 0.5
_LONGEST_SECONDS = 30.0


def believed(
    plan: Plan,
    ancestor: Mapping[str, Entry],
    present: Callable[[], Collection[str]],
    check: Callable[[Collection[str]], None],
    seconds: float,
) -> Plan:
    """*plan*, once nothing more has gone from the pod for *seconds*, without what came back there meanwhile.

    *present* tells what the pod holds, *check* raises when it is not to be believed that so many files were deleted.
    """
    going = {action.path for action in plan.actions if action.side is Side.LOCAL and action.new is None}
    if not going:
        return plan
    files = {path for path, entry in ancestor.items() if entry.kind != "dir"}
    gone = files & going
    deadline = time.monotonic() + _LONGEST_SECONDS
    while True:
        time.sleep(seconds)
        there = present()
        now = files - set(there)
        check(now)
        if now <= gone or time.monotonic() > deadline:
            break
        gone = now
    back = {path for path in going if path in there}
    # A folder cannot go either when something in it is there again.
    back |= {path for path in going if any(each.startswith(path + "/") for each in back)}
    return replace(plan, actions=tuple(action for action in plan.actions if action.path not in back))
