"""Three trees in, a plan out: what must be written where, what must not be touched, and why. Pure, no I/O.

The *ancestor* is what both sides last agreed on. A side has *changed* a path when it differs from the ancestor there;
clocks and modification times are never compared. The rules, per path:

1. A path that one side could not read completely ("unknown") is frozen with everything below it: absence of
   knowledge is never absence of files.
2. Both sides equal: that is the new ancestor, also when both made the same edit.
3. Only one side changed: its state goes to the other side, where the mode allows that direction.
4. Both changed, one of them by deleting: content beats deletion.
5. Both changed to different content: a conflict; neither version is touched.
6. A folder is only removed or replaced when nothing that must stay lives in it.

The modes differ only in which direction rule 3 and 5 may take:

=================  ==========================  ==========================  =========================
mode               only local changed          only the pod changed        both changed
=================  ==========================  ==========================  =========================
one-way-safe       to the pod                  left alone                  conflict
two-way-safe       to the pod                  to this side                conflict
one-way-replica    to the pod                  undone on the pod           local wins
=================  ==========================  ==========================  =========================
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from devpod_rp.agent.files.entries import Entry

Tree = Mapping[str, Entry]
"""Relative '/'-path -> entry; the root itself is not in it, every folder is."""


class Mode(str, Enum):
    """Who may change whom; the names are the field's own."""

    ONE_WAY_SAFE = "one-way-safe"
    TWO_WAY_SAFE = "two-way-safe"
    ONE_WAY_REPLICA = "one-way-replica"


class Side(str, Enum):
    LOCAL = "local"
    REMOTE = "remote"


class Action(NamedTuple):
    """Make *path* on *side* be *new* (None: gone), provided it still is *old* there (None: absent)."""

    path: str
    side: Side
    old: Entry | None
    new: Entry | None


