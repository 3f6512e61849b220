"""What one side's disk cannot hold of what the other one has: such paths are named and left alone, never mangled. Pure.

A disk that takes "A" and "a" for one name would let the second overwrite the first; one without executable bits says
the same of every file. Neither is a change that anybody made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from devpod_rp.agent.files.abilities import PLAIN, Abilities
from devpod_rp.sync.reconcile import Tree, same
from devpod_rp.sync.trees import SideTree


@dataclass(frozen=True)
class Unfit:
    """*paths* of the source that cannot be made on the target, with the reason; *first* are paths of the target that
    have to go before others can come, because the disk takes their names for the same."""

    paths: Mapping[str, str]
    first: frozenset[str]


NOTHING = Unfit({}, frozenset())


@dataclass(frozen=True)
class Disks:
    """The disks of both sides; what the pod's names are to the one here matters only if they come here."""

    here: Abilities = PLAIN
    there: Abilities = PLAIN
    both_ways: bool = False

    @property
    def take_all_names(self) -> bool:
        """Whether nothing is ever unfit, which else takes a look at all names."""
        return _takes_all_names(self.there) and (not self.both_ways or _takes_all_names(self.here))

    def unfit(self, here: Tree, there: Tree, ancestor: Tree) -> Unfit:
        going = unfit(here, there, ancestor, self.there, "the pod's")
        coming = unfit(there, here, ancestor, self.here, "this side's") if self.both_ways else NOTHING
        return Unfit({**going.paths, **coming.paths}, going.first | coming.first)

    def level(self, here: SideTree, there: SideTree, ancestor: Tree, paths: Collection[str]) -> None:
        """Where a disk has no executable bits, take those of the other side for its own."""
        if not self.there.keeps_executable:
            level(there, here, ancestor, paths)
        elif not self.here.keeps_executable:
            level(here, there, ancestor, paths)


def unfit(source: Tree, target: Tree, ancestor: Tree, disk: Abilities, whose: str) -> Unfit:
    """What of *source* cannot come to *target*, which lies on *disk*; *whose* is its name in a sentence."""
    if _takes_all_names(disk):
        return NOTHING
    found: dict[str, str] = {}
    for path in source:
        objection = disk.objection(path.rpartition("/")[2]) if path not in target else None
        if objection is not None:
            found[path] = f"its name {objection}, which {whose} disk cannot hold"
    first: set[str] = set()
    if disk.folds:
        for names in _folded(source, target, disk):
            _choose(names, source, target, ancestor, whose, found, first)
    return Unfit(found, frozenset(first))


def _takes_all_names(disk: Abilities) -> bool:
    return disk._replace(keeps_executable=True) == PLAIN


def _folded(source: Tree, target: Tree, disk: Abilities) -> Iterable[list[str]]:
    """Groups of paths in one folder that *disk* takes for one."""
    groups: dict[tuple[str, str], set[str]] = {}
    for path in (*source, *target):
        folder, _, name = path.rpartition("/")
        groups.setdefault((folder, disk.folded(name)), set()).add(path)
    return [sorted(paths) for paths in groups.values() if len(paths) > 1]


def _choose(
    names: list[str], source: Tree, target: Tree, ancestor: Tree, whose: str, found: dict[str, str], first: set[str]
) -> None:
    there = [path for path in names if path in target]
    coming = [path for path in names if path in source]
    if (
        len(coming) == 1
        and there
        and coming[0] not in target
        and all(_goes(p, source, target, ancestor) for p in there)
    ):
        first.update(each for path in there for each in _at_or_below(path, target))
        return
    # What is there stays, else what was there last; that is never the user's to lose.
    stays = next((path for path in (*there, *(p for p in coming if p in ancestor), *coming)), None)
    for path in coming:
        if path != stays:
            found[path] = f"{whose} disk cannot tell its name from {stays}: upper and lower case are one to it"


def _goes(path: str, source: Tree, target: Tree, ancestor: Tree) -> bool:
    """Whether everything at *path* is what both sides agreed on, and was taken away from the source since."""
    return all(each not in source and same(target[each], ancestor.get(each)) for each in _at_or_below(path, target))


def _at_or_below(path: str, tree: Tree) -> list[str]:
    return [each for each in tree if each == path or each.startswith(path + "/")]


def level(entries: SideTree, other: Tree, ancestor: Tree, paths: Collection[str]) -> None:
    """Give the files at *paths*, which lie on a disk without executable bits, those of the *other* side."""
    for path in paths:
        entry = entries.get(path)
        if entry is None or entry.kind != "file":
            continue
        known = next((each for each in (other.get(path), ancestor.get(path)) if each and each.kind == "file"), None)
        executable = known is not None and known.executable
        if entry.executable != executable:
            entries.revise(path, entry._replace(executable=executable))
