"""A pod's logs, oldest first: what the container printed and what the system did to it."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from devpod_rp.localcloud import timestamps
from devpod_rp.localcloud.ledger import Ledger

SOURCES = ("container", "system")
# Log-event ids end in twelve digits; the first tells the source, the rest the place within it.
_SOURCE_DIGIT = {"system": "0", "container": "1"}


@dataclass(frozen=True)
class Line:
    """One line. Within a source *place* grows: the event number, or the byte offset in the container's log."""

    at: datetime
    source: str
    place: int
    text: str

    @property
    def ts(self) -> str:
        return timestamps.rfc3339(self.at)

    @property
    def id(self) -> str:
        """The SSE event id, as RunPod's ``2026-06-01T12:02:03Z/000000000001``."""
        return f"{self.ts}/{_SOURCE_DIGIT[self.source]}{self.place:011d}"

    @property
    def order(self) -> tuple[datetime, str]:
        return self.at, self.id.rpartition("/")[2]


def resume_point(event_id: str) -> tuple[datetime, str]:
    """The place after which a stream goes on for ``Last-Event-ID``; a bare timestamp repeats that very moment rather
    than lose a line. Raises ValueError."""
    moment, _, place = event_id.partition("/")
    return timestamps.parse(moment), place


class Reader:
    """Reads forward through the logs of one pod; each ``read`` gives the lines that are new since the last."""

    def __init__(self, pod_id: str, container_log: Path, ledger: Ledger, sources: Collection[str] = SOURCES) -> None:
        self._pod_id = pod_id
        self._path = container_log
        self._ledger = ledger
        self._sources = sources
        self._offset = 0
        self._event = 0
        self._last = datetime.fromtimestamp(0, timezone.utc)

    def read(self) -> list[Line]:
        lines = []
        if "system" in self._sources:
            lines += self._system()
        if "container" in self._sources:
            lines += self._container()
        return sorted(lines, key=lambda line: line.order)

    def _system(self) -> list[Line]:
        with self._ledger.transaction() as books:
            events = books.events(self._pod_id, after=self._event)
        if events:
            self._event = events[-1].number
        return [
            Line(datetime.fromtimestamp(event.at, timezone.utc), "system", event.number, event.line) for event in events
        ]

    def _container(self) -> list[Line]:
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        lines = []
        # What follows the last newline is half a line: it is read again, whole, the next time.
        for raw in data.split(b"\n")[:-1]:
            lines.append(self._parsed(raw.decode("utf-8", "replace").rstrip("\r")))
            self._offset += len(raw) + 1
        return lines

    def _parsed(self, raw: str) -> Line:
        stamp, _, text = raw.partition(" ")
        try:
            self._last = timestamps.parse(stamp)
        except ValueError:
            text = raw
        return Line(self._last, "container", self._offset, text)
