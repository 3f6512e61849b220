"""Hearing of changes in the local folder soon after they happen.

Events are hints: they say where to look, never what happened. A lost event therefore costs time, not files; whoever
owns a Watcher runs a full cycle every :data:`FULL_SCAN_SECONDS` and whenever a batch says *full*.

On Linux the events come from the agent's own inotify loop, as an emitter of watchdog's: watchdog's own drops the
kernel's "events were lost", stays silent when the system allows no more watches, and leaves folders that were moved in
unwatched. Elsewhere they come from what watchdog has for the system.
"""

from __future__ import annotations

import functools
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from watchdog import events
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, EventEmitter

from devpod_rp.agent.files.inotify import COMPLETE, GONE, LOST, OPEN, Sign, TreeWatch
from devpod_rp.agent.sync.own import OWN
from devpod_rp.agent.sync.settling import Pace, Settling
from devpod_rp.waking import until_next

log = logging.getLogger(__name__)

FULL_SCAN_SECONDS = 60.0
"""How long an owner may rely on events alone; a full cycle this often bounds the cost of a lost one."""

GIT_HOLD_SECONDS = 10.0
"""How long a running git command may hold a batch back; a dead git leaves its lock behind."""

_HEALTH_SECONDS = 15.0
"""How often an idle watcher makes sure that the observer's threads still live."""

_GIT_LOOK_SECONDS = 0.02

_REST_SECONDS = 15.0
"""How long the emitter sleeps when nothing happens; whoever wants something of it wakes it."""

_GATHER_SECONDS = 0.002
"""How long it waits for more of a burst: waking for each event would take more time than all the rest."""

Keep = Callable[[str, bool], bool]
"""(path, is a folder) -> whether it takes part, folders above included."""

_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent, DirDeletedEvent, DirMovedEvent, FileClosedEvent, FileCreatedEvent, FileDeletedEvent,
    FileModifiedEvent, FileMovedEvent,
]  # fmt: skip
if hasattr(events, "FileAttribEvent"):
    # Before watchdog 7 (Python 3.10 has no newer one) a changed mode is told as a modified file.
    _EVENTS.append(events.FileAttribEvent)

_OWN_LOOP = sys.platform.startswith("linux")


@dataclass(frozen=True)
class Batch:
    """Paths to look at again, relative to the root; *full* when the whole folder has to be looked at."""

    paths: frozenset[str]
    full: bool = False

    @classmethod
    def joined(cls, batches: Sequence[Batch]) -> Batch:
        """One that asks for what all of *batches* ask for."""
        return cls(frozenset[str]().union(*(batch.paths for batch in batches)), any(batch.full for batch in batches))


