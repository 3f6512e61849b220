"""Saving what a stop would destroy when nobody is there to decide: everything that is not known to be no loss.

The launcher's guard judges with a table of rules; the pod gets the part of it that says "no loss" as plain patterns.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Pattern, Sequence, Tuple

from devpod_rp.agent.exposure import copies, packages, repositories
from devpod_rp.agent.exposure.examine import Exposure, examine, held, people
from devpod_rp.agent.exposure.packages import Package
from devpod_rp.agent.exposure.recipes import Recipe, downloads
from devpod_rp.agent.files.changes import Change, Stamp, look
from devpod_rp.agent.machine.container import identity
from devpod_rp.agent.machine.mounts import lies_below
from devpod_rp.agent.rescue.noting import Noting, note
from devpod_rp.agent.rescue.saving import rescue
from devpod_rp.agent.wire import Refusal

_LOOKS = 3
_NAMED = 3
# Nobody waits for the answer, and a file that was compared need not be copied.
_COMPARING = copies.Budget(seconds=120.0, size_bytes=16 << 30)


class Saved(NamedTuple):
    """What a rescue saved; *destination* is empty when there was nothing to save."""

    destination: str
    files: int
    size_bytes: int


class NoLoss:
    """The paths that are no loss; *tables* hold (pattern, only as the boot left it), the first match of a table counts.

    Raises re.error, TypeError or ValueError for what is no such table.
    """

    def __init__(self, tables: Sequence[Sequence[Sequence[Any]]]) -> None:
        self._tables: List[Tuple[Optional[Pattern[str]], List[bool]]] = []
        for table in tables:
            groups = "|".join("(?P<p{0}>{1})".format(number, pattern) for number, (pattern, _) in enumerate(table))
            expression = re.compile(groups, re.DOTALL) if table else None
            self._tables.append((expression, [bool(as_booted) for _, as_booted in table]))

    def covers(self, path: str, changed_after_boot: bool) -> bool:
        for expression, as_booted in self._tables:
            found = expression.fullmatch(path) if expression is not None else None
            if found is None or found.lastgroup is None:
                continue
            if not (as_booted[int(found.lastgroup[1:])] and changed_after_boot):
                return True
        return False


def save_all(
    volume: Optional[str],
    no_loss: NoLoss,
    *,
    noting: Optional[Noting] = None,
    root: str = "/",
    proc: Path = Path("/proc"),
) -> Saved:
    """Copy to *volume* whatever exists only on the container disk, until a last look finds nothing left.

    Raises:
        Refusal: something would be lost: there is no volume, or not everything could be looked at or saved.
    """
    total = Saved("", 0, 0)
    for _ in range(_LOOKS):
        stake = _seen_whole(volume, no_loss, noting, root, proc)
        left = [each.path for each in stake.changes]
        if not left:
            return total
        if volume is None:
            raise Refusal("not-permitted", "there is no volume to save {0} to".format(_list(left)))
        saved = _finished(rescue(left, volume, stake.exposure.survey, root=root, container=identity(proc)))
        if saved.failed:
            first = next(iter(saved.failed.items()))
            raise Refusal("unexpected", "{0} could not be saved: {1}".format(*first))
        total = Saved(saved.destination, total.files + len(saved.saved), total.size_bytes + saved.size_bytes)
    raise Refusal("busy", "files on the container disk keep changing: {0}".format(_list(left)))


def _seen_whole(volume: Optional[str], no_loss: NoLoss, noting: Optional[Noting], root: str, proc: Path) -> "Stake":
    """What is at stake, smallest first: of this a volume that is too small takes most. Notes what is installed."""
    recipes = noting.recipes if noting is not None else ()
    stake = at_stake(volume, no_loss, _COMPARING, recipes=recipes, root=root, proc=proc)
    if stake.problems:
        path, reason = next(iter(stake.problems.items()))
        raise Refusal("unexpected", "could not look into {0}: {1}".format(path, reason))
    found = repositories.examine(stake.unowned, stake.exposure.survey.volumes, root=root)
    note(noting, volume, stake.packages, found.repositories, root=root, proc=proc)
    left = [each for each in stake.changes if each.path not in found.paths]
    return stake._replace(changes=sorted(left, key=lambda each: (each.stamp.size, -each.stamp.mtime_ns)))


class Stake(NamedTuple):
    """What a stop would destroy, in no order; *problems* are places that could not be looked into."""

    changes: List[Change]
    problems: Dict[str, str]
    exposure: Exposure
    packages: List[Package]  # what comes back with a command, but for clones of repositories
    unowned: List[Change]  # all that no package owns, at stake or not


def at_stake(
    volume: Optional[str],
    no_loss: NoLoss,
    comparing: copies.Budget,
    *,
    recipes: Sequence[Recipe] = (),
    proved: Optional[Mapping[str, Stamp]] = None,
    root: str = "/",
    proc: Path = Path("/proc"),
) -> Stake:
    """What exists only on the container disk, as far as *comparing* lets one look for copies on the volume.

    What is as it was *proved* to be a package's is left out unread, and not among the packages that are found.

    Raises:
        Refusal: the baseline of this disk cannot be read.
    """
    try:
        exposure = examine([] if volume is None else [volume], root=root, proc=proc)
    except ValueError as error:
        raise Refusal("unexpected", str(error)) from error
    known = proved or {}
    changes = [change for change in exposure.changes.found if known.get(change.path) != change.stamp]
    owned = packages.owned(changes, volumes=exposure.survey.volumes, root=root)
    unowned = [change for change in changes if change.path not in owned.paths]
    boot = exposure.baseline.stamps if exposure.baseline is not None else {}
    alive = _held(exposure, no_loss, root, proc)
    alive += [
        change
        for change in unowned
        if not no_loss.covers(change.path, change.path in boot) and not _points_into(change, exposure)
    ]
    paths = [change.path for change in alive]
    found = copies.find(
        paths, exposure.survey.volumes, comparing, borders=exposure.survey.roles, root=root, proc=proc
    ).paths
    return Stake(
        [each for each in alive if each.path not in found],
        exposure.changes.problems,
        exposure,
        [*owned.packages, *downloads(unowned, recipes)],
        unowned,
    )


def _held(exposure: Exposure, no_loss: NoLoss, root: str, proc: Path) -> List[Change]:
    """What was deleted while a process writes to it, unless nothing would be lost if it had its name still."""
    changes = []
    for each in held(people(exposure.baseline, proc), root, proc):
        if each.written and each.name and not no_loss.covers(each.path, False):
            try:
                changes.append(look(each.name, root=root))
            except OSError:
                continue  # closed meanwhile
    return changes


def _points_into(change: Change, exposure: Exposure) -> bool:
    """Whether this is a link into a volume, which loses nothing but itself."""
    target = change.target
    if target is None or "/../" in target + "/":
        return False
    return any(target == volume or lies_below(target, volume) for volume in exposure.survey.volumes)


def _finished(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _list(paths: Sequence[str]) -> str:
    more = " and {0} more".format(len(paths) - _NAMED) if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more
