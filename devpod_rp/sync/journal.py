"""What a synchronisation remembers between runs: the trees as they were last seen, identities, conflicts.

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
from collections.abc import Collection, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devpod_rp.agent.files.entries import Entry
from devpod_rp.errors import SyncError
from devpod_rp.sync.trees import RECORD_BYTES, SideTree, Trees

log = logging.getLogger(__name__)

_VERSION = 4
_FORGET_ALL = (
    "DROP TABLE IF EXISTS ancestor",
    "DROP TABLE IF EXISTS digests",
    "DELETE FROM records",
    "DELETE FROM targets",
    "DELETE FROM words",
    "DELETE FROM under_way",
    "DELETE FROM meta",
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (path BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS targets (digest BLOB PRIMARY KEY, target BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS words (
    side TEXT NOT NULL, folder BLOB NOT NULL, word BLOB NOT NULL, PRIMARY KEY (side, folder)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS under_way (number INTEGER PRIMARY KEY, entries TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (digest TEXT PRIMARY KEY, digests BLOB NOT NULL) WITHOUT ROWID;
"""


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
            self._write(*_FORGET_ALL)
            self.put(version=_VERSION)
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

    # The trees.

    def trees(self) -> Trees:
        """The trees as they were last saved."""
        with self._lock:
            records = self._database.execute("SELECT path, record FROM records")
            targets = self._database.execute("SELECT digest, target FROM targets")
            trees = Trees(
                ((_text(path), record) for path, record in records if len(record) == RECORD_BYTES),
                {digest: _text(target) for digest, target in targets},
            )
            for side, tree in _sides(trees):
                words = self._database.execute("SELECT folder, word FROM words WHERE side = ?", (side,))
                tree.know((_text(folder), word) for folder, word in words)
            self._forget_blocks(trees)
        return trees

    def save(self, trees: Trees) -> None:
        """Write everything of *trees* that is not saved yet."""
        if not trees.unsaved and not any(tree.unsaved_words for _side, tree in _sides(trees)):
            return
        with self._writing():
            self._save_records(trees, trees.unsaved)
            for side, tree in _sides(trees):
                self._save_words(side, tree)
        trees.saved(trees.unsaved)
        for _side, tree in _sides(trees):
            tree.unsaved_words.clear()

    def agree(self, trees: Trees, paths: Set[str]) -> None:
        """Write what *trees* know of *paths*, of which an acknowledged result was folded into the ancestor, all or
        nothing; what was sent there is answered by it."""
        with self._writing():
            self._save_records(trees, paths)
            left = self._answered(paths)
        trees.saved(paths)
        self._under_way.update(left)
        self._under_way = {number: versions for number, versions in self._under_way.items() if versions}

    def _save_records(self, trees: Trees, paths: Collection[str]) -> None:
        # One after the other: they can be all that there are.
        gone = ((_blob(path),) for path in paths if trees.record(path) is None)
        there = ((_blob(path), record) for path in paths if (record := trees.record(path)) is not None)
        targets = [(digest, _blob(trees.targets[digest])) for digest in trees.unsaved_targets]
        self._database.executemany("INSERT OR IGNORE INTO targets VALUES (?, ?)", targets)
        self._database.executemany("DELETE FROM records WHERE path = ?", gone)
        self._database.executemany("INSERT OR REPLACE INTO records VALUES (?, ?)", there)

    def _save_words(self, side: str, tree: SideTree) -> None:
        found = [(side, _blob(folder), tree.words.get(folder)) for folder in tree.unsaved_words]
        self._database.executemany(
            "DELETE FROM words WHERE side = ? AND folder = ?", [each[:2] for each in found if each[2] is None]
        )
        self._database.executemany(
            "INSERT OR REPLACE INTO words VALUES (?, ?, ?)", [each for each in found if each[2] is not None]
        )

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

    def _answered(self, paths: Set[str]) -> dict[int, dict[str, Entry]]:
        """What is left under way of the rows that are about *paths*."""
        found: dict[int, dict[str, Entry]] = {}
        for number, versions in self._under_way.items():
            if versions.keys().isdisjoint(paths):
                continue
            left = {} if versions.keys() <= paths else {p: entry for p, entry in versions.items() if p not in paths}
            found[number] = left
            if left:
                self._database.execute("UPDATE under_way SET entries = ? WHERE number = ?", (_listed(left), number))
            else:
                self._database.execute("DELETE FROM under_way WHERE number = ?", (number,))
        return found

    def _unanswered(self) -> dict[int, dict[str, Entry]]:
        rows = self._database.execute("SELECT number, entries FROM under_way").fetchall()
        return {number: {path: Entry(*entry) for path, *entry in json.loads(entries)} for number, entries in rows}

    def void(self, trees: Trees) -> None:
        """Forget what was on its way, and save *trees*, in which the sides never met."""
        with self._writing():
            self._database.execute("DELETE FROM under_way")
            self._save_records(trees, trees.unsaved)
        trees.saved(trees.unsaved)
        self._under_way.clear()

    # What large files are made of, so that their next version is compared without reading this one again.

    def blocks(self, digest: str) -> bytes | None:
        """The digests of the blocks of a file that was sent."""
        with self._lock:
            row = self._database.execute("SELECT digests FROM blocks WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else bytes(row[0])

    def _forget_blocks(self, trees: Trees) -> None:
        """Of versions that are no longer the last agreed one. Few files are large enough to have any."""
        kept = {digest for (digest,) in self._database.execute("SELECT digest FROM blocks")}
        if kept:
            kept -= {entry.digest for entry in trees.ancestor.values()}
            self._database.executemany("DELETE FROM blocks WHERE digest = ?", [(digest,) for digest in kept])

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


def _listed(versions: Mapping[str, Entry]) -> str:
    return json.dumps([[path, *entry] for path, entry in versions.items()], separators=(",", ":"))


def _sides(trees: Trees) -> tuple[tuple[str, SideTree], ...]:
    return ("local", trees.here), ("remote", trees.there)
