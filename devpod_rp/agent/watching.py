"""Telling the launcher what changes in the synchronised folder, as it happens."""

from __future__ import annotations

import json
import os
import re
import threading
import time
import zlib
from typing import Any, Dict, Iterator, List, Optional, Tuple

from devpod_rp.agent.batch import inflated
from devpod_rp.agent.inotify import TreeWatch, Unavailable
from devpod_rp.agent.own import OWN
from devpod_rp.agent.roots import Area, Root, encode
from devpod_rp.agent.rules import from_wire
from devpod_rp.agent.settling import Settling
from devpod_rp.agent.wire import Header, Refusal, Request, Standing

GIT_HOLD_SECONDS = 10.0
_LOOK_AROUND_SECONDS = 1.0
_PATHS_PER_FRAME = 4000

_newest: List[object] = []


def watch(request: Request, closing: threading.Event) -> Iterator[Tuple[Header, bytes]]:
    """Op ``files.watch {root, state, ino, packed}``, body: rules as in Rules.to_wire. Standing: answers until it ends.

    The first frame says ``{folders, limit}``: from then on nothing is missed, but for what *limit* names. Each further
    one has a body, a zlib-compressed JSON list of relative paths that may differ now (a folder stands for what is below
    it), and *full* when only a look at everything helps. A later ``files.watch`` ends an earlier one.

    Refuses with "not-found" where changes cannot be watched.
    """
    try:
        rules = from_wire(json.loads(inflated(request).decode("ascii")))
    except (ValueError, TypeError, KeyError, re.error) as error:
        raise Refusal("bad-request", "not a set of ignore rules") from error
    area = Area(request.header)
    with Root(area, request.header.get("ino")):
        pass  # it is the folder we know
    me = object()
    _newest[:] = [me]
    try:
        tree = TreeWatch(os.fsdecode(area.root), rules.keep)
    except Unavailable as error:
        raise Refusal("not-found", str(error)) from error
    settling = Settling()
    git_lock = os.path.join(area.root, b".git", b"index.lock")
    try:
        yield {"folders": tree.folders, "limit": tree.limit}, b""
        while _newest == [me] and not closing.is_set():
            now = time.monotonic()
            due = settling.next_due()
            for sign in tree.read(_LOOK_AROUND_SECONDS if due is None else max(0.0, due - now)):
                settling.hear(sign, time.monotonic())
            oldest = settling.oldest()
            now = time.monotonic()
            if oldest is not None and now - oldest < GIT_HOLD_SECONDS and os.path.lexists(git_lock):
                closing.wait(0.02)  # a checkout arrives as a whole
                continue
            told = settling.take(now)
            paths = sorted(path for path in told.paths if not OWN.explain(os.path.join(area.root, encode(path))))
            for start in range(0, len(paths), _PATHS_PER_FRAME):
                yield _frame(paths[start : start + _PATHS_PER_FRAME], False, tree.limit)
            if told.full:
                yield _frame([], True, tree.limit)
    finally:
        tree.close()


def _frame(paths: List[str], full: bool, limit: Optional[str]) -> Tuple[Dict[str, Any], bytes]:
    return {"full": full, "limit": limit}, zlib.compress(json.dumps(paths, separators=(",", ":")).encode("ascii"), 1)


OPERATIONS: Dict[str, Standing] = {"files.watch": watch}
