"""The pod's side of the tree: surveyed by stamps, hashed only where it matters, remembered between cycles."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from devpod_rp.agent.files import packing
from devpod_rp.agent.files.abilities import PLAIN, Abilities
from devpod_rp.agent.files.tree import FILE, FOLDER, LINK, Entry, Stamp, relative
from devpod_rp.agent.sync import listing
from devpod_rp.agent.sync.rules import Rules
from devpod_rp.errors import SyncError
from devpod_rp.pod.link import AgentLink
from devpod_rp.sync.here import at_or_below
from devpod_rp.sync.journal import Cache

_DIGEST = re.compile(r"[0-9a-f]{32}")
_KINDS = ("file", "dir", "symlink")
_MAX_REPLY = 64 << 20


@dataclass(frozen=True)
class Destination:
    """The synchronised folder on the pod, as the agent addresses it; *token* and *ino* say which one is meant.

    *empty*: nothing was in it when it was recognised.
    """

    root: str
    state: str
    ino: int
    token: str
    abilities: Abilities = PLAIN
    empty: bool = False

    def fields(self) -> dict[str, Any]:
        return {"root": self.root, "state": self.state, "ino": self.ino, "token": self.token}

    def executable(self, mode: int) -> bool:
        """What *mode* says of a file's executable bit; nothing where the disk has none."""
        return bool(mode & 0o100) and self.abilities.keeps_executable


