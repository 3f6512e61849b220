"""Which changed files are exactly what a Debian package shipped (dpkg(1), /var/lib/dpkg/info)."""

from __future__ import annotations

import os
from typing import Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from devpod_rp.agent.files.changes import Change, Stamp
from devpod_rp.agent.files.digests import ChangedWhileRead, hashed, stamp_of
from devpod_rp.agent.files.memory import recall

_INFO = "/var/lib/dpkg/info"
_STATUS = "/var/lib/dpkg/status"
_EXTENDED_STATES = "/var/lib/apt/extended_states"
_ALTERNATIVES = "/etc/alternatives/"  # where update-alternatives(1) points its links to
# Merged /usr: packages may still name the old places (Debian, Ubuntu since 2019).
_MERGED = ("bin/", "sbin/", "lib/", "lib32/", "lib64/", "libx32/")
# dpkg unpacks a package's links moments before it writes the list that names them.
_UNPACK_NS = 2_000_000_000


class Owned(NamedTuple):
    paths: Set[str]
    new_packages: List[Tuple[str, str]]  # name, the list that dpkg keeps of its files


def owned(changes: Mapping[str, Change], *, root: str = "/") -> Owned:
    """The *changes* whose content is what a package shipped; and which packages are new, left out those that apt
    installed only because another one needs them."""
    prefix = root.rstrip("/")
    files = {path for path, change in changes.items() if change.target is None and not path.startswith(_INFO)}
    paths = set()
    # The lists are a hundred thousand lines, and nearly always the same.
    state = (_state(prefix + _INFO), _state(prefix + _STATUS), frozenset(files))
    for path, digest in recall(("dpkg", state), lambda: [each for each in _shipped(prefix) if each[0] in files]):
        if path not in paths and _is(prefix + path, changes[path], digest):
            paths.add(path)
    paths |= {path for path, change in changes.items() if (change.target or "").startswith(_ALTERNATIVES)}
    lists = [path for path in changes if path.startswith(_INFO + "/") and path.endswith(".list")]
    for path in lists:
        paths |= _links(prefix, changes[path], changes)
    automatic = _automatic(prefix)
    names = sorted((os.path.basename(path)[: -len(".list")], path) for path in lists)
    return Owned(paths, [(name, path) for name, path in names if name.split(":")[0] not in automatic])


def _shipped(prefix: str) -> Iterator[Tuple[str, str]]:
    for name in _listed(prefix + _INFO):
        if name.endswith(".md5sums"):
            for line in _lines(prefix + _INFO + "/" + name):
                digest, _space, path = line.partition("  ")
                yield from ((place, digest) for place in _places(path))
    in_conffiles = False
    for line in _lines(prefix + _STATUS):
        if in_conffiles and line.startswith(" "):
            # `` /etc/foo.conf <md5> [obsolete]``: the md5 of the shipped file, not of the file as it is now.
            path, _space, rest = line[1:].partition(" ")
            yield path, rest.split(" ")[0]
        else:
            in_conffiles = line == "Conffiles:"


def _places(path: str) -> Iterator[str]:
    yield "/" + path
    if path.startswith(_MERGED):
        yield "/usr/" + path


def _is(physical: str, change: Change, digest: str) -> bool:
    try:
        return hashed(physical, "md5", change.stamp).hex() == digest
    except (OSError, ChangedWhileRead):
        return False


def _links(prefix: str, listing: Change, changes: Mapping[str, Change]) -> Set[str]:
    found = set()
    for line in _lines(prefix + listing.path):
        for path in _places(line[1:]):
            change = changes.get(path)
            if change is None or change.target is None:
                continue
            if change.stamp.ctime_ns <= listing.stamp.ctime_ns + _UNPACK_NS:
                found.add(path)
    return found


def _automatic(prefix: str) -> Set[str]:
    names = set()
    package = ""
    for line in _lines(prefix + _EXTENDED_STATES):
        key, _colon, value = line.partition(": ")
        if key == "Package":
            package = value
        elif key == "Auto-Installed" and value == "1":
            names.add(package)
    return names


def _state(path: str) -> Optional[Stamp]:
    try:
        return stamp_of(os.stat(path))
    except OSError:
        return None


def _listed(directory: str) -> List[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []  # no dpkg here, so nothing is owned


def _lines(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            for line in stream:
                yield line.rstrip("\n")
    except OSError:
        return
