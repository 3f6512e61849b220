"""The folder here as it was last seen: scanned as a whole, or looked at again where something was heard."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from devpod_rp.agent.files import tree
from devpod_rp.agent.files.contents import Contents
from devpod_rp.agent.files.entries import Entry, Snapshot, topmost
from devpod_rp.agent.files.picture import Picture
from devpod_rp.progress import Event, Progress
from devpod_rp.sync.ignore import IgnoreRules
from devpod_rp.sync.links import leaves_the_folder
from devpod_rp.sync.status import Halts
from devpod_rp.sync.trees import SideTree

_AT_A_TIME = 1000

_AT_FIRST_BYTES = 16 << 20
"""What a first look, of which little is known yet, may keep of what it reads until there is a connection."""


class Here:
    """*entries* can travel; about *unknown* paths (with the reason) and what is below them nothing may be decided.

    While *revision* stays the same, so does *unknown*. Until something was *seen*, *entries* are what an earlier
    process saw. *overlooks* says that a file that was looked at has other names (hard links), of which nothing is
    heard and only a look at everything can tell.
    """

    def __init__(self, root: Path, rules: IgnoreRules, entries: SideTree, halts: Halts, progress: Progress) -> None:
        self._root = root
        self._rules = rules
        self._halts = halts
        self._progress = progress
        self.entries = entries
        self.unknown: dict[str, str] = {}
        self.contents = Contents()
        self.revision = 0
        self.seen = False
        self.overlooks = False
        self._picture: Picture | None = None

    def begin(self) -> Look:
        """Begin to read the folder; nothing is believed of it before :meth:`absorb`, :meth:`see` or :meth:`take`."""

        def tell(seen: int, hashed: int) -> None:
            read = f", {hashed / 10**6:.0f} MB read" if hashed >= 10**6 else ""
            self._progress(Event("scan", f"Looking at the folder here: {seen} names{read}", seen, None, "files"))

        # A first look has nothing to compare with, and is waited for.
        known = self.entries or None
        self.contents = Contents(_AT_FIRST_BYTES) if known is None else Contents()
        self.entries.spell()
        picture = None if known is None else Picture(str(self._root))
        walk = tree.Walk(
            str(self._root),
            sift=self._rules.sift,
            recall=None if known is None else known.recall,
            words=None if known is None else known.words,
            picture=picture,
            progress=tell,
            contents=self.contents,
        )
        return Look(walk, picture, self._halts)

    def names(self, path: str) -> int:
        """How many names (hard links) the file at *path* has; 1 for what is no file, or cannot be seen."""
        try:
            status = (self._root / path).lstat()
        except (OSError, ValueError):
            return 1
        return status.st_nlink if stat.S_ISREG(status.st_mode) else 1

    def forget_contents(self) -> None:
        """Nobody is about to send what was read."""
        self.contents = Contents()

    def unchanged(self) -> bool:
        """Whether everything certainly is as it was when :meth:`take` was last called; False where nobody can tell."""
        return self._picture is not None and self._picture.holds()

    def absorb(self, look: Look) -> dict[str, Entry]:
        """Believe what *look* found since it was last asked; returns what of it can travel, folders first."""
        found = look.news()
        entries, unknown = portable(found)
        look.found.update(entries)
        look.unknown.update(unknown)
        self._learn(entries, found)
        return entries

    def see(self, look: Look) -> None:
        """Go on with *look* to its end, and believe on the way what it finds; what it does not find is not gone yet."""
        while True:
            look.go_on(lambda: look.waiting >= _AT_A_TIME)
            self.absorb(look)
            if look.complete:
                return

    def take(self, look: Look) -> None:
        """Believe *look*, which goes on to its end, also in what it did not find."""
        self.see(look)
        entries = self.entries
        folders = 1 + entries.names - entries.files
        if look.found or len(look.same) < folders:
            for path in [path for path in entries if path not in look.found and folder_of(path) not in look.same]:
                entries.drop(path)
        # Of a folder with something in it that may not be decided about, nothing can be told in a word.
        wordless = {folder_of(path) for path in look.unknown}
        for folder, word in look.words.items():
            entries.spelt(folder, None if folder in wordless else word)
        if look.unknown != self.unknown:
            self.revision += 1
            self.unknown = look.unknown
        self._picture = look.picture if look.is_proof and self._rules.files_in(entries) else None
        self.seen = True
        self.overlooks = False

    def _learn(self, entries: Mapping[str, Entry], seen: Snapshot) -> None:
        stamp, fresh = seen.stamps.get, seen.fresh
        self.entries.put_all((path, entry, None if path in fresh else stamp(path)) for path, entry in entries.items())

    def written(self, path: str, entry: Entry | None) -> None:
        """We wrote *entry* there ourselves, or removed what was there."""
        self._picture = None
        if entry is None:
            self.entries.drop(path)
        else:
            self.entries.put(path, entry)

    def look_again(self, paths: set[str]) -> None:
        """Bring the picture up to date at *paths* and below; adds to them every other path that may differ now."""
        self.revision += 1
        self._picture = None
        # What was at a path or below it and is not found now is gone, or is something else.
        gone = at_or_below(paths, self.entries) | {path for path in paths if path in self.unknown}
        for path in gone:
            self.unknown.pop(path, None)
        asked = list(paths)
        paths |= gone
        for seen in self._seen_again(asked):
            entries, unknown = portable(seen)
            self._learn(entries, seen)
            self.overlooks |= bool(seen.linked)
            self.unknown.update(unknown)
            gone.difference_update(entries)
            paths.update(entries, unknown)
        for path in gone:
            self.entries.drop(path)

    def _seen_again(self, paths: Iterable[str]) -> Iterator[Snapshot]:
        """What is at *paths* and below them, some at a time."""
        folders: set[str] = set()
        waiting = iter(paths)
        while some := list(itertools.islice(waiting, _AT_A_TIME)):
            seen = tree.look(str(self._root), some, recall=self.entries.recall, contents=self.contents)
            for path in {*seen.entries, *seen.unknown, *seen.special}:
                if self._rules.ignored(path, _is_folder(seen, path)):
                    for part in seen[:4]:
                        part.pop(path, None)
            folders.update(path for path in seen.entries if _is_folder(seen, path))
            yield seen
        for folder in topmost(folders):
            walk = tree.Walk(str(self._root), sift=self._rules.sift, recall=self.entries.recall)
            # One that is gone again is what the next event tells of.
            with suppress(OSError):
                for _step in walk.steps(folder):
                    if walk.waiting >= _AT_A_TIME:
                        yield walk.take()
            yield walk.take()


class Look:
    """One look at the folder, which can be left and taken up again: what was found is there before the rest is.

    *found* is every path that can travel and was told, *same* every folder that is as it was known to be, *unknown*
    what nothing may be decided about. Whatever goes on with it raises SyncHalted when the folder is gone.
    """

    def __init__(self, walk: tree.Walk, picture: Picture | None, halts: Halts) -> None:
        self._walk = walk
        self._steps = walk.steps()
        self._halts = halts
        self._unread = False
        self.picture = picture
        self.words = walk.words
        self.found: set[str] = set()
        self.same: set[str] = set()
        self.unknown: dict[str, str] = {}
        self.complete = False

    @property
    def waiting(self) -> int:
        """How many entries the next :meth:`news` would return."""
        return self._walk.waiting

    @property
    def is_empty(self) -> bool:
        """Whether nothing was seen so far."""
        return self._walk.seen == 0

    @property
    def is_proof(self) -> bool:
        """Whether *picture*, while it holds, proves that everything still is as this look saw it."""
        return self.picture is not None and self.picture.proof and not self._unread

    def go_on(self, enough: Callable[[], bool]) -> None:
        """Look on until everything was seen, or it is *enough* for now."""
        try:
            for _step in self._steps:
                if enough():
                    return
        except OSError as error:
            raise self._halts.local_missing() from error
        self.complete = True

    def news(self) -> Snapshot:
        """What was found since the last call."""
        found = self._walk.take()
        self.same.update(found.same)
        self._unread |= bool(found.unknown)
        return found


def folder_of(path: str) -> str:
    """The folder that holds *path*; "" is the root."""
    return path.rpartition("/")[0]


def at_or_below(paths: set[str], entries: Mapping[str, Entry]) -> set[str]:
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