class Watcher:
    """Delivers batches of changed paths from a thread of its own, from construction on until :meth:`close`.

    The watches are armed when the constructor returns: a full cycle started then misses nothing. A path that is a
    folder stands for everything below it (a folder that moved in brings content that no event names). A batch waits
    while git holds its index lock, so that a checkout arrives as a whole. *deliver* is called from the watcher's
    thread, one batch at a time.

    Raises:
        OSError: the folder cannot be watched.
    """

    def __init__(self, root: Path, keep: Keep, deliver: Callable[[Batch], None]) -> None:
        self._root = str(root)
        self._git_lock = root / ".git" / "index.lock"
        self._keep = keep
        self._deliver = deliver
        self._heard: queue.SimpleQueue[Sign | threading.Event | None] = queue.SimpleQueue()
        # Elsewhere nothing tells that a file was closed, so a write counts as complete after a short rest.
        self._settling = Settling(Pace() if _OWN_LOOP else Pace(open=0.02))
        self._observer = self._armed()
        self._thread = threading.Thread(target=self._run, name="devpod-rp-watch", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str | None:
        """Why a part of the folder is not watched, if so."""
        for emitter in self._observer.emitters:
            if isinstance(emitter, TreeEmitter) and emitter.limit is not None:
                return emitter.limit
        return None

    def catch_up(self, seconds: float) -> bool:
        """Deliver everything that happened before this call; False when that could not be made sure in *seconds*."""
        caught_up = threading.Event()
        for emitter in self._observer.emitters:
            if isinstance(emitter, TreeEmitter):
                emitter.ask(_Marker(self._root, caught_up))
                return caught_up.wait(seconds)
        return False

    def refresh(self) -> None:
        """The rules have changed: watch what takes part from now on, and deliver the folders that were not watched."""
        for emitter in self._observer.emitters:
            if isinstance(emitter, TreeEmitter):
                emitter.ask(None)

    def close(self) -> None:
        """Stop watching; a batch not yet delivered is dropped, because the next start scans everything."""
        self._heard.put(None)
        self._thread.join()
        _disarm(self._observer)

    def _armed(self) -> BaseObserver:
        # Watchdog 6 hands no arguments of ours on to the emitter.
        emitter = cast("type[EventEmitter]", functools.partial(TreeEmitter, keep=self._keep))
        observer = BaseObserver(emitter) if _OWN_LOOP else Observer()
        handler = _Handler(self._root, self._heard)
        observer.schedule(handler, self._root, recursive=True, event_filter=None if _OWN_LOOP else _EVENTS)
        observer.start()
        return observer

    def _run(self) -> None:
        while True:
            now = time.monotonic()
            due, oldest = self._settling.next_due(), self._settling.oldest()
            held = oldest is not None and now - oldest < GIT_HOLD_SECONDS and self._git_lock.exists()
            rest = until_next(_HEALTH_SECONDS, now) if due is None else max(0.0, due - now)
            try:
                heard = self._heard.get(timeout=max(rest, _GIT_LOOK_SECONDS) if held else rest)
                while True:
                    if heard is None:
                        return
                    self._take(heard)
                    heard = self._heard.get_nowait()
            except queue.Empty:
                if due is None and not self._works():
                    self._rearm()
                    self._deliver(Batch(frozenset(), full=True))
            if not held:
                self._tell(time.monotonic())

    def _take(self, heard: Sign | threading.Event) -> None:
        if isinstance(heard, threading.Event):
            self._tell(None)
            heard.set()
        elif _OWN_LOOP or heard.what == LOST or self._keep(heard.path, heard.is_folder):  # ours has asked already
            self._settling.hear(heard, time.monotonic())

    def _tell(self, now: float | None) -> None:
        told = self._settling.take(now)
        news = frozenset(path for path in told.paths if not OWN.explain(os.fsencode(f"{self._root}/{path}")))
        if news or told.full:
            self._deliver(Batch(news, told.full))

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


class _Marker(FileSystemEvent):
    """Comes after every event of before; sets what waits for it."""

    def __init__(self, root: str, reached: threading.Event) -> None:
        super().__init__(root)
        self.reached = reached

    __hash__ = object.__hash__
    __eq__ = object.__eq__


class TreeEmitter(EventEmitter):
    """Watchdog's emitter over the agent's inotify loop. That events were lost is a DirModifiedEvent of the root."""

    def __init__(self, *arguments: Any, keep: Keep, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._keep = keep
        self._tree: TreeWatch | None = None
        self._asked: queue.SimpleQueue[_Marker | None] = queue.SimpleQueue()

    @property
    def limit(self) -> str | None:
        return self._tree.limit if self._tree is not None else None

    def ask(self, marker: _Marker | None) -> None:
        """Queue *marker* behind everything that happened before; None: watch what *keep* has come to keep."""
        self._asked.put(marker)
        if self._tree is not None:
            self._tree.wake()

    def on_thread_start(self) -> None:
        self._tree = TreeWatch(str(self.watch.path), self._keep)

    def on_thread_stop(self) -> None:
        if self._tree is not None:
            self._tree.wake()

    def run(self) -> None:
        try:
            super().run()
        finally:
            if self._tree is not None:
                self._tree.close()

    def queue_events(self, timeout: float) -> None:
        assert self._tree is not None
        signs = self._tree.read(max(timeout, _REST_SECONDS), _GATHER_SECONDS)
        asked = self._waiting()
        if asked:
            while more := self._tree.read(0):
                signs += more
        for sign in signs:
            self.queue_event(self._event(sign))
        for marker in asked:
            if marker is not None:
                self.queue_event(marker)
                continue
            for folder in self._tree.extend():
                self.queue_event(DirCreatedEvent(self._absolute(folder)))

    def _waiting(self) -> list[_Marker | None]:
        asked = []
        while not self._asked.empty():
            asked.append(self._asked.get())
        return asked

    def _event(self, sign: Sign) -> FileSystemEvent:
        path = self._absolute(sign.path)
        if sign.what == LOST:
            return DirModifiedEvent(path)
        if sign.what == GONE:
            return DirDeletedEvent(path) if sign.is_folder else FileDeletedEvent(path)
        if sign.is_folder:
            return DirCreatedEvent(path)
        return FileClosedEvent(path) if sign.what == COMPLETE else FileModifiedEvent(path)

    def _absolute(self, path: str) -> str:
        root = str(self.watch.path)
        return f"{root}/{path}" if path else root


class _Handler(FileSystemEventHandler):
    """Turns watchdog's events into signs."""

    def __init__(self, root: str, heard: queue.SimpleQueue[Sign | threading.Event | None]) -> None:
        self._root = root
        self._heard = heard

    def dispatch(self, event: FileSystemEvent) -> None:
        if isinstance(event, _Marker):
            self._heard.put(event.reached)
            return
        gone = isinstance(event, FileDeletedEvent | DirDeletedEvent | FileMovedEvent | DirMovedEvent)
        open_ = isinstance(event, FileModifiedEvent | FileCreatedEvent)
        self._tell(os.fsdecode(event.src_path), event.is_directory, GONE if gone else OPEN if open_ else COMPLETE)
        if event.dest_path:
            self._tell(os.fsdecode(event.dest_path), event.is_directory, COMPLETE)

    def _tell(self, path: str, is_folder: bool, what: str) -> None:
        if path == self._root:
            self._heard.put(Sign("", True, LOST))
        elif path.startswith(self._root + os.sep):
            self._heard.put(Sign(path[len(self._root) + 1 :].replace(os.sep, "/"), is_folder, what))


def _disarm(observer: BaseObserver) -> None:
    if observer.is_alive():
        observer.stop()
        observer.join()
