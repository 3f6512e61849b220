"""Hearing of changes in the local folder soon after they happen.

Events are hints: they say where to look, never what happened. A lost event therefore costs time, not files; whoever
owns a Watcher runs a full cycle every :data:`FULL_SCAN_SECONDS` and whenever a batch says *full*.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

log = logging.getLogger(__name__)

FULL_SCAN_SECONDS = 60.0
"""How long an owner may rely on events alone; a full cycle this often bounds the cost of a lost one."""

QUIET_SECONDS = 0.03
"""A batch ends when nothing was heard for this long…"""

LONGEST_SECONDS = 0.1
"""…or when it is this old, so that a program that never pauses is still followed."""

GIT_HOLD_SECONDS = 10.0
"""How long a running git command may hold a batch back; a dead git leaves its lock behind."""

_HEALTH_SECONDS = 1.0
"""How often an idle watcher makes sure that the observer's threads still live."""

Keep = Callable[[str, bool], bool]
"""(path, is a folder) -> whether it takes part, folders above included."""

_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent, DirDeletedEvent, DirMovedEvent, FileAttribEvent, FileClosedEvent, FileCreatedEvent,
    FileDeletedEvent, FileModifiedEvent, FileMovedEvent,
]  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Paths to look at again, relative to the root; *full* when the whole folder has to be looked at."""

    paths: frozenset[str]
    full: bool = False


class Watcher:
    """Delivers batches of changed paths from a thread of its own, from construction on until :meth:`close`.

    The watches are armed when the constructor returns: a full cycle started then misses nothing. A path that is a
    folder stands for everything below it (a folder that moved in brings content that no event names). A batch waits
    while git holds its index lock, so that a checkout arrives as a whole. *deliver* is called from the watcher's
    thread, one batch at a time.
    """

    def __init__(self, root: Path, keep: Keep, deliver: Callable[[Batch], None]) -> None:
        self._root = str(root)
        self._git_lock = root / ".git" / "index.lock"
        self._keep = keep
        self._deliver = deliver
        self._heard: queue.SimpleQueue[tuple[str, bool] | None] = queue.SimpleQueue()
        self._observer = self._armed()
        self._thread = threading.Thread(target=self._run, name="devpod-rp-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; a batch not yet delivered is dropped, because the next start scans everything."""
        self._heard.put(None)
        self._thread.join()
        _disarm(self._observer)

    def _armed(self) -> BaseObserver:
        observer = Observer()
        observer.schedule(_Handler(self._root, self._heard), self._root, recursive=True, event_filter=_EVENTS)
        observer.start()
        return observer

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            if batch is None:
                return
            self._deliver(batch)

    def _next_batch(self) -> Batch | None:
        """Wait for events that count and for the quiet after them; None when closing."""
        paths: set[str] = set()
        full = False
        first: float | None = None
        last = 0.0
        while True:
            try:
                heard = self._heard.get(timeout=_HEALTH_SECONDS if first is None else QUIET_SECONDS)
            except queue.Empty:
                if first is None and not self._works():
                    self._rearm()
                    return Batch(frozenset(), full=True)
            else:
                if heard is None:
                    return None
                path, is_folder = heard
                if path == "" or path in paths or self._keep(path, is_folder):
                    full = full or path == ""
                    paths.add(path)
                    last = time.monotonic()
                    first = last if first is None else first
            now = time.monotonic()
            if first is None or (now - last < QUIET_SECONDS and now - first < LONGEST_SECONDS):
                continue
            if now - first >= GIT_HOLD_SECONDS or not self._git_lock.exists():
                return Batch(frozenset(paths - {""}), full)

    def _works(self) -> bool:
        return self._observer.is_alive() and all(emitter.is_alive() for emitter in self._observer.emitters)

    def _rearm(self) -> None:
        log.warning("watcher=rearmed root=%s", self._root)
        _disarm(self._observer)
        try:
            self._observer = self._armed()
        except OSError as error:
            # The folder is gone (an unmounted disk) or the system is out of watches; each health check tries again,
            # and the full cycles that each of them asks for tell the user.
            log.warning("watcher=failed root=%s error=%s", self._root, error)


class _Handler(FileSystemEventHandler):
    """Turns watchdog's events into (relative path, is a folder); "" is the root itself."""

    def __init__(self, root: str, heard: queue.SimpleQueue[tuple[str, bool] | None]) -> None:
        self._root = root
        self._heard = heard

    def on_any_event(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            if path:
                self._tell(os.fsdecode(path), event.is_directory)

    def _tell(self, path: str, is_folder: bool) -> None:
        if path == self._root:
            self._heard.put(("", True))
        elif path.startswith(self._root + os.sep):
            self._heard.put((path[len(self._root) + 1 :].replace(os.sep, "/"), is_folder))


def _disarm(observer: BaseObserver) -> None:
    if observer.is_alive():
        observer.stop()
        observer.join()
