"""What a synchronisation remembers between runs: the ancestor, digests already computed, identities, conflicts.

One SQLite file in write-ahead mode. The ancestor changes only by results that the pod has acknowledged, so a crash
anywhere leaves it behind reality, never ahead: the next cycle finds both sides equal and merges silently. If this side
was edited again before that next cycle, the versions noted as *sent* tell our own content on the pod from somebody
else's. Losing the whole file is safe too: an empty ancestor means a union of both sides, in which nothing is deleted.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devpod_rp.agent.files.tree import Entry, Stamp
from devpod_rp.errors import SyncError

log = logging.getLogger(__name__)

_VERSION = 3
_LARGEST = (1 << 63) - 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ancestor (
    path BLOB PRIMARY KEY, kind TEXT NOT NULL, size INTEGER NOT NULL, executable INTEGER NOT NULL,
    digest TEXT NOT NULL, target BLOB NOT NULL, mtime_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS under_way (number INTEGER PRIMARY KEY, entries TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS digests (
    side TEXT NOT NULL, path BLOB NOT NULL, ino INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL, mode INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (side, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocks (digest TEXT PRIMARY KEY, digests BLOB NOT NULL) WITHOUT ROWID;
"""


class Cache(dict[str, tuple[Stamp, str]]):
    """Path -> what lstat said when the file was hashed, and its digest; knows what differs from the journal."""

    def __init__(self, known: Mapping[str, tuple[Stamp, str]] | Iterable[tuple[str, tuple[Stamp, str]]] = ()) -> None:
        super().__init__(known)
        self.unsaved: set[str] = set()

    def learn(self, path: str, stamp: Stamp, digest: str) -> None:
        if self.get(path) != (stamp, digest):
            self[path] = (stamp, digest)
            self.unsaved.add(path)

    def forget(self, path: str) -> None:
        if self.pop(path, None) is not None:
            self.unsaved.add(path)

    def learn_all(self, found: Mapping[str, tuple[Stamp, str]]) -> None:
        for path, (stamp, digest) in found.items():
            self.learn(path, stamp, digest)

    def keep_only(self, paths: Container[str]) -> None:
        for path in [path for path in self if path not in paths]:
            self.forget(path)


