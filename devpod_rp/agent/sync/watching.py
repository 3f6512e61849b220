"""Telling the launcher what changes in the synchronised folder, as it happens."""

from __future__ import annotations

import json
import os
import re
import threading
import time
import zlib
from typing import Any, Dict, Iterator, List, Optional, Tuple

from devpod_rp.agent.files.inotify import TreeWatch, Unavailable
from devpod_rp.agent.sync.batch import count, inflated
from devpod_rp.agent.sync.own import OWN
from devpod_rp.agent.sync.roots import Area, Root, encode
from devpod_rp.agent.sync.rules import from_wire
from devpod_rp.agent.sync.settling import Settling, Told
from devpod_rp.agent.wire import Handler, Header, Refusal, Request, Standing

GIT_HOLD_SECONDS = 10.0
_LOOK_AROUND_SECONDS = 15.0
_PATHS_PER_FRAME = 4000

_GATHER_SECONDS = 0.002
_GATHER_UNASKED_SECONDS = 0.02
"""Much shorter than what fills the kernel's queue (16,384 events), whoever writes."""

_MOST_KEPT = 20_000
"""How many paths are kept for somebody who does not ask; beyond, only a look at everything helps."""


class _Listener:
    """The one ``files.watch`` at work, and what it was asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tree: Optional[TreeWatch] = None
        self._mark: Optional[int] = None
        self._seen_at: Optional[float] = None

    def begin(self, tree: TreeWatch) -> None:
        with self._lock:
            if self._tree is not None:
                self._tree.wake()
            self._tree, self._mark = tree, None

    def listens(self, tree: TreeWatch) -> bool:
        return self._tree is tree

    def end(self, tree: TreeWatch) -> None:
        with self._lock:
            if self._tree is tree:
                self._tree = None

    def ask(self, mark: int) -> bool:
        with self._lock:
            if self._tree is None:
                return False
            self._mark = mark
            self._tree.wake()
            return True

    def forget(self, seen_at: float) -> None:
        with self._lock:
            self._seen_at = seen_at

    def forgets(self) -> Optional[float]:
        with self._lock:
            seen_at, self._seen_at = self._seen_at, None
            return seen_at

    def asked(self) -> Optional[int]:
        with self._lock:
            mark, self._mark = self._mark, None
            return mark


_listener = _Listener()


def forget() -> None:
    """Somebody is about to look at everything: what waits to be asked for is news no more."""
    _listener.forget(time.monotonic())


def mark(request: Request) -> Iterator[Tuple[Header, bytes]]:
    """Op ``files.mark {mark}``: make the ``files.watch`` at work tell everything that happened until now, and then
    *mark*. Answers ``{listening}``: whether there is one."""
    yield {"listening": _listener.ask(count(request.header, "mark"))}, b""


def watch(request: Request, closing: threading.Event) -> Iterator[Tuple[Header, bytes]]:
    """Op ``files.watch {root, state, ino, packed, hold}``, body: rules as in Rules.to_wire. Standing: answers until it
    ends.

    The first frame says ``{folders, limit}``: from then on nothing is missed, but for what *limit* names. Each further
    one has a body, a zlib-compressed JSON list of relative paths that may differ now (a folder stands for what is below
    it), *full* when only a look at everything helps, and *mark* when it ends what ``files.mark`` asked for. With *hold*
    nothing is told before it is asked for. A later ``files.watch`` ends an earlier one.

    Refuses with "not-found" where changes cannot be watched, and with "changed" when the folder is another one, also
    instead of a *mark*: a folder that somebody still has open is removed without a sign.
    """
    try:
        rules = from_wire(json.loads(inflated(request).decode("ascii")))
    except (ValueError, TypeError, KeyError, re.error) as error:
        raise Refusal("bad-request", "not a set of ignore rules") from error
    area = Area(request.header)
    with Root(area, request.header.get("ino")):
        pass  # it is the folder we know
    try:
        tree = TreeWatch(os.fsdecode(area.root), rules.keep)
    except Unavailable as error:
        raise Refusal("not-found", str(error)) from error
    hold = bool(request.header.get("hold"))
    settling = Settling()
    _listener.begin(tree)
    try:
        yield {"folders": tree.folders, "limit": tree.limit}, b""
        while _listener.listens(tree) and not closing.is_set():
            mark = _hear(tree, settling, hold)
            if mark is not None:
                with Root(area, request.header.get("ino")):
                    pass
                yield from _frames(area, settling.take(None), tree.limit)
                yield {"mark": mark, "limit": tree.limit}, b""
            elif hold:
                settling.condense(_MOST_KEPT)
            elif _held_back(area, settling):
                closing.wait(0.02)  # a checkout arrives as a whole
            else:
                yield from _frames(area, settling.take(time.monotonic()), tree.limit)
    finally:
        _listener.end(tree)
        tree.close()


def _hear(tree: TreeWatch, settling: Settling, hold: bool) -> Optional[int]:
    """Take in what happens until something is due; the mark somebody asked for, when all of before it was taken in."""
    seen_at = _listener.forgets()
    if hold and seen_at is not None:
        settling.forget(seen_at)
    due = None if hold else settling.next_due()
    rest = _LOOK_AROUND_SECONDS if due is None else max(0.0, due - time.monotonic())
    signs = tree.read(rest, _GATHER_UNASKED_SECONDS if hold else _GATHER_SECONDS)
    mark = _listener.asked()
    if mark is not None:
        while more := tree.read(0):
            signs += more
    for sign in signs:
        settling.hear(sign, time.monotonic())
    return mark


def _held_back(area: Area, settling: Settling) -> bool:
    oldest = settling.oldest()
    if oldest is None or time.monotonic() - oldest >= GIT_HOLD_SECONDS:
        return False
    return os.path.lexists(os.path.join(area.root, b".git", b"index.lock"))


def _frames(area: Area, told: Told, limit: Optional[str]) -> Iterator[Tuple[Header, bytes]]:
    paths = sorted(path for path in told.paths if not OWN.explain(os.path.join(area.root, encode(path))))
    for start in range(0, len(paths), _PATHS_PER_FRAME):
        yield _frame(paths[start : start + _PATHS_PER_FRAME], False, limit)
    if told.full:
        yield _frame([], True, limit)


def _frame(paths: List[str], full: bool, limit: Optional[str]) -> Tuple[Dict[str, Any], bytes]:
    return {"full": full, "limit": limit}, zlib.compress(json.dumps(paths, separators=(",", ":")).encode("ascii"), 1)


OPERATIONS: Dict[str, Handler] = {"files.mark": mark}
STANDING: Dict[str, Standing] = {"files.watch": watch}
