"""The folder here as it was last seen: scanned as a whole, or looked at again where something was heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from devpod_rp.agent.files import collector, tree
from devpod_rp.agent.files.picture import Picture
from devpod_rp.agent.files.tree import Contents, Entry, Snapshot
from devpod_rp.progress import Event, Progress
from devpod_rp.sync.ignore import IgnoreRules
from devpod_rp.sync.journal import Cache
from devpod_rp.sync.links import leaves_the_folder
from devpod_rp.sync.status import Halts

_NOTHING = (None, "")


class Here:
    """*entries* can travel; about *unknown* paths (with the reason) and what is below them nothing may be decided.

    While *revision* stays the same, so does the picture.
    """

    def __init__(self, root: Path, rules: IgnoreRules, digests: Cache, halts: Halts, progress: Progress) -> None:
        self._root = root
        self._rules = rules
        self._halts = halts
        self._progress = progress
        self.digests = digests
        self.entries: dict[str, Entry] = {}
        self.unknown: dict[str, str] = {}
        self.contents = Contents()
        self.revision = 0
        self._picture: Picture | None = None

    def begin(self) -> Look:
        """Begin to read the folder; nothing of the picture changes before :meth:`take`."""

        def tell(seen: int, hashed: int) -> None:
            read = f", {hashed / 10**6:.0f} MB read" if hashed >= 10**6 else ""
            self._progress(Event("scan", f"Looking at the folder here: {seen} names{read}", seen, None, "files"))

        self.contents = Contents()
        walk = tree.Walk(
            str(self._root),
            keep=self._rules.keep,
            arrive=self._rules.arrive,
            known=self.digests,
            progress=tell,
            contents=self.contents,
        )
        return Look(walk, self._halts)

    def unchanged(self) -> bool:
        """Whether everything certainly is as it was when :meth:`take` was last called; False where nobody can tell."""
        return self._picture is not None and self._picture.holds()

    def take(self, look: Look) -> None:
        """Believe a look, which goes on until it is complete."""
        snapshot = look.all()
        self._picture = look.picture(str(self._root)) if self._rules.files_in(snapshot.entries) else None
        entries, unknown = portable(snapshot)
        if entries != self.entries or unknown != self.unknown:
            self.revision += 1
        self.entries, self.unknown = entries, unknown
        known = self.digests.get
        if any((known(path) or _NOTHING)[0] is not stamp for path, stamp in snapshot.stamps.items()):
            self.digests.learn_all(snapshot.digests())
        self.digests.keep_only(snapshot.stamps)

    def written(self, path: str, entry: Entry | None) -> None:
        """We wrote *entry* there ourselves, or removed what was there."""
        self.revision += 1
        self._picture = None
        self.digests.forget(path)
        if entry is None:
            self.entries.pop(path, None)
        else:
            self.entries[path] = entry

    def look_again(self, paths: set[str]) -> set[str]:
        """Bring the picture up to date at *paths* and below; returns every path that may differ now."""
        self.revision += 1
        self._picture = None
        seen = tree.look(str(self._root), paths, known=self.digests, contents=self.contents)
        for path in {*seen.entries, *seen.unknown, *seen.special}:
            if self._rules.ignored(path, _is_folder(seen, path)):
                for part in seen[:4]:
                    part.pop(path, None)
        self.digests.learn_all(seen.digests())
        for folder in tree.topmost(path for path in seen.entries if _is_folder(seen, path)):
            below = self._scan_below(folder)
            if below is not None:
                seen.entries.update(below.entries)
                seen.unknown.update(below.unknown)
                seen.special.update(below.special)
                self.digests.learn_all(below.digests())
        found, unknown = portable(seen)
        # What was at a path or below it and was not found now is gone, or is something else.
        stale = at_or_below(paths, self.entries) | {path for path in paths if path in self.unknown}
        for path in stale - found.keys():
            self.entries.pop(path, None)
            self.digests.forget(path)
        for path in stale:
            self.unknown.pop(path, None)
        self.entries.update(found)
        self.unknown.update(unknown)
        return stale | found.keys() | unknown.keys() | paths

    def _scan_below(self, folder: str) -> Snapshot | None:
        rules = self._rules
        try:
            return tree.scan(str(self._root), keep=rules.keep, arrive=rules.arrive, known=self.digests, below=folder)
        except OSError:
            return None  # gone again: the event of that follows


class Look:
    """One look at the folder, which can be left and taken up again: what was found is there before the rest is.

    Whatever goes on with it raises SyncHalted when the folder is gone.
    """

    def __init__(self, walk: tree.Walk, halts: Halts) -> None:
        self._walk = walk
        self._steps = walk.steps()
        self._halts = halts
        self._fresh: set[str] = set()
        self._seen = Snapshot({}, {}, {}, {}, self._fresh)
        self.complete = False

    @property
    def waiting(self) -> int:
        """How many entries the next :meth:`news` would return."""
        return self._walk.waiting

    def go_on(self, enough: Callable[[], bool]) -> None:
        """Look on until everything was seen, or it is *enough* for now."""
        try:
            with collector.paused():
                for _step in self._steps:
                    if enough():
                        return
        except OSError as error:
            raise self._halts.local_missing() from error
        self.complete = True

    def news(self) -> Snapshot:
        """What was found since the last call."""
        found = self._walk.take()
        entries, stamps, unknown, special, _fresh = self._seen
        entries.update(found.entries)
        stamps.update(found.stamps)
        unknown.update(found.unknown)
        special.update(found.special)
        self._fresh.update(found.fresh)
        return found

    def all(self) -> Snapshot:
        """Look on until the end; everything that was found from the beginning."""
        self.go_on(lambda: False)
        self.news()
        return self._seen

    def picture(self, root: str) -> Picture | None:
        """How to find out later whether all of it is still the same; None where that would be no proof."""
        picture = Picture.of(root, self._seen, self._walk.folders)
        return picture if picture.proof and self._walk.settled else None


def at_or_below(paths: set[str], entries: dict[str, Entry]) -> set[str]:
    """The paths of *entries* that are among *paths*, or inside a folder among them."""
    stale = {path for path in paths if path in entries}
    containers = {path for path in stale if entries[path].kind == "dir"}
    if containers:
        stale |= {path for path in entries if any(above in containers for above in folders_above(path))}
    return stale


def folders_above(path: str) -> Iterable[str]:
    """The folders that hold *path*, nearest first."""
    cut = path.rfind("/")
    while cut > 0:
        yield path[:cut]
        cut = path.rfind("/", 0, cut)


def portable(snapshot: Snapshot) -> tuple[dict[str, Entry], dict[str, str]]:
    frozen = {path: f"cannot be read here: {why}" for path, why in snapshot.unknown.items()}
    frozen.update({path: f"a {what} cannot be synchronised" for path, what in snapshot.special.items()})
    for path, entry in snapshot.entries.items():
        if entry.kind == "symlink" and leaves_the_folder(path, entry.target):
            frozen[path] = f"the link points out of the folder ({entry.target})"
    if not frozen:
        return snapshot.entries, frozen
    return {path: entry for path, entry in snapshot.entries.items() if path not in frozen}, frozen


def _is_folder(snapshot: Snapshot, path: str) -> bool:
    entry = snapshot.entries.get(path)
    return entry is not None and entry.kind == "dir"
