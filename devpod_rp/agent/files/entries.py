"""What a tree of files is made of, as both ends compare it."""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Set, Tuple

from devpod_rp.agent.files.stamps import Stamp

FILE, FOLDER, LINK = "file", "dir", "symlink"


class Entry(NamedTuple):
    """One name in a tree, as both ends compare it.

    *kind* is "file", "dir" or "symlink". *digest* (files) is that of `agent.content`; *target* (links) is the
    text of the link, never followed. *mtime_ns* is carried along, no decision is made by it. What does not apply is
    0, False or "".
    """

    kind: str
    size: int
    executable: bool
    digest: str
    target: str
    mtime_ns: int


class Snapshot(NamedTuple):
    """A tree at one look. Paths are relative, '/'-separated, bytes outside UTF-8 as surrogates; the root is not in it.

    *stamps* holds one per file in *entries* (none when the snapshot came over the wire). *unknown* maps a path to the
    reason why it, or what is below it, could not be seen: such a subtree is frozen, absence in it means nothing.
    *special* maps pipes, sockets and devices to what they are. *fresh* names the files that were written so recently
    that another write need not show in their stamp (git's "racily clean" entries). *same* names the folders that are as
    they were known to be: what is directly in them is nowhere else in here. *linked* names the files, among those that
    were read, that have other names, too (hard links): whatever changed one of them changed it under all of these.
    """

    entries: Dict[str, Entry]
    stamps: Dict[str, Stamp]
    unknown: Dict[str, str]
    special: Dict[str, str]
    fresh: Set[str]
    same: List[str]
    linked: Set[str]

    def digests(self) -> Dict[str, Tuple[Stamp, str]]:
        """What the next scan need not read again: the digests of all files but the fresh ones."""
        entries, fresh = self.entries, self.fresh
        return {path: (stamp, entries[path].digest) for path, stamp in self.stamps.items() if path not in fresh}


def relative(path: str) -> bool:
    """Whether *path* can only name something below a folder: no empty, "." or ".." component, no NUL."""
    between = "/" + path + "/"
    return not ("//" in between or "/./" in between or "/../" in between or "\0" in path)


def topmost(folders: Iterable[str]) -> List[str]:
    """Those of *folders* that lie in no other of them."""
    found: List[str] = []
    for folder in sorted(folders, key=lambda path: path + "/"):
        if not found or not folder.startswith(found[-1] + "/"):
            found.append(folder)
    return found
