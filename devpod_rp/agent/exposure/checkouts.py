"""Which files of a git checkout are exactly what a commit says, compared by content and without any filter."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from devpod_rp.agent.exposure.git import Git
from devpod_rp.agent.files.changes import Change
from devpod_rp.agent.files.digests import ChangedWhileRead, blocks

_LINK = "120000"
_EXECUTABLE = "100755"
_SUBMODULE = "160000"

Entry = Tuple[str, str]  # mode, name of the object


class Checkout(NamedTuple):
    """*clean* are the files as the commit has them; *staged* counts files whose content is in the index alone."""

    clean: Set[str]
    staged: int
    uncommitted: int
    untracked: int


NOTHING = Checkout(set(), 0, 0, 0)


def compare(
    git: Git, head: Optional[str], folder: str, paths: Sequence[str], changes: Mapping[str, Change], prefix: str
) -> Checkout:
    """Compare those *paths* below *folder* that git tracks with commit *head* (None: there is none yet).

    Raises:
        GitFailed: git cannot read the commit or the index.
    """
    tree = _entries(git.records("ls-tree", "-r", "-z", "--full-tree", head)) if head else {}
    index = _entries(git.records("ls-files", "-s", "-z"))
    untracked = len(git.records("ls-files", "-o", "--exclude-standard", "-z"))
    clean, modified = set(), set()
    for path in paths:
        relative = path[len(folder) + 1 :]
        if relative not in tree and relative not in index:
            continue
        if relative in tree and _is(prefix + path, tree[relative], changes.get(path)):
            clean.add(path)
        else:
            modified.add(relative)
    staged = {relative for relative, entry in index.items() if entry != tree.get(relative)}
    committed = {name for _mode, name in tree.values()}
    hidden = [
        each
        for each in staged
        if index[each][1] not in committed
        and not _is(f"{prefix}{folder}/{each}", index[each], None, mode_matters=False)
    ]
    return Checkout(clean, len(hidden), len(modified | staged), untracked)


def _is(physical: str, entry: Entry, change: Optional[Change], *, mode_matters: bool = True) -> bool:
    """Whether the file is what *entry* says: its content byte for byte, and whether it can be executed."""
    mode, name = entry
    digest = hashlib.sha256() if len(name) == 64 else hashlib.sha1()  # noqa: S324 - git's own names
    try:
        status = os.lstat(physical)
        if mode == _LINK:
            target = os.fsencode(os.readlink(physical))
            digest.update(b"blob %d\0" % len(target) + target)
        else:
            if mode_matters and bool(status.st_mode & stat.S_IXUSR) != (mode == _EXECUTABLE):
                return False
            digest.update(b"blob %d\0" % status.st_size)
            for block in blocks(physical, change.stamp if change else None):
                digest.update(block)
    except (OSError, ChangedWhileRead):
        return False
    return digest.hexdigest() == name


def _entries(records: List[str]) -> Dict[str, Entry]:
    """The answers of ``ls-tree`` ("mode type object\\tpath") and ``ls-files -s`` ("mode object stage\\tpath").

    Submodules are repositories of their own and left out.
    """
    entries = {}
    for record in records:
        meta, _tab, path = record.partition("\t")
        mode, second, third = meta.split(" ")
        if mode != _SUBMODULE:
            entries[path] = (mode, third if second == "blob" else second)
    return entries
