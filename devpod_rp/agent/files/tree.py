"""What a folder holds, seen by one walk that follows no link, opens no pipe and mistakes no failure for absence."""

from __future__ import annotations

import os
import stat
import struct
from typing import (
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
)

from devpod_rp.agent.files import places
from devpod_rp.agent.files.contents import Contents
from devpod_rp.agent.files.entries import Entry, Snapshot, relative
from devpod_rp.agent.files.finds import (
    A_FOLDER,
    AT_ONCE_BYTES,
    FRESH_COARSE_NS,
    Finds,
    Progress,
    Recall,
    is_fresh,
    reason,
)
from devpod_rp.agent.files.listing import Inside
from devpod_rp.agent.files.picture import Picture
from devpod_rp.agent.files.places import Place
from devpod_rp.agent.files.stamps import LAYOUT, Stamp

Sift = Callable[[str, "Iterable[os.DirEntry[str]]"], "Iterable[os.DirEntry[str]]"]
"""Given what a folder of this path holds, that of it which takes part; asked top-down, once for each folder."""

_FILES_AT_ONCE = 16
_FORM, _REGULAR = 0o170000, stat.S_IFREG

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

    It sees everything below *root* that *sift* lets through; a folder that is left out is not entered. *progress* is
    told entries seen and bytes hashed, at most ten times a second. *contents* gets what was read. *now_ns* is the file
    system's clock when it is not ours (a network volume). *root* itself must not be a symbolic link: callers resolve
    their own path.

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
        sift: Optional[Sift] = None,
        recall: Optional[Recall] = None,
        words: Optional[Mapping[str, bytes]] = None,
        picture: Optional[Picture] = None,
        progress: Optional[Progress] = None,
        now_ns: Optional[int] = None,
        reads: bool = True,
        contents: Optional[Contents] = None,
    ) -> None:
        self._root = root
        self._sift: Sift = _everything if sift is None else sift
        self._known_words = words
        self._picture = picture
        self._reads = reads
        self._finds = Finds(recall, contents, progress, now_ns)
        self.words: Dict[str, bytes] = {}
        self.listed = ""

    def take(self) -> Snapshot:
        """What was found since the last call."""
        return self._finds.take()

    def found(self) -> Dict[str, Entry]:
        """The entries that the next `take` would return, open to correction."""
        return self._finds.present.entries

    @property
    def waiting(self) -> int:
        """How many entries the next `take` would return."""
        return len(self._finds.present.entries)

    @property
    def seen(self) -> int:
        """How many entries were seen so far."""
        return self._finds.seen

    @property
    def hashed_bytes(self) -> int:
        """How much was read so far."""
        return self._finds.hashed_bytes

    def steps(self, below: str = "") -> Iterator[None]:
        """Walk; control comes back after every folder listed and every few files read.

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
            yield from self._read_all(top, start, files)
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
                yield from self._read_all(child, path + "/", files)
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
                self._finds.present.unknown.update(dict.fromkeys(paths, reason(error)))
            return
        try:
            for path in paths:
                try:
                    self._finds.at(place, path)
                except OSError as error:
                    if not places.is_absence(error):
                        self._finds.unknown(path, error)
        finally:
            if place is not top:
                place.close()

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
        self._finds.unknown(path, error)
        if self._picture is not None:
            self._picture.proof = False

    def _list(self, place: Place, folder: str) -> "Tuple[List[str], _Files]":
        """Names of the folders to enter, and the files to hash; everything else of the listing is done here."""
        own = None if self._picture is None else place.own_status()
        self.listed = folder
        now_ns = self._finds.now()
        inside = self._inside(place, folder, now_ns)
        self._finds.tell(len(inside.folders) + len(inside.links) + len(inside.files))
        is_proof = inside.complete and not inside.fresh
        if self._picture is not None and own is not None:
            self._picture.add(folder, own, inside.files, is_proof and not is_fresh(own.st_ctime_ns, now_ns))
        if is_proof and self._known_words is not None:
            word = self.words[folder] = inside.word()
            if self._known_words.get(folder) == word:
                self._finds.present.same.append(folder)
                return inside.folders, []
        return inside.folders, self._record_all(inside, folder + "/" if folder else "")

    def _inside(self, place: Place, folder: str, now_ns: int) -> _Listed:
        # The loop that a scan of an unchanged tree spends its time in: local names, no call per entry without need.
        status_of, pack = place.status_of, LAYOUT.pack
        inside = _Listed()
        folders, files, old_ns = inside.folders, inside.files, now_ns - FRESH_COARSE_NS
        prefix = folder + "/" if folder else ""
        with place.listing() as listing:
            for entry in self._sift(folder, listing):
                name = entry.name
                try:
                    status = status_of(entry)
                    mode, ctime_ns = status.st_mode, status.st_ctime_ns
                    form = mode & _FORM
                    if form == _REGULAR:
                        try:
                            files[name] = pack(status.st_ino, status.st_size, status.st_mtime_ns, ctime_ns, mode)
                        except struct.error:
                            files[name] = Stamp.bytes_of(status)
                        if ctime_ns > old_ns and is_fresh(ctime_ns, now_ns):
                            inside.fresh = True
                    elif form == stat.S_IFDIR:
                        folders.append(name)
                    elif form == stat.S_IFLNK:
                        inside.links.append((name, place.target(name)))
                        inside.times.append(status.st_mtime_ns)
                    else:
                        self._finds.special(prefix + name, form)
                        inside.complete = False
                except OSError as error:
                    self._finds.unknown(prefix + name, error)
                    inside.complete = False
        return inside

    def _record_all(self, inside: _Listed, prefix: str) -> _Files:
        """Record what is *inside*; returns the files whose content must be read."""
        finds, recall, reads = self._finds, self._finds.recall, self._reads
        for name in inside.folders:
            finds.present.entries[prefix + name] = A_FOLDER
        for (name, target), mtime_ns in zip(inside.links, inside.times):  # noqa: B905 - 3.8 has no strict
            finds.link(prefix + name, target, mtime_ns)
        files: _Files = []
        for name, stamp in inside.files.items():
            path = prefix + name
            known = recall(path)
            if known is not None and known[0] == stamp:
                finds.file(path, *known)
            elif reads:
                files.append((name, Stamp(stamp)))
            else:
                finds.file(path, Stamp(stamp), "")
        return files

    def _read_all(self, place: Place, prefix: str, files: _Files) -> Iterator[None]:
        finds = self._finds
        rested_at = finds.hashed_bytes
        now_ns = finds.now()
        for number, (name, stamp) in enumerate(files, 1):
            finds.read(place, name, prefix + name, stamp, now_ns)
            if number % _FILES_AT_ONCE == 0 or finds.hashed_bytes - rested_at > AT_ONCE_BYTES:
                rested_at = finds.hashed_bytes
                finds.tell(0)
                yield
        if files:
            yield


def _everything(_folder: str, listing: "Iterable[os.DirEntry[str]]") -> "Iterable[os.DirEntry[str]]":
    return listing


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
