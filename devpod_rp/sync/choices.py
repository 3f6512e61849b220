"""What a user decides about single paths: whose version stands, what to fetch, what to bring back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Any

from devpod_rp.agent.files.entries import Entry, relative
from devpod_rp.errors import SyncError, UsageError
from devpod_rp.pod.link import AgentLink
from devpod_rp.sync.cycle import Cycles
from devpod_rp.sync.download import read_version
from devpod_rp.sync.known import Tally
from devpod_rp.sync.local import LocalFolder
from devpod_rp.sync.reconcile import Action, Mode, Plan, Side, reconcile
from devpod_rp.sync.remote import Destination, trashed
from devpod_rp.sync.status import moment
from devpod_rp.sync.steps import item_for

KEEP = ("local", "pod", "both")


@dataclass(frozen=True)
class Moment:
    """What one cycle replaced or deleted on one *side*, "pod" or "here": *paths*, whose versions take *size_bytes*.
    *name* is what :meth:`Choices.undo` knows it by."""

    name: str
    side: str
    paths: tuple[str, ...]
    size_bytes: int

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.name,
            "time": self._time(),
            "side": self.side,
            "paths": list(self.paths),
            "size_bytes": self.size_bytes,
        }

    def _time(self) -> str | None:
        try:
            taken = datetime.strptime(self.name, "%Y%m%dT%H%M%S.%fZ")
        except ValueError:  # the pod says it, and can say anything
            return None
        return taken.replace(tzinfo=timezone.utc).isoformat()


class Choices:
    """Carries out a user's decisions with the trees as they were just seen."""

    def __init__(self, cycles: Cycles, folder: LocalFolder, link: AgentLink, destination: Destination) -> None:
        self._cycles = cycles
        self._folder = folder
        self._link = link
        self._destination = destination
        self._plan = uuid.uuid4().hex

    def resolve(self, path: str, keep: str, tally: Tally) -> list[str]:
        """End the conflict at *path*; returns the paths that were written. What loses goes to its side's trash.

        Raises:
            UsageError: there is no conflict at *path*, or no such choice.
        """
        cycles = self._cycles
        if keep not in KEEP:
            raise UsageError(f"--keep {keep} is no choice.", hint=f"It can be {', '.join(KEEP)}.")
        if path not in cycles.known.conflicts:
            raise UsageError(f"There is no conflict at {path}.", hint="devpod-rp sync conflicts lists them.")
        there, here = self._theirs(), cycles.known.here.entries
        affected = [
            each for each in {*there, *here, *cycles.known.ancestor} if each == path or each.startswith(path + "/")
        ]
        cycles.learn(self._link, self._destination, affected)
        written: list[str] = []
        if keep == "both" and path in there and path in here:
            written.append(self._fetch_beside(path))
        # The side that gives way is taken for unchanged; then the other one is the only one that changed.
        yielding = here if keep == "pod" or path not in here else there
        plan = reconcile(
            {each: yielding[each] for each in affected if each in yielding}, here, there, Mode.TWO_WAY_SAFE,
            paths=affected,
        )  # fmt: skip
        if plan.conflicts:
            raise SyncError(f"{path} cannot be resolved as a whole: {plan.conflicts[0].reason}.")
        cycles.carry_out(self._link, self._destination, plan, tally)
        cycles.known.conflicts.pop(path, None)
        return [*written, *(action.path for action in plan.actions)]

    def _fetch_beside(self, path: str) -> str:
        """Bring the pod's version here under a name of its own; the next cycle sends it back as any new file."""
        entry = self._theirs()[path]
        if entry.kind != "file":
            raise UsageError(f"{path} is not a file on the pod.", hint="--keep local or --keep pod takes one side's.")
        beside, staged = self._conflict_name(path, entry), uuid.uuid4().hex
        new, _stamp = read_version(
            self._link, self._destination, path, None, self._writer(staged), self._cycles.throttle
        )
        self._write(Action(beside, Side.LOCAL, None, new), staged)
        return beside

    def _writer(self, staged: str) -> Callable[[int, bytes], None]:
        return lambda offset, data: self._folder.write_part(staged, offset, data)

    def _conflict_name(self, path: str, entry: Entry) -> str:
        """``name (conflict from pod 2026-11-23 14.02).ext``, the time being that of the pod's version."""
        name = PurePosixPath(path)
        when = moment(entry.mtime_ns)
        time = "" if when is None else when.strftime(" %Y-%m-%d %H.%M")
        number = 1
        while True:
            again = "" if number == 1 else f" {number}"
            beside = str(name.with_name(f"{name.stem} (conflict from pod{time}){again}{name.suffix}"))
            if beside not in self._cycles.known.here.entries and beside not in self._theirs():
                return beside
            number += 1

    def pull(self, paths: Sequence[str], tally: Tally) -> list[str]:
        """Bring here what only the pod has or changed (below *paths*, or all of it); returns what came.

        Deletions on the pod are not repeated here. Raises UsageError when a path is not among them.
        """
        cycles = self._cycles
        for path in paths:
            if not any(_covers(path, each) for each in cycles.known.pod_only):
                raise UsageError(f"The pod has nothing new at {path}.", hint="devpod-rp sync why PATH explains.")
        wanted = {each for each in cycles.known.pod_only if not paths or any(_covers(path, each) for path in paths)}
        wanted |= {above for each in wanted for above in _folders(each)}
        known, unwelcome = cycles.known, cycles.caveats.unwelcome(wanted)
        plan = reconcile(
            known.ancestor, known.here.entries, self._theirs(), Mode.TWO_WAY_SAFE, unknown=unwelcome, paths=wanted
        )
        coming = tuple(action for action in plan.actions if action.side is Side.LOCAL and action.new is not None)
        cycles.carry_out(self._link, self._destination, Plan(coming, (), {}, ()), tally)
        return [action.path for action in coming if action.new is not None and action.new.kind != "dir"]

    def trash(self, path: str | None) -> list[Moment]:
        """What :meth:`undo` can bring back of *path*, or of everything; the newest moment first."""
        moments: dict[tuple[str, str], list[list[Any]]] = {}
        for side, row in self._trashed(path):
            moments.setdefault((row[0], side), []).append(row)
        return [
            Moment(name, side, tuple(sorted(row[1] for row in rows)), sum(row[3] for row in rows))
            for (name, side), rows in sorted(moments.items(), reverse=True)
        ]

    def _trashed(self, path: str | None) -> list[tuple[str, list[Any]]]:
        found = [("pod", row) for row in trashed(self._link, self._destination)]
        found += [("here", row) for row in self._folder.trashed()]
        return [each for each in found if path is None or _covers(path, each[1][1])]

    def undo(self, path: str | None, at: str | None = None) -> list[str]:
        """Bring back here the version of *path* that was replaced or deleted last, on whichever side it lay.

        Without *path* everything comes back that one cycle took, the last one that took something; with *at* what that
        moment took, see :meth:`trash`. What is here now goes to the trash in turn, so a second undo takes the first one
        back. Returns the paths; the next cycle carries them to the pod.

        Raises:
            UsageError: the trash holds nothing of it.
        """
        found = self._trashed(path)
        if at is not None:
            found = [each for each in found if each[1][0] == at]
        if not found:
            what = (path or "this folder") + ("" if at is None else f" from {at}")
            hint = "Versions are kept for 7 days, up to 2 GiB; devpod-rp sync trash lists them."
            raise UsageError(f"The trash holds nothing of {what}.", hint=hint)
        newest = max(row[0] for _, row in found)
        chosen = {row[1]: (side, row) for side, row in found if row[0] == newest}
        for each, (side, row) in sorted(chosen.items()):
            self._bring_back(each, side, row)
        return sorted(chosen)

    def _bring_back(self, path: str, side: str, row: list[Any]) -> None:
        if not relative(path):
            raise SyncError("The agent on the pod sent an answer that makes no sense; nothing was changed.")
        staged = uuid.uuid4().hex
        taken_at, _path, kind, _size, mtime_ns, target = row
        if kind == "symlink":
            entry = Entry("symlink", 0, False, "", target, mtime_ns)
        elif side == "here":
            entry = self._folder.copy_trashed(taken_at, path, staged)
        else:
            entry, _stamp = read_version(
                self._link, self._destination, path, taken_at, self._writer(staged), self._cycles.throttle
            )
        for above in reversed(list(_folders(path))):
            if above not in self._cycles.known.here.entries:
                self._write(Action(above, Side.LOCAL, None, Entry("dir", 0, False, "", "", 0)), None)
        self._cycles.known.here.look_again({path})
        self._write(
            Action(path, Side.LOCAL, self._cycles.known.here.entries.get(path), entry),
            staged if entry.kind == "file" else None,
        )

    def _write(self, action: Action, staged: str | None) -> None:
        item = item_for(action)
        if staged is not None:
            item.update(do="file", staged=staged)
        try:
            (answer,) = self._folder.apply([item], b"", durable=True, plan=self._plan)
        finally:
            if staged is not None:
                self._folder.part(staged).unlink(missing_ok=True)
        if answer.get("ok") is not True:
            raise SyncError(f"{action.path} could not be written here: {answer.get('message')}.")
        self._cycles.known.here.written(action.path, action.new)

    def _theirs(self) -> Mapping[str, Entry]:
        assert self._cycles.known.remote is not None
        return self._cycles.known.remote.entries


def _covers(path: str, each: str) -> bool:
    return each == path or each.startswith(path.rstrip("/") + "/")


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
