"""The trees of both sides and their ancestor, held small: whatever is known of a path is one record of 141 bytes.

A path that nobody changed is told by comparing bytes, without making an object of it. That is what lets 200,000 files
be compared in a moment, and kept in 60 MB together with their names.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from devpod_rp.agent.files.entries import FILE, FOLDER, LINK, Entry
from devpod_rp.agent.files.listing import Inside
from devpod_rp.agent.files.stamps import STAMP_BYTES, Stamp

# A side's part: which version it is (form and content), the stamp, and whether that one is known and proves anything.
# The ancestor's: the version, size and mtime.
_VERSION, _TIMES = struct.Struct("<B16s"), struct.Struct("<qq")
_ON_A_SIDE, _AGREED = struct.Struct("<B16s8xqq"), struct.Struct("<B16sqq")
"""What an entry is made of: version, size and mtime; in a stamp the inode comes before these."""
_PART = _VERSION.size + STAMP_BYTES + 1
_HERE, _THERE, _ANCESTOR = 0, _PART, 2 * _PART
RECORD_BYTES = 2 * _PART + _VERSION.size + _TIMES.size

_ABSENT, _FOLDER, _FILE, _EXECUTABLE, _LINK = range(5)
_KINDS = {_FOLDER: FOLDER, _FILE: FILE, _EXECUTABLE: FILE, _LINK: LINK}
_FILES = (_FILE, _EXECUTABLE)
_NOTHING = bytes(RECORD_BYTES)
_NEVER_MET = _NOTHING[_THERE:]
_NO_DIGEST = bytes(16)
_A_FILE, _AN_EXECUTABLE, _A_FOLDER = bytes([_FILE]), bytes([_EXECUTABLE]), bytes([_FOLDER]) + _NO_DIGEST
_PROOF, _NO_PROOF = b"\1", b"\0"
_FARTHEST = (1 << 63) - 1


class Trees:
    """What is *here*, what is *there* and the *ancestor*, as far as it is known, by path.

    While *revision* stays the same, so does every version in the three. *unsaved* names the paths of which anything
    changed since it was emptied. *targets* are the texts of links by their digests, some of them not saved either.
    """

    def __init__(self, records: Iterable[tuple[str, bytes]] = (), targets: Mapping[bytes, str] | None = None) -> None:
        self._records: dict[str, bytes] = dict(records)
        self.targets: dict[bytes, str] = dict(targets or {})
        self.unsaved: set[str] = set()
        self.unsaved_targets: set[bytes] = set()
        self.revision = 0
        self.here = SideTree(self, self._records, _HERE)
        self.there = SideTree(self, self._records, _THERE)
        self.ancestor = AncestorTree(self, self._records, _ANCESTOR)

    def record(self, path: str) -> bytes | None:
        """All that is known of *path*, to be given to the constructor another time."""
        return self._records.get(path)

    def saved(self, paths: Collection[str]) -> None:
        """What is known of *paths* now has been kept for another time."""
        if paths is self.unsaved:
            self.unsaved = set()
        else:
            self.unsaved.difference_update(paths)
        self.unsaved_targets.clear()

    def meet(self, found: Iterable[tuple[str, Entry, Stamp | None]]) -> None:
        """Both sides agree on each entry at its path, where the pod has it with the stamp if any later change would
        show in that."""
        records, unsaved, there, ancestor = self._records, self.unsaved, self.there, self.ancestor
        version_of, held_of, agreed_of = there.version, there.told, ancestor.told
        names = files = 0
        for path, entry, stamp in found:
            version = version_of(entry)
            now = held_of(version, entry, stamp) + agreed_of(version, entry)
            before = records.get(path, _NOTHING)
            was = before[_THERE:]
            records[path] = before[:_THERE] + now
            unsaved.add(path)
            if was == _NEVER_MET and not there.words:  # a first upload is nothing else: counted together
                names += 1
                files += version[0] > _FOLDER
            else:
                there.changed(path, was[:_PART], now[:_PART])
                ancestor.changed(path, was[_PART:], now[_PART:])
        there.appeared(names, files)
        ancestor.appeared(names, files)

    def part(self) -> None:
        """Forget what is there and what both sides agreed on, as if they had never met."""
        self.there.clear()
        self.ancestor.clear()

    def differing(self) -> list[str]:
        """The paths at which the three are not one version."""
        version = _VERSION.size
        there, ancestor = _THERE + version, _ANCESTOR + version
        return [
            path
            for path, record in self._records.items()
            if not record[:version] == record[_THERE:there] == record[_ANCESTOR:ancestor]
        ]

    def only_here(self, paths: Iterable[str]) -> tuple[list[str], list[str]] | None:
        """Those of *paths* that are neither on the pod nor were ever agreed on, and the others of which anything is
        known; None if any of these is not here (any more)."""
        new: list[str] = []
        others: list[str] = []
        for path in paths:
            record = self._records.get(path, _NOTHING)
            if record[_HERE] == _ABSENT:
                if record != _NOTHING:
                    return None
            elif record[_THERE] == record[_ANCESTOR] == _ABSENT:
                new.append(path)
            else:
                others.append(path)
        return new, others

    def may_be_edited(self, path: str) -> bool:
        """Whether a file is at *path* on both sides, and the pod's is the one that both agreed on."""
        record, size = self._records.get(path, _NOTHING), _VERSION.size
        there = record[_THERE : _THERE + size]
        return record[_HERE] in _FILES and there[0] in _FILES and there == record[_ANCESTOR : _ANCESTOR + size]

    def held_there(self, digests: Collection[str]) -> dict[str, str]:
        """Which path on the pod holds which of *digests*."""
        wanted = {bytes.fromhex(digest) for digest in digests}
        return {
            digest.hex(): path
            for path, record in self._records.items()
            if (digest := record[_THERE + 1 : _THERE + 17]) in wanted and record[_THERE] in _FILES
        }