@dataclass(frozen=True)
class Conflict:
    """Both sides changed *path* in ways that cannot both stand; neither version is touched."""

    path: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What one cycle should do.

    *actions* are ordered so that each can be carried out in turn: first what clears the way for a change of type,
    then creations and changes with folders before their content, deletions last. *agreed* holds the ancestor's
    changes that need no action (None: forget the path). *pod_only* names what the pod alone changed and keeps.
    """

    actions: tuple[Action, ...]
    conflicts: tuple[Conflict, ...]
    agreed: Mapping[str, Entry | None]
    pod_only: tuple[str, ...]


class _Verdict(Enum):
    TO_REMOTE = "local's state goes to the pod"
    TO_LOCAL = "the pod's state comes here"
    LEAVE = "the pod alone changed it and keeps it"


def same(one: Entry | None, other: Entry | None) -> bool:
    """Whether two entries are the same version: kind, content and executable bit; never times."""
    if one is None or other is None:
        return one is other
    if one.kind != other.kind:
        return False
    if one.kind == "file":
        return one.digest == other.digest and one.executable == other.executable
    return one.kind == "dir" or one.target == other.target


def reconcile(
    ancestor: Tree,
    local: Tree,
    remote: Tree,
    mode: Mode,
    *,
    unknown: Collection[str] = (),
    first: Collection[str] = (),
    paths: Iterable[str] | None = None,
) -> Plan:
    """Compare the three trees and plan one cycle.

    *unknown* are paths that either side could not read (or that no file could stand for, such as sockets): frozen.
    *first* are paths whose deletion makes way for something: it comes before the creations.
    *paths* limits the work to those paths; callers name every path whose local or remote state may have changed.
    """
    return _Reconciliation(ancestor, local, remote, mode, unknown, frozenset(first)).plan(paths)


class _Reconciliation:
    def __init__(
        self,
        ancestor: Tree,
        local: Tree,
        remote: Tree,
        mode: Mode,
        unknown: Collection[str],
        first: frozenset[str],
    ) -> None:
        self.ancestor, self.local, self.remote, self.mode = ancestor, local, remote, mode
        self.first = first
        self.unknown = frozenset(unknown)
        self.verdicts: dict[str, _Verdict] = {}
        self.sides: dict[str, tuple[Entry | None, Entry | None]] = {}
        self.conflicts: dict[str, str] = {}
        self.agreed: dict[str, Entry | None] = {}
        self.frozen: set[str] = set()

    def plan(self, paths: Iterable[str] | None) -> Plan:
        candidates = self.ancestor.keys() | self.local.keys() | self.remote.keys() if paths is None else set(paths)
        for path in candidates:
            self._judge(path)
        self._restore_parents()
        self._keep_occupied_folders()
        self._drop_below_conflicts()
        return self._ordered_plan()

    # Each path by itself.

    def _judge(self, path: str) -> None:
        base, here, there = self.ancestor.get(path), self.local.get(path), self.remote.get(path)
        if here is there is base is None:
            return
        if self.unknown and self._is_frozen(path):
            self.frozen.add(path)
            return
        if same(here, there):
            if not same(here, base) or (base is None) != (here is None):
                self.agreed[path] = here
            return
        verdict = self._verdict(base, here, there)
        if isinstance(verdict, str):
            self.conflicts[path] = verdict
            return
        self.verdicts[path] = verdict
        if verdict is not _Verdict.LEAVE:  # of which there can be as many as the pod has files
            self.sides[path] = here, there

    def _verdict(self, base: Entry | None, here: Entry | None, there: Entry | None) -> _Verdict | str:
        """What to do about two different states: a verdict, or the reason of a conflict."""
        two_way = self.mode is Mode.TWO_WAY_SAFE
        if self.mode is Mode.ONE_WAY_REPLICA or same(there, base):
            return _Verdict.TO_REMOTE
        if same(here, base):
            return _Verdict.TO_LOCAL if two_way else _Verdict.LEAVE
        if there is None:
            return _Verdict.TO_REMOTE
        if here is None:
            return _Verdict.TO_LOCAL if two_way else "deleted here, changed on the pod; the pod's version is kept"
        if base is None:
            return "exists here and on the pod with different content, and the two were never synchronised"
        return "changed here and on the pod since they were last equal"

    def _is_frozen(self, path: str) -> bool:
        return path in self.unknown or any(parent in self.unknown for parent in _parents(path))

    # The tree as a whole.

    def _restore_parents(self) -> None:
        """Content that goes to a side needs folders above it there: content beats the deletion of its folder too."""
        standing: dict[_Verdict, set[str]] = {_Verdict.TO_REMOTE: set(), _Verdict.TO_LOCAL: set()}
        for path, verdict in list(self.verdicts.items()):
            if verdict is _Verdict.LEAVE:
                continue
            source, target = self._direction(verdict)
            if path not in source:
                continue
            for parent in _parents(path):
                if parent in standing[verdict]:
                    break
                above = target.get(parent)
                if above is not None and above.kind == "dir":
                    standing[verdict].add(parent)
                    break
                if self.verdicts.get(parent) is verdict or parent in self.conflicts:
                    continue
                if parent in self.frozen or parent not in source:
                    break
                if above is None:
                    self.verdicts[parent] = verdict
                else:
                    self._conflict(parent, "a folder with new content on one side, not a folder on the other")

    def _keep_occupied_folders(self) -> None:
        """A folder that still holds something to keep is neither removed nor replaced."""
        for side in Side:
            occupied, arriving = self._occupied(side)
            for path in sorted(occupied & self.verdicts.keys(), reverse=True):
                source, target = self._direction(self.verdicts[path])
                if (target is self.remote) is not (side is Side.REMOTE) or self.verdicts[path] is _Verdict.LEAVE:
                    continue
                now, then = target.get(path), source.get(path)
                if now is None or now.kind != "dir":
                    continue
                if then is not None:
                    self._conflict(path, "replaced by a file on one side, while its folder gained content on the other")
                elif path in arriving:
                    self.verdicts[path] = _Verdict.TO_LOCAL if side is Side.REMOTE else _Verdict.TO_REMOTE
                else:
                    del self.verdicts[path]

    def _occupied(self, side: Side) -> tuple[set[str], set[str]]:
        """The folders of *side* that hold something after this plan, and those whose content goes to the other side."""
        tree = self.remote if side is Side.REMOTE else self.local
        incoming = _Verdict.TO_REMOTE if side is Side.REMOTE else _Verdict.TO_LOCAL
        outgoing = _Verdict.TO_LOCAL if side is Side.REMOTE else _Verdict.TO_REMOTE
        source = self.local if side is Side.REMOTE else self.remote
        occupied: set[str] = set()
        arriving: set[str] = set()
        for path in self.verdicts:
            stays = path in source if self.verdicts[path] is incoming else path in tree
            if stays:
                _mark_parents(path, occupied)
                if self.verdicts[path] is outgoing:
                    _mark_parents(path, arriving)
        for path in (*self.conflicts, *self.frozen, *self.unknown):
            _mark_parents(path, occupied)
        return occupied, arriving

    def _drop_below_conflicts(self) -> None:
        """Nothing is touched below a conflict: half a replaced folder would be neither version."""
        if not self.conflicts:
            return
        for path in [path for path in self.verdicts if any(above in self.conflicts for above in _parents(path))]:
            del self.verdicts[path]
        for path in [path for path in self.conflicts if any(above in self.conflicts for above in _parents(path))]:
            del self.conflicts[path]

    def _conflict(self, path: str, reason: str) -> None:
        self.verdicts.pop(path, None)
        self.conflicts[path] = reason

    def _direction(self, verdict: _Verdict) -> tuple[Tree, Tree]:
        return (self.remote, self.local) if verdict is _Verdict.TO_LOCAL else (self.local, self.remote)

    # The order of work.

    def _ordered_plan(self) -> Plan:
        clearing: list[Action] = []
        creating: list[Action] = []
        deleting: list[Action] = []
        pod_only = [path for path, verdict in self.verdicts.items() if verdict is _Verdict.LEAVE]
        for path in sorted(path for path, verdict in self.verdicts.items() if verdict is not _Verdict.LEAVE):
            here, there = self.sides.get(path) or (self.local.get(path), self.remote.get(path))
            source, target = self._direction(self.verdicts[path])
            to_here = target is self.local
            action = Action(path, Side.LOCAL, here, there) if to_here else Action(path, Side.REMOTE, there, here)
            if action.new is not None:
                creating.append(action)
            elif path in self.first or any(
                above in source for above in _parents(path) if source.get(above, _FOLDER).kind != "dir"
            ):
                clearing.append(action)
            else:
                deleting.append(action)
        # Deletions come last because a save by rename looks like "delete, then create": the pod must not see the gap.
        ordered = [*reversed(clearing), *creating, *reversed(deleting)]
        conflicts = tuple(Conflict(path, reason) for path, reason in sorted(self.conflicts.items()))
        return Plan(tuple(ordered), conflicts, self.agreed, tuple(sorted(pod_only)))


_FOLDER = Entry(kind="dir", size=0, executable=False, digest="", target="", mtime_ns=0)


def _parents(path: str) -> Iterator[str]:
    """The folders above *path*, nearest first."""
    cut = path.rfind("/")
    while cut > 0:
        yield path[:cut]
        cut = path.rfind("/", 0, cut)


def _mark_parents(path: str, marked: set[str]) -> None:
    for parent in _parents(path):
        if parent in marked:
            return
        marked.add(parent)