class Journal:
    """The memory of one synchronisation, in ``<state_dir>/sync.sqlite3`` (0600); usable from any thread."""

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path = state_dir / "sync.sqlite3"
        self._lock = threading.Lock()
        try:
            self._database = _opened(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            # Without a journal both sides are joined again and nothing is deleted: safer than to stop for ever.
            log.warning("journal=damaged path=%s error=%s", path, error)
            path.replace(path.with_suffix(".sqlite3.damaged"))
            self._database = _opened(path)
        if self.get("version") != _VERSION:
            self._write("DELETE FROM ancestor", "DELETE FROM under_way", "DELETE FROM digests", "DELETE FROM meta")
            self.put(version=_VERSION)
        self._write("DELETE FROM blocks WHERE digest NOT IN (SELECT digest FROM ancestor)")
        self._under_way: dict[int, dict[str, Entry]] = self._unanswered()

    def close(self) -> None:
        with self._lock:
            self._database.close()

    # Single facts.

    def get(self, key: str, default: Any = None) -> Any:
        with self._lock:
            row = self._database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else json.loads(row[0])

    def put(self, **facts: Any) -> None:
        """Remember JSON-able *facts*; None forgets one."""
        with self._writing():
            for key, value in facts.items():
                if value is None:
                    self._database.execute("DELETE FROM meta WHERE key = ?", (key,))
                else:
                    self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    # The ancestor.

    def ancestor(self) -> dict[str, Entry]:
        with self._lock:
            rows = self._database.execute("SELECT * FROM ancestor").fetchall()
        return dict(_entry(row) for row in rows)

    def agree(self, changes: Mapping[str, Entry | None], sure: Callable[[], object] = lambda: None) -> None:
        """Fold acknowledged results into the ancestor, all or nothing; None forgets a path.

        *sure* is waited for before anything is written, and after everything is prepared.
        """
        gone = [(_blob(path),) for path, entry in changes.items() if entry is None]
        there = [_columns(path, entry) for path, entry in changes.items() if entry is not None]
        sure()
        with self._writing():
            self._database.executemany("DELETE FROM ancestor WHERE path = ?", gone)
            self._database.executemany("INSERT OR REPLACE INTO ancestor VALUES (?, ?, ?, ?, ?, ?, ?)", there)
            left = self._answered(changes)
        self._under_way.update(left)
        self._under_way = {number: versions for number, versions in self._under_way.items() if versions}

    def sent(self) -> dict[str, list[Entry]]:
        """Versions that were on their way to the pod and of which no answer is known."""
        found: dict[str, list[Entry]] = {}
        with self._lock:
            for versions in self._under_way.values():
                for path, entry in versions.items():
                    found.setdefault(path, []).append(entry)
        return found

    def send(self, versions: Mapping[str, Entry]) -> None:
        """Note what is about to be sent, before it is."""
        if not versions:
            return
        with self._writing():
            # One row for all of them: they come in thousands, and seldom stay for longer than a moment.
            row = self._database.execute("INSERT INTO under_way (entries) VALUES (?)", (_listed(versions),))
        self._under_way[int(row.lastrowid or 0)] = dict(versions)

    def _answered(self, paths: Mapping[str, Any]) -> dict[int, dict[str, Entry]]:
        """What is left under way of the rows that are about *paths*."""
        found: dict[int, dict[str, Entry]] = {}
        for number, versions in self._under_way.items():
            if versions.keys().isdisjoint(paths):
                continue
            left = found[number] = {path: entry for path, entry in versions.items() if path not in paths}
            if left:
                self._database.execute("UPDATE under_way SET entries = ? WHERE number = ?", (_listed(left), number))
            else:
                self._database.execute("DELETE FROM under_way WHERE number = ?", (number,))
        return found

    def _unanswered(self) -> dict[int, dict[str, Entry]]:
        rows = self._database.execute("SELECT number, entries FROM under_way").fetchall()
        return {number: {path: Entry(*entry) for path, *entry in json.loads(entries)} for number, entries in rows}

    def void(self) -> None:
        """Forget what both sides agreed on: the next cycle is a union in which nothing is deleted."""
        self._write("DELETE FROM ancestor", "DELETE FROM under_way", "DELETE FROM digests WHERE side = 'remote'")
        self._under_way.clear()

    # Digests already computed, so that an unchanged file is not read again.

    def digests(self, side: str) -> Cache:
        with self._lock:
            rows = self._database.execute(
                "SELECT path, ino, size, mtime_ns, ctime_ns, mode, digest FROM digests WHERE side = ?", (side,)
            ).fetchall()
        return Cache((_text(path), (Stamp(_unsigned(ino), *stamp), digest)) for path, ino, *stamp, digest in rows)

    def save_digests(self, side: str, cache: Cache) -> None:
        """Write what *cache* learnt and forgot since it was last saved."""
        changed = set(cache.unsaved)
        if not changed:
            return
        gone = [(side, _blob(path)) for path in changed if path not in cache]
        kept = [path for path in changed if path in cache and _fits(cache[path][0])]
        there = [(side, _blob(path), *_row(*cache[path])) for path in kept]
        with self._writing():
            self._database.executemany("DELETE FROM digests WHERE side = ? AND path = ?", gone)
            self._database.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?, ?, ?, ?)", there)
        cache.unsaved -= changed

    # What large files are made of, so that their next version is compared without reading this one again.

    def blocks(self, digest: str) -> bytes | None:
        """The digests of the blocks of a file that was sent."""
        with self._lock:
            row = self._database.execute("SELECT digests FROM blocks WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else bytes(row[0])

    def keep_blocks(self, digest: str, digests: bytes) -> None:
        with self._writing():
            self._database.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?)", (digest, digests))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction: all of the block, or nothing of it. Raises SyncError when this machine's disk has no room."""
        try:
            with self._lock, self._database:
                self._database.execute("BEGIN")
                yield
        except sqlite3.OperationalError as error:
            raise SyncError(
                f"The synchronisation cannot remember what it does: {error} ({self._path}).",
                hint="Free space on this machine's disk; the synchronisation then goes on by itself.",
            ) from error

    def _write(self, *statements: str) -> None:
        with self._writing():
            for statement in statements:
                self._database.execute(statement)


def _opened(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _blob(path: str) -> bytes:
    # SQLite's TEXT cannot hold the lone surrogates that stand for bytes outside UTF-8.
    return path.encode("utf-8", "surrogateescape")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _entry(row: tuple[bytes, str, int, int, str, bytes, int]) -> tuple[str, Entry]:
    path, kind, size, executable, digest, target, mtime_ns = row
    return _text(path), Entry(kind, size, bool(executable), digest, _text(target), mtime_ns)


def _columns(path: str, entry: Entry) -> tuple[bytes, str, int, bool, str, bytes, int]:
    # A time that SQLite's integers do not reach (the year 2262) decides nothing, and may be remembered as their last.
    mtime_ns = max(-_LARGEST, min(_LARGEST, entry.mtime_ns))
    return (_blob(path), entry.kind, entry.size, entry.executable, entry.digest, _blob(entry.target), mtime_ns)


def _listed(versions: Mapping[str, Entry]) -> str:
    return json.dumps([[path, *entry] for path, entry in versions.items()], separators=(",", ":"))


def _row(stamp: Stamp, digest: str) -> tuple[int, int, int, int, int, str]:
    return (_signed(stamp.ino), stamp.size, stamp.mtime_ns, stamp.ctime_ns, stamp.mode, digest)


def _fits(stamp: Stamp) -> bool:
    """Whether it can be remembered as it is; a file without a memory is hashed again."""
    return max(abs(stamp.mtime_ns), abs(stamp.ctime_ns)) <= _LARGEST


def _signed(number: int) -> int:
    # Inode numbers of network file systems use all 64 bits; SQLite's integers are signed.
    return number - (1 << 64) if number >= 1 << 63 else number


def _unsigned(number: int) -> int:
    return number + (1 << 64) if number < 0 else number