class _Tree(Mapping[str, Entry]):
    """One of the three trees. *names* counts what is in it, *files* all of that but folders. *words* are a side's."""

    def __init__(self, trees: Trees, records: dict[str, bytes], at: int, size: int, layout: struct.Struct) -> None:
        self._trees = trees
        self._records = records
        self._at, self._end, self._layout = at, at + size, layout
        self.words: dict[str, bytes] = {}
        forms = bytes(map(itemgetter(at), records.values()))
        self.names = len(records) - forms.count(_ABSENT)
        self.files = self.names - forms.count(_FOLDER)

    def __getitem__(self, path: str) -> Entry:
        record = self._records[path]
        if record[self._at] == _ABSENT:
            raise KeyError(path)
        return self._entry(record)

    def get(self, path: str, default: Any = None) -> Any:
        record = self._records.get(path)
        if record is None or record[self._at] == _ABSENT:
            return default
        return self._entry(record)

    def __contains__(self, path: object) -> bool:
        record = self._records.get(path)  # type: ignore[call-overload]
        return record is not None and record[self._at] != _ABSENT

    def is_folder(self, path: str) -> bool:
        """Whether a folder is at *path*."""
        record = self._records.get(path)
        return record is not None and record[self._at] == _FOLDER

    def __iter__(self) -> Iterator[str]:
        at = self._at
        return (path for path, record in self._records.items() if record[at] != _ABSENT)

    def __len__(self) -> int:
        return self.names

    def drop(self, path: str) -> None:
        """Nothing is there."""
        if path in self._records:
            self._write([(path, bytes(self._end - self._at))])

    def clear(self) -> None:
        nothing = bytes(self._end - self._at)
        self._write([(path, nothing) for path in self])

    def version(self, entry: Entry) -> bytes:
        """Which version *entry* is, as records tell it."""
        kind, _size, executable, text, target, _mtime_ns = entry
        if kind == FILE:
            return (_AN_EXECUTABLE if executable else _A_FILE) + (bytes.fromhex(text) if text else _NO_DIGEST)
        if kind == FOLDER:
            return _A_FOLDER
        digest = hashlib.blake2b(target.encode("utf-8", "surrogateescape"), digest_size=16).digest()
        if digest not in self._trees.targets:
            self._trees.targets[digest] = target
            self._trees.unsaved_targets.add(digest)
        return _VERSION.pack(_LINK, digest)

    def _entry(self, record: bytes) -> Entry:
        form, digest, size, mtime_ns = self._layout.unpack_from(record, self._at)
        target = self._trees.targets[digest] if form == _LINK else ""
        text = digest.hex() if form in _FILES and digest != _NO_DIGEST else ""
        # What Entry(...) does, less one Python call: plans of many files look at each of them several times.
        return tuple.__new__(Entry, (_KINDS[form], size, form == _EXECUTABLE, text, target, mtime_ns))

    def _write(self, parts: Iterable[tuple[str, bytes]]) -> None:
        """Put each part into the record of its path."""
        records, unsaved, at, end = self._records, self._trees.unsaved, self._at, self._end
        nothing_before, nothing, nothing_behind = _NOTHING[:at], _NOTHING[at:end], _NOTHING[end:]
        names = files = 0
        for path, part in parts:
            before = records.get(path)
            if before is None and part != nothing and not self.words:  # most of a first look: counted together
                records[path] = nothing_before + part + nothing_behind
                unsaved.add(path)
                names += 1
                files += part[0] > _FOLDER
                continue
            before = before or _NOTHING
            was = before[at:end]
            if was == part:
                continue
            record = before[:at] + part + before[end:]
            if record == _NOTHING:
                del records[path]
            else:
                records[path] = record
            unsaved.add(path)
            self.changed(path, was, part)
        self.appeared(names, files)

    def appeared(self, names: int, files: int) -> None:
        """So many *names*, of which *files* are no folders, are in the records that were not in this tree before."""
        self._trees.revision += names
        self.names += names
        self.files += files

    def changed(self, path: str, was: bytes, part: bytes) -> None:
        """In the record of *path*, what *was* this tree's part is *part* now."""
        if was[: _VERSION.size] != part[: _VERSION.size]:
            self._trees.revision += 1
            old, new = was[0], part[0]
            self.names += (new != _ABSENT) - (old != _ABSENT)
            self.files += (new > _FOLDER) - (old > _FOLDER)


