"""A look at the synchronised folder by its stamps alone; digests only of the files that somebody asks about.

The launcher remembers which stamp had which digest, so an unchanged tree costs one walk here and one answer; and what
only the pod has (checkpoints, data sets) is never read, however large it is.
"""

from __future__ import annotations

import json
import os
import re
import time
import zlib
from contextlib import suppress
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

from devpod_rp.agent.files import tree
from devpod_rp.agent.files.entries import FOLDER, Snapshot, relative, topmost
from devpod_rp.agent.files.picture import Picture
from devpod_rp.agent.sync import watching
from devpod_rp.agent.sync.batch import inflated
from devpod_rp.agent.sync.roots import Area, Root
from devpod_rp.agent.sync.rules import Rules, from_wire
from devpod_rp.agent.wire import Header, Refusal, Request

ROWS_PER_FRAME = 4000
_SIGN_OF_LIFE_SECONDS = 1.0

Reply = Iterator[Tuple[Dict[str, Any], bytes]]


def survey(request: Request) -> Reply:
    """Op ``files.survey {root, state, ino, packed, unless}``, body: JSON ``{rules, paths, known}``, rules as in
    Rules.to_wire.

    With *paths* (relative) only these and what is below them are looked at, else everything. Answers with frames whose
    bodies are zlib-compressed JSON ``[folders, rows]``: rows ``[path, kind, size, executable, link target, mtime_ns,
    stamp or null]``, and the folders of which these are all. A folder ("" is the root) whose word (hex) in *known* (see
    `listing`) is still right is left out. The last body is ``{"unknown": {path: reason}, "special": {path: what}}``.

    The last header has a *token* if any later change would show. Who names it in *unless* gets only a header with it
    while nothing has changed.
    """
    try:
        wishes = json.loads(inflated(request).decode("ascii"))
        rules, paths = from_wire(wishes["rules"]), wishes["paths"]
        known = {folder: bytes.fromhex(word) for folder, word in (wishes.get("known") or {}).items()}
    except (ValueError, TypeError, KeyError, AttributeError, re.error) as error:
        raise Refusal("bad-request", "not a set of ignore rules") from error
    if paths is not None and not all(isinstance(path, str) and relative(path) for path in paths):
        raise Refusal("bad-request", "not a list of relative paths")
    area = Area(request.header)
    with Root(area, request.header.get("ino")):
        if paths is None:
            watching.forget()
            yield from _whole(area, request.header.get("ino"), rules, wishes["rules"], known, request.header)
        else:
            walk = tree.Walk(os.fsdecode(area.root), sift=rules.sift, reads=False)
            answer = _Answer()
            for _step in _below(walk, rules, paths):
                if walk.waiting >= ROWS_PER_FRAME:
                    answer.take(walk.take())
                    yield from answer.frames()
            answer.take(walk.take())
            yield from answer.last(None)


def _whole(area: Area, ino: Any, rules: Rules, words: Any, known: Dict[str, bytes], header: Header) -> Reply:
    subject = (area.root, ino, json.dumps(words))
    if _last_look.holds(subject, header.get("unless")):
        yield {"token": header["unless"]}, b""
        return
    picture = Picture(os.fsdecode(area.root))
    walk = tree.Walk(os.fsdecode(area.root), sift=rules.sift, reads=False, words=known, picture=picture)
    answer = _Answer()
    for _step in walk.steps():
        found = walk.take()
        answer.take(found, () if found.same else [walk.listed])
        if answer.waiting >= ROWS_PER_FRAME:
            yield from answer.frames()
    answer.take(walk.take())
    yield from answer.last(_last_look.keep(subject, picture if picture.proof else None))


class _LastLook:
    """The picture of the last look at everything, and the token under which it was told."""

    def __init__(self) -> None:
        self._subject: Any = None
        self._picture: Optional[Picture] = None
        self._token = ""

    def keep(self, subject: Any, picture: Optional[Picture]) -> Optional[str]:
        self._subject, self._picture, self._token = subject, picture, os.urandom(8).hex()
        return None if picture is None else self._token

    def holds(self, subject: Any, token: Any) -> bool:
        return self._picture is not None and token == self._token and subject == self._subject and self._picture.holds()


_last_look = _LastLook()


class _Answer:
    """Frames on their way."""

    def __init__(self) -> None:
        self._folders: List[str] = []
        self._rows: List[Any] = []
        self._unknown: Dict[str, str] = {}
        self._special: Dict[str, str] = {}

    @property
    def waiting(self) -> int:
        return len(self._rows)

    def take(self, found: Snapshot, folders: Iterable[str] = ()) -> None:
        """What was *found*; it is all that is in *folders*."""
        self._unknown.update(found.unknown)
        self._special.update(found.special)
        self._folders += folders
        for path, entry in found.entries.items():
            stamp = found.stamps.get(path)
            numbers = None if stamp is None else stamp.numbers()
            self._rows.append([path, entry.kind, entry.size, entry.executable, entry.target, entry.mtime_ns, numbers])

    def frames(self) -> Reply:
        folders, rows, self._folders, self._rows = self._folders, self._rows, [], []
        yield {}, _packed([folders, rows])

    def last(self, token: Optional[str]) -> Reply:
        if self._folders or self._rows:
            yield from self.frames()
        yield {"token": token}, _packed({"unknown": self._unknown, "special": self._special})


def _below(walk: tree.Walk, rules: Rules, paths: List[str]) -> Iterator[None]:
    walk.look(path for path in paths if not (rules.ignored(path, False) and rules.ignored(path, True)))
    found = walk.found()
    for path in [path for path, entry in found.items() if rules.ignored(path, entry.kind == FOLDER)]:
        del found[path]
    for folder in topmost(path for path, entry in found.items() if entry.kind == FOLDER):
        with suppress(OSError):  # gone again: then there is nothing in it
            yield from walk.steps(folder)


def digests(request: Request) -> Reply:
    """Op ``files.digests {root, state, ino, packed}``, body: a JSON list of paths.

    Answers with rows ``[path, digest, stamp, settled]`` for those that are regular files and can be read right now;
    *settled* says that any later write would show in the stamp.
    """
    try:
        paths = json.loads(inflated(request).decode("ascii"))
    except ValueError as error:
        raise Refusal("bad-request", "not a list of paths") from error
    if not isinstance(paths, list) or not all(isinstance(path, str) and relative(path) for path in paths):
        raise Refusal("bad-request", "not a list of paths")
    area = Area(request.header)
    with Root(area, request.header.get("ino")):
        rows: List[Any] = []
        told = time.monotonic()
        now_ns = area.now_ns()
        for start in range(0, len(paths), 100):
            found = tree.look(os.fsdecode(area.root), paths[start : start + 100], now_ns=now_ns)
            for path, stamp in found.stamps.items():
                rows.append([path, found.entries[path].digest, stamp.numbers(), path not in found.fresh])
            if len(rows) >= ROWS_PER_FRAME or time.monotonic() - told > _SIGN_OF_LIFE_SECONDS:
                yield {}, _packed(rows)
                rows, told = [], time.monotonic()
    yield {}, _packed(rows)


def _packed(rows: Any) -> bytes:
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode("ascii"), 1)


OPERATIONS = {"files.survey": survey, "files.digests": digests}
