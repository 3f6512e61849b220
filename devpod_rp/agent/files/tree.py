"""What a folder holds, seen by one walk that follows no link, opens no pipe and mistakes no failure for absence."""

from __future__ import annotations

import os
import stat
import time
from typing import (
    AbstractSet,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
)

from devpod_rp.agent.files import content, places
from devpod_rp.agent.files.contents import Contents
from devpod_rp.agent.files.entries import FILE, FOLDER, LINK, Entry, Snapshot, relative
from devpod_rp.agent.files.listing import Inside
from devpod_rp.agent.files.picture import Picture
from devpod_rp.agent.files.places import Place
from devpod_rp.agent.files.stamps import Stamp

Recall = Callable[[str], Optional[Tuple[Stamp, str]]]
"""The digest of the file at a path, and the stamp that it had when it was hashed, if that is known."""

Keep = Callable[[str, bool], bool]
Arrive = Callable[[str, AbstractSet[str]], None]
Progress = Callable[[int, int], None]

_SECOND_NS = 1_000_000_000
# Two ticks: kernels stamp with the time of the last timer interrupt (at most 10 ms apart, 16 ms on Windows), file
# systems without fractions of a second with one or two seconds (ext3, vfat).
FRESH_NS = 40_000_000
_FRESH_COARSE_NS = 4 * _SECOND_NS
_PROGRESS_SECONDS = 0.1
_FILES_AT_ONCE, _BYTES_AT_ONCE = 16, 1 << 20
_SPECIAL = {
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}
_FORM, _REGULAR = 0o170000, stat.S_IFREG
_A_FOLDER = Entry(FOLDER, 0, False, "", "", 0)

_Files = List[Tuple[str, Stamp]]
"""Names, with what lstat says of each."""


def look(
    root: str,
    paths: Iterable[str],
    *,
    recall: Optional[Recall] = None,
    now_ns: Optional[int] = None,
    contents: Optional[Contents] = None,
) -> Snapshot:
    """The present state of single *paths* below *root*, reached component by component, no link followed.

    A path that is in none of the snapshot's maps is absent, which includes that a folder above it is gone or is now a
    link or a file. Folders are reported, not listed. Paths must be `relative`.

    Raises:
        OSError: *root* is no folder.
    """
    walk = Walk(root, recall=recall, now_ns=now_ns, contents=contents)
    walk.look(paths)
    return walk.take()


class _Listed(Inside):
    """What a listing found, with the times (ns) of its *links*.

    Not *complete* where something could not be seen, or is neither file, folder nor link. *fresh* where a file was
    written so recently that another write need not show in its stamp.
    """

    def __init__(self) -> None:
        super().__init__()
        self.times: List[int] = []
        self.complete = True
        self.fresh = False


