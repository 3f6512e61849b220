"""The local cloud's memory: pods, volumes, templates, events, costs and account, in one SQLite file.

Every order is written here, in one transaction, before anything in the world follows from it. A server that is killed
at any instruction therefore finds, at its next start, what was promised to clients, and makes it true.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from devpod_rp.localcloud import billing, storage
from devpod_rp.localcloud.records import NetworkVolume, Pod, Template, from_json, to_json

Chargeable = TypeVar("Chargeable", Pod, NetworkVolume)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pods (
    id TEXT PRIMARY KEY, created_at REAL NOT NULL, purged INTEGER NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS volumes (id TEXT PRIMARY KEY, created_at REAL NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS templates (id TEXT PRIMARY KEY, created_at REAL NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, pod_id TEXT NOT NULL, at REAL NOT NULL, line TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_pod ON events (pod_id, number);
CREATE TABLE IF NOT EXISTS costs (
    resource TEXT NOT NULL, id TEXT NOT NULL, component TEXT NOT NULL, hour INTEGER NOT NULL, usd REAL NOT NULL,
    PRIMARY KEY (resource, id, component, hour));
"""


@dataclass(frozen=True)
class Event:
    """One line of a pod's system log."""

    number: int
    at: float
    line: str


@dataclass(frozen=True)
class Cost:
    """What one component of one resource cost within one clock hour (*hour* is its epoch second)."""

    id: str
    component: str
    hour: int
    usd: float


class Books:
    """The ledger inside a transaction. All reads and writes of one ``with`` block happen together or not at all."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    # -- account and settings ---------------------------------------------------------------------------------------
    def get(self, key: str, default: Any = None) -> Any:
        row = self._database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else default

    def put(self, key: str, value: Any) -> None:
        self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    # -- pods -------------------------------------------------------------------------------------------------------
    def pods(self, *, purged: bool = False) -> list[Pod]:
        """Newest first. Pods whose disks are gone are left out unless *purged*."""
        rows = self._database.execute(
            "SELECT record FROM pods WHERE purged <= ? ORDER BY created_at DESC, id DESC", (int(purged),)
        )
        return [from_json(Pod, record) for (record,) in rows]

    def pod(self, pod_id: str) -> Pod | None:
        row = self._database.execute("SELECT record FROM pods WHERE id = ?", (pod_id,)).fetchone()
        return from_json(Pod, row[0]) if row else None

    def save_pod(self, pod: Pod) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO pods VALUES (?, ?, ?, ?)", (pod.id, pod.created_at, int(pod.purged), to_json(pod))
        )

    # -- network volumes and templates ------------------------------------------------------------------------------
    def volumes(self) -> list[NetworkVolume]:
        """Newest first, deleted ones whose directory may still exist included."""
        rows = self._database.execute("SELECT record FROM volumes ORDER BY created_at DESC, id")
        return [from_json(NetworkVolume, record) for (record,) in rows]

    def volume(self, volume_id: str) -> NetworkVolume | None:
        row = self._database.execute("SELECT record FROM volumes WHERE id = ?", (volume_id,)).fetchone()
        return from_json(NetworkVolume, row[0]) if row else None

    def save_volume(self, volume: NetworkVolume) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO volumes VALUES (?, ?, ?)", (volume.id, volume.created_at, to_json(volume))
        )

    def forget_volume(self, volume_id: str) -> None:
        self._database.execute("DELETE FROM volumes WHERE id = ?", (volume_id,))

    def templates(self) -> list[Template]:
        rows = self._database.execute("SELECT record FROM templates ORDER BY created_at DESC, id")
        return [from_json(Template, record) for (record,) in rows]

    def template(self, template_id: str) -> Template | None:
        row = self._database.execute("SELECT record FROM templates WHERE id = ?", (template_id,)).fetchone()
        return from_json(Template, row[0]) if row else None

    def save_template(self, template: Template) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO templates VALUES (?, ?, ?)",
            (template.id, template.created_at, to_json(template)),
        )

    def forget_template(self, template_id: str) -> None:
        self._database.execute("DELETE FROM templates WHERE id = ?", (template_id,))

    # -- system log -------------------------------------------------------------------------------------------------
    def note(self, pod_id: str, at: float, line: str) -> None:
        """Append *line* to the pod's system log."""
        self._database.execute("INSERT INTO events (pod_id, at, line) VALUES (?, ?, ?)", (pod_id, at, line))

    def events(self, pod_id: str, after: int = 0) -> list[Event]:
        rows = self._database.execute(
            "SELECT number, at, line FROM events WHERE pod_id = ? AND number > ? ORDER BY number", (pod_id, after)
        )
        return [Event(*row) for row in rows]

    # -- money ------------------------------------------------------------------------------------------------------
    @property
    def balance_usd(self) -> float:
        return float(self.get("balance", 0.0))

    def settle(self, now: float) -> None:
        """Charge every resource for the time since it was last charged. Also the heartbeat: what a dead server's
        resources would have cost is never charged, because ``forgive`` moves the mark at the next start.
        """
        spent = 0.0
        for pod in self.pods():
            spent += self._charge("pod", pod.id, billing.pod_rates(pod), pod.billed_until, now)
            if not pod.status.gone:
                self.save_pod(_marked(pod, now))
        for volume in self.volumes():
            spent += self._charge("volume", volume.id, billing.volume_rates(volume), volume.billed_until, now)
            if not volume.deleted:
                self.save_volume(_marked(volume, now))
        if spent:
            self.put("balance", self.balance_usd - spent)
        self.put("heartbeat", now)

    def forgive(self, now: float) -> None:
        """Start charging anew at *now*: nobody pays for the time the server was dead."""
        for pod in self.pods():
            self.save_pod(_marked(pod, now))
        for volume in self.volumes():
            self.save_volume(_marked(volume, now))

    def costs(self, resource: str, start: float, end: float, only: str | None = None) -> list[Cost]:
        """The costs of clock hours that begin within [*start*, *end*), of one resource or all of its kind."""
        rows = self._database.execute(
            "SELECT id, component, hour, usd FROM costs WHERE resource = ? AND hour >= ? AND hour < ? "
            "AND (? IS NULL OR id = ?) ORDER BY hour, id, component",
            (resource, start, end, only, only),
        )
        return [Cost(*row) for row in rows]

    def erase(self) -> None:
        """Forget every pod, volume, template, event and cost; the settings stay."""
        for table in ("pods", "volumes", "templates", "events", "costs"):
            self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - fixed names

    def _charge(self, resource: str, resource_id: str, rates: list[billing.Rate], since: float, now: float) -> float:
        charged = 0.0
        for rate in rates:
            for hour, seconds in billing.hours(since, now):
                usd = rate.usd_per_second * seconds
                charged += usd
                self._database.execute(
                    "INSERT INTO costs VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT (resource, id, component, hour) DO UPDATE SET usd = usd + excluded.usd",
                    (resource, resource_id, rate.component, hour, usd),
                )
        return charged


class Ledger:
    """The SQLite file; hands out one transaction at a time, to any thread."""

    def __init__(self, path: Path) -> None:
        storage.make(path.parent)
        # Made by us so that it never exists with wider permissions; SQLite gives its WAL the same mode.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)
        self._lock = threading.RLock()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[Books]:
        """A transaction that commits when the block ends and rolls back when it raises."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield Books(self._database)
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._database.close()


def _marked(record: Chargeable, now: float) -> Chargeable:
    # A clock that was set back must not charge the same second twice.
    return dataclasses.replace(record, billed_until=max(now, record.billed_until))