class AncestorTree(_Tree):
    """What both sides last agreed on."""

    def __init__(self, trees: Trees, records: dict[str, bytes], at: int) -> None:
        super().__init__(trees, records, at, RECORD_BYTES - _ANCESTOR, _AGREED)

    def put(self, path: str, entry: Entry) -> None:
        self._write([(path, self.told(self.version(entry), entry))])

    def told(self, version: bytes, entry: Entry) -> bytes:
        """The part of a record that says that *entry*, which is *version*, was agreed on."""
        return version + _TIMES.pack(entry.size, _near(entry.mtime_ns))


class SideTree(_Tree):
    """What one side was last seen to hold. A file whose content was not read has the digest "".

    *words* are those of the folders of which all is known (see `agent.files.listing`), and whose files all have a
    stamp; *unsaved_words* names the folders whose word changed since it was emptied, *lacking* says how many words at
    most :meth:`spell` would find.
    """

    def __init__(self, trees: Trees, records: dict[str, bytes], at: int) -> None:
        super().__init__(trees, records, at, _PART, _ON_A_SIDE)
        self.unsaved_words: set[str] = set()
        self.lacking = len(records)

    def know(self, words: Iterable[tuple[str, bytes]]) -> None:
        """Take in the *words* that were known when the records were kept."""
        self.words.update(words)
        if len(self.words) == 1 + self.names - self.files:
            self.lacking = 0

    def put(self, path: str, entry: Entry, stamp: Stamp | None = None) -> None:
        """*entry* is at *path*, with *stamp* if any later change would show in that."""
        self.put_all([(path, entry, stamp)])

    def put_all(self, found: Iterable[tuple[str, Entry, Stamp | None]]) -> None:
        """As :meth:`put`, for each of many."""
        version, told = self.version, self.told
        self._write((path, told(version(entry), entry, stamp)) for path, entry, stamp in found)

    def told(self, version: bytes, entry: Entry, stamp: Stamp | None) -> bytes:
        """The part of a record that says that *entry*, which is *version*, is there with *stamp*."""
        if stamp is not None:
            return version + stamp + _PROOF
        return version + Stamp.made(0, entry.size, _near(entry.mtime_ns), 0, 0) + _NO_PROOF

    def revise(self, path: str, entry: Entry) -> None:
        """What is at *path* is the same file as before, but *entry* is what to make of it."""
        self._write([(path, self.version(entry) + self._records[path][self._at + _VERSION.size : self._end])])

    def stamp(self, path: str) -> Stamp | None:
        """The stamp of the file at *path*, if any change of it would show there."""
        record = self._records.get(path)
        return None if record is None else self._stamp(record)

    def recall(self, path: str) -> tuple[Stamp, str] | None:
        """The digest of the file at *path* and the stamp that it had then, if both are known."""
        record = self._records.get(path)
        if record is None or record[self._at] not in _FILES:
            return None
        stamp, digest = self._stamp(record), record[self._at + 1 : self._at + _VERSION.size]
        return None if stamp is None or digest == _NO_DIGEST else (stamp, digest.hex())

    def spell(self) -> None:
        """Find the words that are lacking."""
        if not self.lacking:
            return
        self.lacking = 0
        words, at = self.words, self._at
        wordless: dict[str, list[str]] = {} if "" in words else {"": []}
        for path, record in self._records.items():
            form = record[at]
            if form == _FOLDER and path not in words:
                wordless.setdefault(path, [])
            folder = path.rpartition("/")[0]
            if form != _ABSENT and folder not in words:
                wordless.setdefault(folder, []).append(path)
        # Folder by folder: what makes a word is several times as large as what is known of the files.
        for folder, paths in wordless.items():
            if (not folder or folder in self) and (inside := self._inside(paths)) is not None:
                self.spelt(folder, inside.word())

    def _inside(self, paths: Iterable[str]) -> Inside | None:
        """*paths* as what is in their folder; None if one of the files has no stamp."""
        inside = Inside()
        for path in paths:
            record, name = self._records[path], path.rpartition("/")[2]
            form = record[self._at]
            if form == _FOLDER:
                inside.folders.append(name)
            elif form == _LINK:
                inside.links.append((name, self._trees.targets[record[self._at + 1 : self._at + 17]]))
            elif (stamp := self._stamp(record)) is not None:
                inside.files[name] = stamp
            else:
                return None
        return inside

    def spelt(self, folder: str, word: bytes | None) -> None:
        """*word* is the one for *folder* as it is now."""
        if self.words.get(folder) == word:
            return
        self.unsaved_words.add(folder)
        if word is None:
            del self.words[folder]
        else:
            self.words[folder] = word

    def _stamp(self, record: bytes) -> Stamp | None:
        proof = self._end - 1
        return Stamp(record[self._at + _VERSION.size : proof]) if record[proof] else None

    def appeared(self, names: int, files: int) -> None:
        super().appeared(names, files)
        self.lacking += names

    def changed(self, path: str, was: bytes, part: bytes) -> None:
        super().changed(path, was, part)
        self.lacking += 1
        if self.words:
            self.spelt(path.rpartition("/")[0], None)
            if part[0] != _FOLDER:
                self.spelt(path, None)


def _near(mtime_ns: int) -> int:
    """A time that can be kept; one after the year 2262 decides nothing."""
    return mtime_ns if -_FARTHEST <= mtime_ns <= _FARTHEST else _FARTHEST if mtime_ns > 0 else -_FARTHEST
