"""What a folder holds: entries, the stamps that tell whether they changed, and what could not be seen."""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple, Tuple

FILE, FOLDER, LINK = "file", "dir", "symlink"


class Entry(NamedTuple):
    """One name in a tree, as both ends compare it.

    *kind* is "file", "dir" or "symlink". *digest* (files) is blake2b with 16 bytes, in hex; *target* (links) is the
    text of the link, never followed. *mtime_ns* is carried along, no decision is made by it. What does not apply is
    0, False or "".
    """

    kind: str
    size: int
    executable: bool
    digest: str
    target: str
    mtime_ns: int


class Stamp(NamedTuple):
    """What lstat said of a file: while it is the same, so is the content, provided it was not fresh when it was hashed.

    ctime is in it because no program can set it: ``cp -p`` and ``touch`` hide nothing (unison#45).
    """

    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int


class Snapshot(NamedTuple):
    """A tree at one look. Paths are relative, '/'-separated, bytes outside UTF-8 as surrogates; the root is not in it.

    *stamps* holds one per file in *entries* (empty when the snapshot came over the wire). *unknown* maps a path to the
    reason why it, or what is below it, could not be seen: such a subtree is frozen, its absence means nothing.
    *special* maps pipes, sockets and devices to what they are; they are never opened. *fresh* names the files that
    were written so recently that a later write may not show in their stamp.
    """

    entries: Dict[str, Entry]
    stamps: Dict[str, Stamp]
    unknown: Dict[str, str]
    special: Dict[str, str]
    fresh: Dict[str, None]

    def digests(self) -> Dict[str, Tuple[Stamp, str]]:
        """What the next scan may take as *known*: the digests of all files but the fresh ones."""
        entries, fresh = self.entries, self.fresh
        return {path: (stamp, entries[path].digest) for path, stamp in self.stamps.items() if path not in fresh}


Known = Mapping[str, Tuple[Stamp, str]]


def empty_snapshot() -> Snapshot:
    return Snapshot({}, {}, {}, {}, {})