@dataclass
class RemoteTree:
    """What the pod's folder holds. A file's digest is "" until :func:`learn_digests` was asked for it.

    *token* is the agent's word for its last look, by *rules*, if any later change would show. What is changed here
    since is no longer what the pod saw: see :meth:`put`.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    special: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    rules: list[Any] = field(default_factory=list)

    def put(self, path: str, entry: Entry | None, stamp: Stamp | None = None) -> None:
        """It was changed there: *path* holds *entry* now, or nothing."""
        self.token = None
        if entry is None:
            self.entries.pop(path, None)
        else:
            self.entries[path] = entry
        if entry is None or stamp is None:
            self.stamps.pop(path, None)
        else:
            self.stamps[path] = stamp

    def inside(self) -> dict[str, list[str]]:
        """The paths in each folder; "" is the root."""
        found: dict[str, list[str]] = {"": []}
        for path, entry in self.entries.items():
            found.setdefault(path.rpartition("/")[0], []).append(path)
            if entry.kind == FOLDER:
                found.setdefault(path, [])
        return found

    def words(self) -> dict[str, str]:
        """The word for each folder of which all is known; see `agent.sync.listing`."""
        return {folder: word for folder, paths in self.inside().items() if (word := self._word(paths)) is not None}

    def _word(self, paths: list[str]) -> str | None:
        children: list[listing.Child] = []
        for path in paths:
            entry, stamp = self.entries[path], self.stamps.get(path)
            name = path[path.rfind("/") + 1 :]
            if entry.kind != FILE:
                children.append([name, entry.target if entry.kind == LINK else None])
            elif stamp is None:
                return None
            else:
                children.append([name, stamp])
        return listing.digest(children)


def survey(
    link: AgentLink,
    destination: Destination,
    rules: list[Any],
    paths: Collection[str] | None = None,
    before: RemoteTree | None = None,
    words: Mapping[str, str] | None = None,
) -> RemoteTree:
    """Walk the pod's folder, or look at *paths* and what is below them.

    *before* is what it is believed to hold, of which only the differences are told (and *words* its words, if they
    are known); it is returned itself, with all that was learnt of it, when there are none.

    Raises:
        AgentRefused: "changed", when it is no longer the folder we know.
    """
    wanted: dict[str, Any] = {"rules": rules, "paths": None if paths is None else sorted(paths)}
    # What could not be seen or be taken is not in the power of words to tell.
    whole = before is not None and not (before.unknown or before.special)
    unless = before.token if before is not None and whole and before.rules == rules else None
    if before is not None and unless is None:
        wanted["known"] = before.words() if words is None else words
    body, fields = _request(wanted)
    seen, answered = RemoteTree(rules=rules), set()
    for frame in link.stream("files.survey", body, **destination.fields(), unless=unless, **fields):
        if not frame.header["more"]:
            token = frame.header.get("token")
            if before is not None and unless is not None and token == unless and not frame.body:
                return before
            seen.token = None if token is None else str(token)
        told = _reply(frame.body)
        if isinstance(told, dict):
            seen.unknown.update(_remarks(told.get("unknown")))
            seen.special.update(_remarks(told.get("special")))
            continue
        folders, rows = _listed(told)
        answered.update(folders)
        for row in rows:
            path, entry, stamp = _row(row)
            seen.entries[path] = entry
            if stamp is not None:
                seen.stamps[path] = stamp
    if before is None or "known" not in wanted:
        return seen
    if whole and not answered and not seen.unknown and not seen.special:
        before.token, before.rules = seen.token, rules
        return before
    return _completed(seen, answered, before)


def _completed(seen: RemoteTree, answered: Collection[str], before: RemoteTree) -> RemoteTree:
    """*seen* with what is in the folders that were not *answered* because they are as *before*, from the top down."""
    tree = RemoteTree({}, {}, seen.unknown, seen.special, seen.token, seen.rules)
    now, then = seen.inside(), before.inside()
    folders = [""]
    while folders:
        folder = folders.pop()
        source = seen if folder in answered or folder not in then else before
        for path in (now if source is seen else then).get(folder, ()):
            entry = source.entries[path]
            tree.entries[path] = entry
            if path in source.stamps:
                tree.stamps[path] = source.stamps[path]
            if entry.kind == FOLDER:
                folders.append(path)
    return tree


def look_again(
    link: AgentLink, destination: Destination, rules: list[Any], paths: set[str], tree: RemoteTree
) -> set[str]:
    """Bring *tree* up to date at *paths* and below; returns every path that may differ now."""
    seen = survey(link, destination, rules, paths)
    tree.token = None
    stale = at_or_below(paths, tree.entries) | {path for path in paths if path in tree.unknown or path in tree.special}
    for path in stale:
        for part in (tree.entries, tree.stamps, tree.unknown, tree.special):
            part.pop(path, None)
    tree.entries.update(seen.entries)
    tree.stamps.update(seen.stamps)
    tree.unknown.update(seen.unknown)
    tree.special.update(seen.special)
    return stale | seen.entries.keys() | seen.unknown.keys() | seen.special.keys() | paths


def learn_digests(
    link: AgentLink, destination: Destination, tree: RemoteTree, paths: Iterable[str], cache: Cache
) -> None:
    """Give the files at *paths* their digests: from *cache* where the stamp is the same, else by asking the pod.

    A file that cannot be hashed right now becomes unknown, so that nothing is decided about it.
    """
    wanted: list[str] = []
    for path in paths:
        known = cache.get(path)
        if known is not None and known[0] == tree.stamps.get(path):
            tree.entries[path] = tree.entries[path]._replace(digest=known[1])
        else:
            wanted.append(path)
    if not wanted:
        return
    body, fields = _request(wanted)
    missing = set(wanted)
    for frame in link.stream("files.digests", body, **destination.fields(), **fields):
        for path, digest, stamp, settled in _reply(frame.body):
            if path not in missing or not _DIGEST.fullmatch(digest):
                raise _nonsense()
            missing.discard(path)
            found = Stamp(*stamp)
            tree.stamps[path] = found
            tree.entries[path] = file_entry(found, digest)
            if settled:
                cache.learn(path, found, digest)
            else:
                # Another version of this moment would look the same: the next look must read it again.
                cache.forget(path)
                tree.stamps.pop(path)
                tree.token = None
    for path in missing:
        tree.unknown[path] = "it is being written on the pod, or cannot be read there"


@dataclass(frozen=True)
class RemoteNews:
    """Paths that may differ on the pod now; *full* when everything does. *limit* says what is not watched there.

    *mark* ends what :func:`ask` asked for: everything that happened before it was told.
    """

    paths: frozenset[str]
    full: bool
    limit: str | None
    mark: int | None = None


def ask(link: AgentLink, mark: int) -> bool:
    """Make the pod tell what it heard until now, and then *mark*; False when nobody listens there."""
    return bool(link.call("files.mark", mark=mark).header.get("listening"))


def listen(link: AgentLink, destination: Destination, rules: list[Any], hold: bool = False) -> Iterator[RemoteNews]:
    """What changes on the pod, as it happens; the first news is empty and says that nothing is missed from now on.

    With *hold* nothing comes before :func:`ask` is called. Ends when somebody else listens on *link*.

    Raises:
        AgentRefused: "not-found" when changes cannot be watched there, "changed" when the folder is another one.
        LinkLost: the connection died.
    """
    body, fields = _request(rules)
    for frame in link.stream("files.watch", body, hold=hold, **destination.fields(), **fields):
        if not frame.header["more"]:
            return
        paths = _reply(frame.body) if frame.body else []
        if not isinstance(paths, list) or not all(isinstance(path, str) and relative(path) for path in paths):
            raise _nonsense()
        limit, mark = frame.header.get("limit"), frame.header.get("mark")
        if mark is not None and not isinstance(mark, int):
            raise _nonsense()
        told = None if limit is None else str(limit)[:500]
        yield RemoteNews(frozenset(paths), bool(frame.header.get("full")), told, mark)


def trashed(link: AgentLink, destination: Destination) -> list[list[Any]]:
    """What the pod's trash holds: ``[moment, path, kind, size, mtime_ns, link target]``, newest moment first."""
    rows: list[list[Any]] = []
    for frame in link.stream("trash.list", **destination.fields()):
        try:
            found = json.loads(packing.unpack(frame.body, frame.header, _MAX_REPLY).decode("ascii"))
            rows += [[str(row[0]), str(row[1]), str(row[2]), int(row[3]), int(row[4]), str(row[5])] for row in found]
        except (ValueError, TypeError, IndexError) as error:
            raise _nonsense() from error
    return rows


