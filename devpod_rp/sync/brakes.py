"""The last look at a plan before it is carried out: is this what the user wants, or an accident elsewhere?"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Mapping
from pathlib import Path

from devpod_rp.agent.files.entries import Entry
from devpod_rp.sync.journal import Journal
from devpod_rp.sync.reconcile import Action, Mode, Plan, Side, same
from devpod_rp.sync.safety import FEW_FILES, LARGE_SHARE, unexpected_deletions
from devpod_rp.sync.status import Halts

_REMEMBERED_SECONDS = 120.0
_A_PAIR = 2


class Brakes:
    """Halts a plan that would delete much, or that would make the pod a replica before the user has seen what goes.

    Deletions that come from the pod are added up over two minutes: a pod that is being wiped shows its files going one
    batch at a time, each of them small.
    """

    def __init__(self, mode: Mode, journal: Journal, halts: Halts, local_root: Path) -> None:
        self._root = local_root
        self._mode = mode
        self._journal = journal
        self._halts = halts
        self._deleted_here: deque[tuple[float, int]] = deque()
        self._trusted_until = 0.0

    def check(self, plan: Plan, ancestor: Mapping[str, Entry], observed: Collection[str], trusted: bool) -> None:
        """Raises SyncHalted when the plan has to wait for a yes; *trusted*: the yes has been said."""
        if trusted:
            self._trusted_until = time.monotonic() + _REMEMBERED_SECONDS
            if self._mode is Mode.ONE_WAY_REPLICA:
                self._journal.put(replica_confirmed=True)
            return
        there = [action for action in plan.actions if action.side is Side.REMOTE]
        if self._mode is Mode.ONE_WAY_REPLICA and not self._journal.get("replica_confirmed"):
            lost = [action for action in there if _is_foreign(action, ancestor)]
            if lost:
                deleted = tuple(action.path for action in lost if action.new is None)
                raise self._halts.replica_asks(deleted, tuple(a.path for a in lost if a.new is not None))
        # The top folder of a disk has the same number on every disk of its kind, which proves nothing.
        few = 0 if self._root.is_mount() else FEW_FILES
        gone = unexpected_deletions(there, ancestor, observed, few)
        if gone:
            raise self._halts.mass_deletion(gone)
        self._check_here(plan, ancestor)

    def _check_here(self, plan: Plan, ancestor: Mapping[str, Entry]) -> None:
        """Watched or not: what goes from here because it went from the pod is never believed in bulk."""
        here = tuple(
            action.path
            for action in plan.actions
            if action.side is Side.LOCAL and action.new is None and action.old is not None and action.old.kind != "dir"
        )
        self.check_gone(here, ancestor)

    def check_gone(self, here: Collection[str], ancestor: Mapping[str, Entry]) -> None:
        """Raises SyncHalted when the files *here*, all gone from the pod, are too many to go from here, too."""
        if not here or time.monotonic() < self._trusted_until:
            return
        while self._deleted_here and self._deleted_here[0][0] < time.monotonic() - _REMEMBERED_SECONDS:
            self._deleted_here.popleft()
        before = sum(count for _, count in self._deleted_here)
        files = sum(entry.kind != "dir" for entry in ancestor.values()) + before
        gone = len(here) + before
        if gone > max(FEW_FILES, LARGE_SHARE * files) or (gone > files / 2 and gone > _A_PAIR) or gone >= files > 1:
            raise self._halts.mass_deletion_there(tuple(here))

    def deleted_here(self, count: int) -> None:
        """*count* files were deleted here because they were deleted on the pod."""
        if count:
            self._deleted_here.append((time.monotonic(), count))


def _is_foreign(action: Action, ancestor: Mapping[str, Entry]) -> bool:
    """Whether the action destroys a version on the pod that did not come from here."""
    old = action.old
    return old is not None and old.kind != "dir" and not same(old, ancestor.get(action.path))