class Walk:
    """One scan in steps, so that what was found can be sent while the rest is still being read.

    It sees everything below *root* that *keep* (path, is_folder) and *prune_names* let in; a pruned folder is not
    entered. *arrive* (folder, the names in it) is told of each folder before *keep* is asked about what is in it.
    *progress* is told entries seen and bytes hashed, at most ten times a second. *contents* gets what was read.
    *now_ns* is the file system's clock when it is not ours (a network volume). *root* itself must not be a symbolic
    link: callers resolve their own path.

    Digests are taken from *recall* where the stamp is the same. With *reads* False no file is opened: those that
    *recall* has no digest for are recorded with an empty one. A folder whose word in *words* is still right is told as
    the `same`, and nothing of what is directly in it. *picture* is told what is in each folder.

    With *words*, also empty ones, the attribute of that name afterwards holds the words of all folders that have one:
    of everything in them, all is known, and any later change would show. *listed* is the folder that was listed last.
    """

    def __init__(
        self,
        root: str,
        *,
        keep: Optional[Keep] = None,
        arrive: Optional[Arrive] = None,
        prune_names: FrozenSet[str] = frozenset(),
        recall: Optional[Recall] = None,
        words: Optional[Mapping[str, bytes]] = None,
        picture: Optional[Picture] = None,
        progress: Optional[Progress] = None,
        now_ns: Optional[int] = None,
        reads: bool = True,
        contents: Optional[Contents] = None,
    ) -> None:
        self._root = root
        self._keep = keep
        self._arrive_at = arrive
        self._prune_names = prune_names
        self._recall: Recall = _nothing_known if recall is None else recall
        self._known_words = words
        self._picture = picture
        self._progress = progress
        self._reads = reads
        self._contents = contents
        self._told_at = 0.0
        self._now_ns = now_ns
        self.seen = 0
        self.hashed_bytes = 0
        self.words: Dict[str, bytes] = {}
        self.listed = ""
        self._found = _nothing()

    def take(self) -> Snapshot:
        """What was found since the last call."""
        found, self._found = self._found, _nothing()
        return found

    def found(self) -> Dict[str, Entry]:
        """The entries that the next `take` would return, open to correction."""
        return self._found.entries

    @property
    def waiting(self) -> int:
        """How many entries the next `take` would return."""
        return len(self._found.entries)

    def steps(self, below: str = "") -> Iterator[None]:
        """Walk; control comes back after every folder listed and every few files hashed.

        *below* limits the walk to what is in that folder (relative, reached without following links). Paths stay
        relative to the root.

        Raises:
            OSError: the root (or *below*) is no folder or cannot be listed.
        """
        root = places.enter(self._root)
        try:
            top = _below(root, below)
        finally:
            if below:
                root.close()
        start = below + "/" if below else ""
        stack: List[Tuple[Place, str, List[str]]] = []
        try:
            folders, files = self._list(top, below)
            stack.append((top, start, folders))
            yield
            yield from self._hash_all(top, start, files)
            while stack:
                place, prefix, folders = stack[-1]
                if not folders:
                    stack.pop()
                    place.close()
                    continue
                name = folders.pop()
                path = prefix + name
                inside = self._enter(place, name, path)
                if inside is None:
                    continue
                child, deeper, files = inside
                stack.append((child, path + "/", deeper))
                yield
                yield from self._hash_all(child, path + "/", files)
        finally:
            for place, _prefix, _folders in stack:
                place.close()
            top.close()

    def look(self, paths: Iterable[str]) -> None:
        # Those of one folder together, which is entered once for all of them.
        by_folder: Dict[str, List[str]] = {}
        for path in paths:
            if not relative(path):
                raise ValueError("not a relative path: {0!r}".format(path))
            by_folder.setdefault(path.rpartition("/")[0], []).append(path)
        top = places.enter(self._root)
        try:
            for folder, inside in by_folder.items():
                self._look_into(top, folder, inside)
        finally:
            top.close()

    def _look_into(self, top: Place, folder: str, paths: List[str]) -> None:
        try:
            place = _below(top, folder)
        except OSError as error:
            if not places.is_absence(error):
                self._found.unknown.update(dict.fromkeys(paths, reason(error)))
            return
        try:
            for path in paths:
                self._look_at(place, path)
        finally:
            if place is not top:
                place.close()

    def _look_at(self, place: Place, path: str) -> None:
        name = path.rpartition("/")[2]
        try:
            status = place.status(name)
            if stat.S_ISDIR(status.st_mode):
                self._found.entries[path] = _A_FOLDER
            elif not stat.S_ISREG(status.st_mode):
                self._record_other(place, name, path, status)
            else:
                known, stamp = self._recall(path), Stamp.of(status)
                if known is not None and known[0] == stamp:
                    self._record(path, *known)
                else:
                    self._hash(place, name, path, stamp, self._now())
        except OSError as error:
            if not places.is_absence(error):
                self._found.unknown[path] = reason(error)

    def _enter(self, place: Place, name: str, path: str) -> "Optional[Tuple[Place, List[str], _Files]]":
        try:
            child = place.enter(name)
        except OSError as error:
            self._miss(path, error)
            return None
        try:
            below, files = self._list(child, path)
        except OSError as error:
            # Half a listing is no listing: what is in there is unknown, not gone.
            self._miss(path, error)
            child.close()
            return None
        return child, below, files

    def _miss(self, path: str, error: OSError) -> None:
        self._found.unknown[path] = reason(error)
        if self._picture is not None:
            self._picture.proof = False

    def _list(self, place: Place, folder: str) -> "Tuple[List[str], _Files]":
        """Names of the folders to enter, and the files to hash; everything else of the listing is done here."""
        own = place.own_status()
        self.listed = folder
        now_ns = self._now()
        inside = self._inside(place, folder + "/" if folder else "", now_ns)
        self._tell(len(inside.folders) + len(inside.links) + len(inside.files))
        is_proof = inside.complete and not inside.fresh
        if self._picture is not None:
            self._picture.add(folder, own, inside.files, is_proof and not _is_fresh(own.st_ctime_ns, now_ns))
        if is_proof and self._known_words is not None:
            word = self.words[folder] = inside.word()
            if self._known_words.get(folder) == word:
                self._found.same.append(folder)
                return inside.folders, []
        return inside.folders, self._record_all(inside, folder + "/" if folder else "")

    def _inside(self, place: Place, prefix: str, now_ns: int) -> _Listed:
        # The loop that a scan of an unchanged tree spends its time in: local names, no call per entry without need.
        keep, prune_names, status_of, stamp_of = self._keep, self._prune_names, place.status_of, Stamp.bytes_of
        inside = _Listed()
        folders, files, old_ns = inside.folders, inside.files, now_ns - _FRESH_COARSE_NS
        with place.listing() as listing:
            for entry in self._arrived(prefix, listing):
                name = entry.name
                if name in prune_names:
                    continue
                try:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if keep is not None and not keep(prefix + name, is_folder):
                        continue
                    if is_folder:
                        folders.append(name)
                        continue
                    status = status_of(entry)
                    form = status.st_mode & _FORM
                    if form == _REGULAR:
                        files[name] = stamp_of(status)
                        if status.st_ctime_ns > old_ns and _is_fresh(status.st_ctime_ns, now_ns):
                            inside.fresh = True
                    elif form == stat.S_IFLNK:
                        inside.links.append((name, place.target(name)))
                        inside.times.append(status.st_mtime_ns)
                    else:
                        self._found.special[prefix + name] = _SPECIAL.get(form, "no file")
                        inside.complete = False
                except OSError as error:
                    self._found.unknown[prefix + name] = reason(error)
                    inside.complete = False
        return inside

    def _arrived(self, prefix: str, listing: "Iterator[os.DirEntry[str]]") -> "Iterable[os.DirEntry[str]]":
        if self._arrive_at is None:
            return listing
        entries = list(listing)
        self._arrive_at(prefix[:-1], {entry.name for entry in entries})
        return entries

    def _record_all(self, inside: _Listed, prefix: str) -> _Files:
        """Record what is *inside*; returns the files whose content must be read."""
        entries, recall, reads = self._found.entries, self._recall, self._reads
        for name in inside.folders:
            entries[prefix + name] = _A_FOLDER
        for (name, target), mtime_ns in zip(inside.links, inside.times):  # noqa: B905 - 3.8 has no strict
            entries[prefix + name] = Entry(LINK, 0, False, "", target, mtime_ns)
        files: _Files = []
        for name, stamp in inside.files.items():
            path = prefix + name
            known = recall(path)
            if known is not None and known[0] == stamp:
                self._record(path, *known)
            elif reads:
                files.append((name, Stamp(stamp)))
            else:
                self._record(path, Stamp(stamp), "")
        return files

    def _now(self) -> int:
        return time.time_ns() if self._now_ns is None else self._now_ns

    def _record_other(self, place: Place, name: str, path: str, status: os.stat_result) -> None:
        form = stat.S_IFMT(status.st_mode)
        if form == stat.S_IFLNK:
            self._found.entries[path] = Entry(LINK, 0, False, "", place.target(name), status.st_mtime_ns)
        else:
            self._found.special[path] = _SPECIAL.get(form, "no file")

    def _hash_all(self, place: Place, prefix: str, files: _Files) -> Iterator[None]:
        rested_at = self.hashed_bytes
        now_ns = self._now()
        for number, (name, stamp) in enumerate(files, 1):
            self._hash(place, name, prefix + name, stamp, now_ns)
            if number % _FILES_AT_ONCE == 0 or self.hashed_bytes - rested_at > _BYTES_AT_ONCE:
                rested_at = self.hashed_bytes
                self._tell(0)
                yield
        if files:
            yield

    def _hash(self, place: Place, name: str, path: str, stamp: Stamp, now_ns: int, again: bool = True) -> None:
        """Read the file that had *stamp* a moment ago; *now_ns* is not later than the reading. A small one that has
        another by now is read *again*, once."""
        try:
            descriptor = place.open(name)
        except OSError as error:
            self._found.unknown[path] = reason(error)
            return
        try:
            digest = self._digest(path, descriptor, stamp.size)
            after = os.fstat(descriptor)
        except OSError as error:
            self._found.unknown[path] = reason(error)
            return
        finally:
            os.close(descriptor)
        now = Stamp.of(after)
        if now != stamp:
            if again and stat.S_ISREG(after.st_mode) and after.st_size <= _BYTES_AT_ONCE >= stamp.size:
                self._hash(place, name, path, now, now_ns, again=False)
            else:
                self._found.unknown[path] = "it was written while it was read"
            return
        self._record(path, stamp, digest)
        if _is_fresh(after.st_ctime_ns, now_ns):
            self._found.fresh.add(path)

    def _digest(self, path: str, descriptor: int, size: int) -> str:
        contents = self._contents
        if contents is None:
            return content.digest_of(descriptor, size, self._read)
        if not contents.wants(size):
            blocks = content.blocks_of(descriptor, size, self._read)
            return contents.hold_blocks(path, blocks)
        data = os.read(descriptor, size + 1)
        self.hashed_bytes += len(data)
        return contents.hold(path, data)

    def _record(self, path: str, stamp: Stamp, digest: str) -> None:
        self._found.entries[path] = _file(stamp, digest)
        self._found.stamps[path] = stamp

    def _read(self, count: int) -> None:
        self.hashed_bytes += count
        self._tell(0)

    def _tell(self, listed: int) -> None:
        self.seen += listed
        if self._progress is not None and time.monotonic() - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = time.monotonic()
            self._progress(self.seen, self.hashed_bytes)


def _below(top: Place, folder: str) -> Place:
    """*folder* below *top*, which stays open; *top* itself where *folder* is "". Raises OSError."""
    place = top
    for part in folder.split("/") if folder else ():
        try:
            inside = place.enter(part)
        finally:
            if place is not top:
                place.close()
        place = inside
    return place


def _nothing_known(_path: str) -> None:
    return None


def _nothing() -> Snapshot:
    return Snapshot({}, {}, {}, {}, set(), [])


def _is_fresh(ctime_ns: int, now_ns: int) -> bool:
    return ctime_ns > now_ns - (FRESH_NS if ctime_ns % _SECOND_NS else _FRESH_COARSE_NS)


def _file(stamp: Stamp, digest: str) -> Entry:
    _ino, size, mtime_ns, _ctime_ns, mode = stamp.numbers()
    # What Entry(...) does, less one Python call for each of a hundred thousand files.
    return tuple.__new__(Entry, (FILE, size, mode & stat.S_IXUSR != 0, digest, "", mtime_ns))


def reason(error: OSError) -> str:
    return error.strerror or str(error)