def file_entry(stamp: Stamp, digest: str) -> Entry:
    return Entry("file", stamp.size, bool(stamp.mode & 0o100), digest, "", stamp.mtime_ns)


def _request(items: Any) -> tuple[bytes, dict[str, Any]]:
    raw = json.dumps(items, separators=(",", ":")).encode("ascii")
    return zlib.compress(raw, 1), {"packed": len(raw)}


def _reply(body: bytes) -> Any:
    # A pod is not trusted: what it sends is bounded, and checked before it is used.
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(body, _MAX_REPLY)
        if unpacker.unconsumed_tail:
            raise _nonsense()
        return json.loads(raw.decode("ascii"))
    except (zlib.error, ValueError) as error:
        raise _nonsense() from error


def _listed(told: Any) -> tuple[list[str], list[Any]]:
    try:
        folders, rows = told
        if not all(isinstance(folder, str) and (not folder or relative(folder)) for folder in folders):
            raise _nonsense()
        return list(folders), list(rows)
    except (TypeError, ValueError) as error:
        raise _nonsense() from error


def _row(row: Any) -> tuple[str, Entry, Stamp | None]:
    try:
        path, kind, size, executable, target, mtime_ns, stamp = row
        if kind not in _KINDS or not relative(path):
            raise _nonsense()
        entry = Entry(kind, int(size), bool(executable), "", str(target), int(mtime_ns))
        return path, entry, None if stamp is None else Stamp(*(int(number) for number in stamp))
    except (TypeError, ValueError, AttributeError) as error:
        raise _nonsense() from error


def _remarks(found: Any) -> Mapping[str, str]:
    if not isinstance(found, dict):
        raise _nonsense()
    return {str(path): str(reason) for path, reason in found.items()}


def _nonsense() -> SyncError:
    return SyncError("The agent on the pod sent an answer that makes no sense; nothing was changed.")


def wire(rules: Rules) -> list[Any]:
    """A copy of the rules as they are sent, to notice when a scan has read others."""
    return json.loads(json.dumps(rules.to_wire()))  # type: ignore[no-any-return]
