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
from devpod_rp.agent.files.entries import FILE, FOLDER, Entry, relative
from devpod_rp.agent.files.stamps import Stamp
from devpod_rp.agent.sync.rules import Rules
from devpod_rp.errors import SyncError
from devpod_rp.pod.link import AgentLink
from devpod_rp.sync.here import at_or_below, folder_of, folders_above
from devpod_rp.sync.trees import SideTree

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


class RemoteTree:
    """What the pod's folder holds, in *entries*. A file's digest is "" until :func:`learn_digests` was asked for it.

    *token* is the agent's word for its last look, by *rules*, if any later change would show. What is changed here
    since is no longer what the pod saw: see :meth:`put`.
    """

    def __init__(self, entries: SideTree) -> None:
        self.entries = entries
        self.unknown: dict[str, str] = {}
        self.special: dict[str, str] = {}
        self.token: str | None = None
        self.rules: list[Any] = []

    def put(self, path: str, entry: Entry | None, stamp: Stamp | None = None) -> None:
        """It was changed there: *path* holds *entry* now, or nothing."""
        self.token = None
        if entry is None:
            self.entries.drop(path)
        else:
            self.entries.put(path, entry, stamp)

    def doubt(self, path: str) -> None:
        """What is believed of *path* turned out to be wrong: its content has to be asked for again."""
        entry = self.entries.get(path)
        if entry is not None and entry.kind == FILE:
            self.put(path, entry._replace(digest=""))

    def take(self, seen: Seen) -> None:
        """Believe a look at everything."""
        if not seen.unchanged:
            self._replace(seen)
            self.unknown, self.special = dict(seen.unknown), dict(seen.special)
        self.token, self.rules = seen.token, seen.rules

    def _replace(self, seen: Seen) -> None:
        entries, rows = self.entries, seen.rows
        # What was in a folder that was told, and is not in it now, is gone with all that was below it.
        gone: list[str] = []
        no_folders: set[str] = set()
        for path in entries:
            if folder_of(path) in seen.folders:
                row = rows.get(path)
                if row is None:
                    gone.append(path)
                if entries.is_folder(path) and (row is None or row[0].kind != FOLDER):
                    no_folders.add(path)
        if no_folders:
            gone += [path for path in entries if not no_folders.isdisjoint(folders_above(path)) and path not in rows]
        for path in gone:
            entries.drop(path)
        self.put_all(seen)

    def put_all(self, seen: Seen) -> None:
        """Believe what was told of single paths; what was known of unchanged files stays known."""
        recall = self.entries.recall

        def recalled(path: str, entry: Entry, stamp: Stamp | None) -> tuple[str, Entry, Stamp | None]:
            known = recall(path)
            if known is not None and known[0] == stamp:
                entry = entry._replace(digest=known[1])
            return path, entry, stamp

        self.entries.put_all(recalled(path, *told) for path, told in seen.rows.items())


@dataclass
class Seen:
    """What the pod told of a look by *rules*: *rows* (entry and stamp of a path), and the *folders* of which these are
    all. Unless *unchanged*, which says that everything is as it was known to be. *token*: see `RemoteTree`."""

    rules: list[Any]
    rows: dict[str, tuple[Entry, Stamp | None]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    unknown: dict[str, str] = field(default_factory=dict)
    special: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    unchanged: bool = False

    def is_empty(self, before: RemoteTree) -> bool:
        """Whether nothing is there, when *before* is what was known."""
        return not (self.rows if "" in self.folders else before.entries)


def survey(
    link: AgentLink,
    destination: Destination,
    rules: list[Any],
    paths: Collection[str] | None = None,
    before: RemoteTree | None = None,
) -> Seen:
    """Walk the pod's folder, or look at *paths* and what is below them.

    *before* is what it is believed to hold, of which only the differences are told.

    Raises:
        AgentRefused: "changed", when it is no longer the folder we know.
    """
    wanted: dict[str, Any] = {"rules": rules, "paths": None if paths is None else sorted(paths)}
    # What could not be seen or be taken is not in the power of words to tell.
    whole = before is not None and not (before.unknown or before.special)
    unless = before.token if before is not None and whole and before.rules == rules else None
    if before is not None and unless is None:
        wanted["known"] = {folder: word.hex() for folder, word in before.entries.words.items()}
    body, fields = _request(wanted)
    seen = Seen(rules)
    for frame in link.stream("files.survey", body, **destination.fields(), unless=unless, **fields):
        if not frame.header["more"]:
            token = frame.header.get("token")
            seen.token = None if token is None else str(token)
            if unless is not None and token == unless and not frame.body:
                seen.unchanged = True
                return seen
        told = _reply(frame.body)
        if isinstance(told, dict):
            seen.unknown.update(_remarks(told.get("unknown")))
            seen.special.update(_remarks(told.get("special")))
            continue
        folders, rows = _listed(told)
        seen.folders.update(folders)
        seen.rows.update(map(_row, rows))
    seen.unchanged = whole and not (seen.folders or seen.unknown or seen.special)
    return seen


def look_again(
    link: AgentLink, destination: Destination, rules: list[Any], paths: set[str], tree: RemoteTree
) -> set[str]:
    """Bring *tree* up to date at *paths* and below; returns every path that may differ now."""
    seen = survey(link, destination, rules, paths)
    tree.token = None
    stale = at_or_below(paths, tree.entries) | {path for path in paths if path in tree.unknown or path in tree.special}
    for path in stale:
        if path not in seen.rows:
            tree.entries.drop(path)
        tree.unknown.pop(path, None)
        tree.special.pop(path, None)
    tree.put_all(seen)
    tree.unknown.update(seen.unknown)
    tree.special.update(seen.special)
    return stale | seen.rows.keys() | seen.unknown.keys() | seen.special.keys() | paths


def learn_digests(link: AgentLink, destination: Destination, tree: RemoteTree, paths: Iterable[str]) -> None:
    """Give the files at *paths* their digests, by asking the pod.

    A file that cannot be hashed right now becomes unknown, so that nothing is decided about it.
    """
    missing = {path for path in paths if not tree.entries[path].digest}
    if not missing:
        return
    body, fields = _request(sorted(missing))
    for frame in link.stream("files.digests", body, **destination.fields(), **fields):
        for path, digest, stamp, settled in _reply(frame.body):
            if path not in missing or not _DIGEST.fullmatch(digest):
                raise _nonsense()
            missing.discard(path)
            found = _stamp(stamp)
            tree.entries.put(path, file_entry(found, digest), found if settled else None)
            if not settled:
                tree.token = None  # another version of this moment would look the same: it must be read again
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


def _row(row: Any) -> tuple[str, tuple[Entry, Stamp | None]]:
    try:
        path, kind, size, executable, target, mtime_ns, stamp = row
        if kind not in _KINDS or not relative(path) or not 0 <= int(size) < 1 << 63:
            raise _nonsense()
        entry = Entry(kind, int(size), bool(executable), "", str(target), int(mtime_ns))
        return path, (entry, None if stamp is None else _stamp(stamp))
    except (TypeError, ValueError, AttributeError) as error:
        raise _nonsense() from error


def _stamp(numbers: Any) -> Stamp:
    try:
        return Stamp.checked(numbers)
    except ValueError as error:
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
